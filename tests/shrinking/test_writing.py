from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import ScenarioError
from harness.overrides import Overrides
from harness.scenario.document import read
from harness.shrinking.candidate import Candidate, applied, sessions_min, times, to_least, whole
from harness.shrinking.writing import Original, headed, write
from scenarios import shipped

SHIPPED = {name: path.read_text(encoding="utf-8") for name, path in shipped().items()}
TEXT = """\
# Mondays.
question: Does it hold when things break?
agents:
  - name: worker
    steps:
      - {call: search, with: {query: "${nonce}"}}   # always
load:
  # as many as there are desks
  sessions: 20
  treated: 50%
faults:
  # the weather
  - tcp-latency: {delay: 100ms}
    for: 4s   # long enough
  # the update
  # of the balancer
  - tcp-reset:
      after: 50ms
    at: 60s
    for: 4000ms
  - {tcp-down: {}, for: 5s}
  - tcp-slice: {}

# what we promise
limits: {answered: ">= 98%", recovery: "<= 5s"}
"""


def original(text: str, **changes: str) -> Original:
    """A scenario's text, as a run was given it."""
    overrides = Overrides(target_url=changes.get("target"))
    scenario = overrides.load(text, "monday.yaml").scenario
    return Original(text=text, file="monday.yaml", overrides=overrides, scenario=scenario)


def smaller(start: Candidate, windows: set[int], sessions: int) -> Candidate:
    """Fewer windows, everything at its least."""
    candidate = replace(start.keeping(frozenset(windows)), sessions=sessions)
    for dimension in times(candidate):
        candidate = dimension(candidate, to_least)
    return candidate


def test_the_whole_is_written_as_it_was() -> None:
    """Byte for byte."""
    given = original(TEXT)
    assert write(given, whole(given.scenario)) == TEXT


def test_what_is_left_out_goes_with_its_comments_and_the_rest_stays() -> None:
    """Values are changed where they stand; what has to be said is put beside them."""
    given = original(TEXT)
    candidate = smaller(whole(given.scenario), {2, 4}, 4)
    assert (
        write(given, candidate)
        == """\
# Mondays.
question: Does it hold when things break?
agents:
  - name: worker
    steps:
      - {call: search, with: {query: "${nonce}"}}   # always
load:
  # as many as there are desks
  ramp: 500ms
  sessions: 4
  treated: 50%
faults:
  # the update
  # of the balancer
  - tcp-reset:
      after: 50ms
    at: 4s
    for: 1s
  - for: 1s
    tcp-slice: {}

# what we promise
limits: {answered: ">= 98%", recovery: "<= 5s"}
phases: {warmup: 500ms, baseline: 3s, recovery: 1s}
"""
    )


def test_without_faults_there_is_nothing_to_recover_from() -> None:
    """The limit goes too, and what was above the next section stays."""
    given = original(TEXT)
    text = write(given, whole(given.scenario).keeping(frozenset()))
    assert "faults" not in text
    assert text.endswith('\n# what we promise\nlimits: {answered: ">= 98%"}\n')
    block = TEXT.replace(
        'limits: {answered: ">= 98%", recovery: "<= 5s"}',
        'limits:\n  recovery: "<= 5s"  # soon\n  answered: ">= 98%"',
    )
    given = original(block)
    text = write(given, whole(given.scenario).keeping(frozenset()))
    assert text.endswith('limits:\n  answered: ">= 98%"\n')


@pytest.mark.parametrize("laid_out", ["flow", "json"])
def test_a_free_layout_is_written_anew(laid_out: str) -> None:
    """It means the same, whatever it looks like."""
    if laid_out == "json":
        text = json.dumps(read(TEXT, "a.yaml").value)
    else:
        head, tail = TEXT.partition("faults:")[0], TEXT[TEXT.index("\n# what we") :]
        text = f"{head}faults: [{{tcp-down: {{}}}}, {{tcp-slice: {{}}, for: 2s}}]\n{tail}"
    given = original(text)
    candidate = whole(given.scenario).keeping(frozenset({2}))
    written = Overrides().load(write(given, candidate), "b.yaml").scenario
    assert written == applied(given.scenario, candidate)
    assert len(written.faults) == 1


def test_a_candidate_that_makes_no_sense_is_refused() -> None:
    """As `squall check` would."""
    given = original(TEXT)
    with pytest.raises(ScenarioError, match="one for each arm"):
        write(given, replace(whole(given.scenario), sessions=1))


def test_the_target_of_the_command_line_stays_on_the_command_line() -> None:
    """The file says what it said."""
    given = original(TEXT + "target: {reference: hardened}\n", target="http://127.0.0.1:9/mcp")
    text = write(given, smaller(whole(given.scenario), {1}, 4))
    assert "target: {reference: hardened}\n" in text
    assert "127.0.0.1" not in text


def test_lines_are_put_above_and_read_as_comments() -> None:
    """Whatever is in them."""
    text = headed(TEXT, ("from a run", "with a\nfinding: of two lines"))
    assert text.startswith("# from a run\n# with a finding: of two lines\n\n# Mondays.\n")
    assert Overrides().load(text, "a.yaml").scenario == original(TEXT).scenario


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(SHIPPED)), st.data())
def test_every_shipped_scenario_can_be_cut_down_with_its_comments(
    name: str, data: st.DataObject
) -> None:
    """What is read back is what was meant, in the author's own text."""
    given = original(SHIPPED[name])
    start = whole(given.scenario)
    assert applied(given.scenario, start) == given.scenario
    windows = data.draw(st.sets(st.sampled_from(start.windows))) if start.windows else set()
    least = sessions_min(given.scenario)
    count = data.draw(st.integers(least, start.sessions))
    candidate = smaller(start, windows, count)
    text = write(given, candidate)
    assert Overrides().load(text, "b.yaml").scenario == applied(given.scenario, candidate)
    first = SHIPPED[name].splitlines()[0]
    assert text.startswith(first)
