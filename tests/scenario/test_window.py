from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.scenario.load import load_text
from harness.scenario.window import Hypothesis

TEXT = """\
question: Does a plan say what is expected?
agents: [{name: worker, steps: [{call: search, with: {query: x}}]}]
limits: {answered: ">= 99%"}
faults:
  - tcp-latency: {delay: 300ms}
    for: 1m
    pause: Is everybody there?
    hypothesis: {expected: calls slow down, breaks: BREAKS, stop_errors: "STOP"}
"""


def test_a_window_may_say_what_people_do_and_expect() -> None:
    """Both are read with the fault they stand beside."""
    text = TEXT.replace("BREAKS", "answered").replace("STOP", "> 50% for 10s")
    (window,) = load_text(text, "plan.yaml").scenario.faults
    assert window.pause == "Is everybody there?"
    assert window.hypothesis == Hypothesis(
        expected="calls slow down", breaks="answered", stop_errors="> 50% for 10s"
    )


@pytest.mark.parametrize(
    ("breaks", "stop", "says"),
    [
        ("recovery", "> 50%", "one of the limits that this scenario sets"),
        ("answerd", "> 50%", "did you mean answered?"),
        ("answered", "often", "a comparison"),
        ("answered", "< 5%", "a share above which to stop"),
    ],
)
def test_a_hypothesis_that_cannot_be_held_is_a_mistake(breaks: str, stop: str, says: str) -> None:
    """At its line, with the mend."""
    text = TEXT.replace("BREAKS", breaks).replace("STOP", stop)
    with pytest.raises(ScenarioError) as refused:
        load_text(text, "plan.yaml")
    assert says in str(refused.value)
    assert "plan.yaml:8:" in str(refused.value)


def test_what_stands_beside_a_fault_is_named_when_it_is_mistaken() -> None:
    """The four keys that there are."""
    text = TEXT.replace("pause:", "puase:").replace("BREAKS", "answered").replace("STOP", "> 5%")
    with pytest.raises(
        ScenarioError, match=r"for, at, pause or hypothesis.*\n?.*did you mean pause"
    ):
        load_text(text, "plan.yaml")
