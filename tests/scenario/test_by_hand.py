from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.scenario.load import load_text

STEADY = """\
question: What do people make of it?
target: {reference: hardened}
agents:
  - name: reader
    steps: [list_tools]
load: {sessions: 4, treated: 50%}
phases: {warmup: 1s, baseline: 4s, recovery: 2s}
limits: {recovery: "<= 2s"}
"""


def test_who_starts_faults_by_hand_needs_none_to_limit_their_recovery() -> None:
    """Without people, nothing would break, and nothing recover."""
    assert load_text(STEADY, "day.yaml", by_hand=True).scenario.faults == ()
    with pytest.raises(ScenarioError, match="a fault to recover from"):
        load_text(STEADY, "day.yaml")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "treated: 50%",
            "treated: 100%",
            "day.yaml:6:30: load.treated: expected at least one treated and one",
        ),
        ("treated: 50%", "treated: 0%", "got 0 treated of 4"),
        (
            "sessions: 4, treated: 50%",
            "sessions: 1",
            "day.yaml:6:18: load.sessions: expected at least 2 sessions",
        ),
        ("recovery: 2s", "recovery: 0s", "day.yaml:7:46: phases.recovery: expected at least 1s"),
        ("baseline: 4s", "baseline: 1s", "day.yaml:7:32: phases.baseline: expected at least 3s"),
    ],
)
def test_what_a_fault_by_hand_cannot_be_judged_with_is_refused(
    old: str, new: str, says: str
) -> None:
    """At its place, with the mend, though the file names no fault."""
    with pytest.raises(ScenarioError) as caught:
        load_text(STEADY.replace(old, new), "day.yaml", by_hand=True)
    assert says in str(caught.value)
    assert "remove the faults" not in str(caught.value)
