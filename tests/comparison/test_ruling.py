"""What is said of two sides: false alarms, what is found, and what cannot be compared.

Runs are drawn, so a hundred pairs cost seconds; every figure here is fixed by its seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pytest

from harness.comparison.digest import Digest, Drawn
from harness.comparison.measures import idle
from harness.comparison.ruling import Change, Comparison, Side, compare
from tests.comparison.runs import IDENTITY, RECOVERY, WINDOW, World, drawn_run, pair, side

pytestmark = pytest.mark.timeout(600)  # computing only, which a crowded machine makes slow

ONE_PHASE: Final = World(lengths_s=(("baseline", 30.0),), tools=("search",))
SMALL: Final = World(sessions=20, lengths_s=(("baseline", 12.0), (WINDOW, 6.0), (RECOVERY, 6.0)))
BRIEF: Final = replace(SMALL, tools=("search",))
ALARMS_MAX: Final = 0.05
FOUND_MIN: Final = 0.9


def verdicts(world: World, pairs: int, *, runs: int = 1, **changes: Any) -> dict[str, float]:
    """The share of pairs that came to each verdict."""
    seen = [compare(*pair(world, seed, runs=runs, **changes)).verdict for seed in range(pairs)]
    return {one: seen.count(one) / pairs for one in ("worse", "better", "same", "cannot")}


def change(told: Comparison, measure: str, *, phase: str = "baseline", arm: str = "both") -> Change:
    """One row of a comparison, all tools together."""
    rows = [c for c in told.changes if (c.measure, c.phase, c.arm) == (measure, phase, arm)]
    return next(row for row in rows if not row.tool)


# --- false alarms and power -----------------------------------------------------------------


@pytest.mark.parametrize(
    "world",
    [ONE_PHASE, BRIEF, replace(ONE_PHASE, by_session=0.3), replace(ONE_PHASE, by_moment=0.25)],
    ids=["long", "short", "unlike-sessions", "unlike-moments"],
)
def test_equal_runs_are_rarely_called_different(world: World) -> None:
    """At most one pair of twenty, all measures together, whatever ties calls to each other."""
    seen = verdicts(world, 50)
    assert seen["worse"] + seen["better"] <= ALARMS_MAX


@pytest.mark.parametrize(
    "changes", [{"scale": 1.2}, {"tail": 1.2}, {"failing": 0.021}], ids=["all", "tail", "errors"]
)
def test_a_fifth_of_p99_or_two_errors_in_a_hundred_are_found(changes: dict[str, Any]) -> None:
    """In nine pairs of ten, from one run of 7,200 calls a side."""
    assert verdicts(ONE_PHASE, 20, **changes)["worse"] >= FOUND_MIN


def test_runs_that_differ_by_themselves_need_several_a_side() -> None:
    """One run a side cannot know of it; with five, what lies between equal runs is measured."""
    restless = replace(BRIEF, by_run=0.1)
    alarms = verdicts(restless, 12, runs=5)
    assert alarms["worse"] + alarms["better"] <= ALARMS_MAX
    quiet = replace(BRIEF, by_run=0.02)
    assert verdicts(quiet, 5, runs=5, scale=1.3)["worse"] >= FOUND_MIN


# --- one comparison -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def equal() -> Comparison:
    """Two equal runs, held together."""
    return compare(*pair(SMALL, seed=3))


@pytest.fixture(scope="module")
def slower() -> Comparison:
    """A head whose every call takes half as long again."""
    return compare(*pair(SMALL, seed=3, scale=1.5))


def test_each_arm_phase_and_tool_is_looked_at(equal: Comparison) -> None:
    """In the baseline both arms also as one, which is of the first rank there."""
    places = {(c.arm, c.phase, c.tool) for c in equal.changes if c.measure == "errors"}
    for phase in (WINDOW, RECOVERY):
        for arm in ("treated", "control"):
            assert {(arm, phase, tool) for tool in ("", "fetch", "search")} <= places
    assert {(arm, "baseline", "") for arm in ("both", "treated", "control")} <= places
    assert {("both", "baseline", "fetch"), ("both", "baseline", "search")} <= places
    whole = {(c.arm, c.phase) for c in equal.changes if c.whole and not c.tool}
    assert ("both", "baseline") in whole
    assert ("treated", "baseline") not in whole
    assert {c.measure for c in equal.changes if c.phase == WINDOW and not c.tool} == {
        *("p50", "p95", "errors", "losses", "recovery", "score")
    }


def test_an_interval_excludes_nothing_exactly_where_something_was_found(
    equal: Comparison, slower: Comparison
) -> None:
    """So the table never contradicts its verdicts."""
    for told in (equal, slower):
        for one in told.changes:
            assert one.low is not None
            assert one.high is not None
            assert one.effect is not None
            assert one.low <= one.effect <= one.high
            nothing = 1.0 if one.unit == "ms" else 0.0
            if one.verdict != "same":
                assert not one.low <= nothing <= one.high
    assert equal.verdict == "same"
    assert slower.verdict == "worse"


def test_a_ratio_is_of_head_to_base(slower: Comparison) -> None:
    """And the smallest effect is what these very runs could have shown."""
    p50 = change(slower, "p50")
    assert p50.verdict == "worse"
    assert p50.effect == pytest.approx(1.5, rel=0.1)
    assert p50.base is not None
    assert p50.head is not None
    assert p50.head / p50.base == pytest.approx(p50.effect)
    assert p50.smallest is not None
    assert 1.05 < p50.smallest < 1.5


def test_more_calls_show_smaller_effects() -> None:
    """And fewer show less; a percentile without the samples is not looked at."""
    short = compare(*pair(SMALL, seed=1))
    long = compare(*pair(replace(SMALL, sessions=80), seed=1))
    for measure in ("p50", "p95", "errors"):
        few, many = change(short, measure).smallest, change(long, measure).smallest
        assert few is not None
        assert many is not None
        assert many < few
    measured = {(c.measure, c.phase) for c in short.changes}
    assert ("p99", "baseline") in measured
    assert ("p99", RECOVERY) not in measured
    assert ("p99", RECOVERY) in {(c.measure, c.phase) for c in long.changes}


def test_what_is_slower_by_a_millisecond_is_the_same() -> None:
    """A third more of next to nothing is nobody's loss."""
    fast = replace(ONE_PHASE, ms=1.0)
    assert compare(*pair(fast, seed=2, scale=1.3)).verdict == "same"
    assert compare(*pair(replace(fast, ms=30.0), seed=2, scale=1.3)).verdict == "worse"


def test_the_least_that_matters_can_be_said() -> None:
    """A fifth more is the same to whoever allows for a quarter."""
    base, head = pair(ONE_PHASE, seed=2, scale=1.2)
    assert compare(base, head).verdict == "worse"
    assert compare(base, head, latency_least=0.25).verdict == "same"


def test_a_slower_machine_is_not_a_slower_target() -> None:
    """What squall itself had to wait is allowed for, in the direction that it explains."""
    base, head = pair(ONE_PHASE, seed=2, scale=1.4)
    busy = tuple(replace(stretch, slowness=1.6) for stretch in head.runs[0].stretches)
    burdened = replace(head, runs=(replace(head.runs[0], stretches=busy, late_p99_ms=2.5),))
    assert compare(base, head).verdict == "worse"
    assert compare(base, burdened).verdict == "same"


def test_a_machine_that_keeps_all_waiting_shows_no_latency() -> None:
    """Errors are compared there all the same; that nothing else was is no pass."""
    base, head = pair(ONE_PHASE, seed=2, scale=3.0)
    busy = tuple(replace(stretch, slowness=12.0) for stretch in head.runs[0].stretches)
    told = compare(base, replace(head, runs=(replace(head.runs[0], stretches=busy),)))
    p50, errors = change(told, "p50"), change(told, "errors")
    assert (p50.verdict, p50.why_not) == (
        "cannot",
        "the machine of head made all work 12 times slower",
    )
    assert errors.verdict == "same"
    assert told.verdict == "cannot"


def test_what_squall_was_late_by_is_not_the_target_s() -> None:
    """A tail that squall's own lateness explains is the same."""
    base, head = pair(ONE_PHASE, seed=2, scale=1.2)
    late = replace(head, runs=(replace(head.runs[0], late_p50_ms=9.0, late_p99_ms=20.0),))
    assert compare(base, head).verdict == "worse"
    assert compare(base, late).verdict == "same"


def waiting(side: Side) -> Side:
    """Give the same figures, from a machine where squall waited thrice as long as it ran."""
    run = side.runs[0]
    busy = tuple(replace(stretch, slowness=4.0) for stretch in run.stretches)
    return replace(side, runs=(replace(run, stretches=busy, late_p99_ms=3.0),))


def test_what_is_not_work_takes_as_long_on_a_busy_machine() -> None:
    """Calls that take a quarter of a second while squall is 3 ms late are hardly the machine's."""
    world = replace(ONE_PHASE, ms=250.0, sigma=0.05)
    base, head = pair(world, seed=2, scale=1.2)
    assert compare(waiting(base), waiting(head)).verdict == "worse"
    base, head = pair(ONE_PHASE, seed=2, scale=1.2)
    assert compare(waiting(base), waiting(head)).verdict == "same"


def test_a_busy_machine_shows_less() -> None:
    """As long as nobody has measured how much equal runs differ on it."""
    base, head = pair(ONE_PHASE, seed=2)

    calm, busy = compare(base, head), compare(waiting(base), waiting(head))
    shown = [change(told, "p95").smallest for told in (calm, busy)]
    assert shown[0] is not None
    assert shown[1] is not None
    assert shown[0] < 1.2 < shown[1]
    assert any("4.0 times slower" in note for note in busy.notes)


def test_runs_that_could_show_no_change_at_all_are_not_called_the_same() -> None:
    """Two of one side are fourteen times apart; their errors can be told all the same."""
    base, head = pair(ONE_PHASE, seed=2)
    _, slow = pair(ONE_PHASE, seed=3, scale=14.0)
    told = compare(replace(base, runs=(*base.runs, *slow.runs)), head)
    p50 = change(told, "p50")
    assert p50.verdict == "cannot"
    assert "differ too much" in p50.why_not
    assert change(told, "errors").verdict == "same"
    assert "×" not in told.headline


# --- scores and recoveries ------------------------------------------------------------------


def scored(points: float, back_s: float, *, spread: float = 1.0) -> Side:
    """A side whose window came out like this."""
    random = np.random.default_rng(5)
    run = drawn_run(SMALL, random)
    score = Drawn(value=points, draws=random.normal(points, spread, 200))
    back = Drawn(value=back_s, draws=np.full(200, back_s))
    window = replace(run.windows[0], score=score, recovery=back)
    return Side(name="x", identity=IDENTITY, runs=(replace(run, windows=(window,), score=score),))


def test_a_lower_score_is_worse_and_a_higher_better() -> None:
    """By more than five points, and more than drawing sessions anew makes of it."""
    base = scored(92.0, 1.0)
    told = compare(base, scored(70.0, 1.0))
    assert change(told, "score", phase=WINDOW, arm="treated").verdict == "worse"
    assert change(told, "score", phase="", arm="").verdict == "worse"
    back = compare(scored(70.0, 1.0), base)
    assert change(back, "score", phase=WINDOW, arm="treated").verdict == "better"
    for other in (scored(89.0, 1.0), scored(70.0, 1.0, spread=15.0)):
        assert change(compare(base, other), "score", phase="", arm="").verdict == "same"


@pytest.mark.parametrize(
    ("back_s", "verdict"), [(1.0, "same"), (3.0, "same"), (9.0, "worse"), (-1.0, "worse")]
)
def test_a_longer_recovery_is_worse_and_none_is_the_longest(back_s: float, verdict: str) -> None:
    """Told in slices of a second, of which three are by chance."""
    told = compare(scored(92.0, 1.0), scored(92.0, back_s))
    assert change(told, "recovery", phase=WINDOW, arm="treated").verdict == verdict


# --- what cannot be compared ----------------------------------------------------------------


def _differently(run: Digest) -> Iterator[tuple[Side, str]]:
    one = Side(name="x", identity=IDENTITY, runs=(run,))
    yield replace(one, identity=replace(IDENTITY, seed=2)), "seed: 1, then 2"
    yield replace(one, identity=replace(IDENTITY, era="legacy")), "era: modern, then legacy"
    doubtful = replace(run, doubts=("generator: invalid: squall was late",))
    yield replace(one, runs=(doubtful,)), "head's run 1a2b3c4d: generator: invalid"


def test_what_cannot_be_compared_is_named() -> None:
    """Nothing else is said of such sides."""
    random = np.random.default_rng(1)
    base, run = side(SMALL, random), drawn_run(SMALL, random)
    for head, why in _differently(run):
        told = compare(base, head)
        assert told.verdict == "cannot"
        assert told.changes == ()
        assert told.differences[0].startswith(why)
        assert why in told.headline


def test_a_run_that_is_not_sound_is_left_out_of_several() -> None:
    """And that is told."""
    base, head = pair(SMALL, seed=3, runs=2)
    bad = replace(head.runs[1], doubts=("generator: invalid",))
    told = compare(base, replace(head, runs=(head.runs[0], bad)))
    assert told.verdict == "same"
    assert "left out, head's run 00000001: generator: invalid" in told.notes
    assert change(told, "errors").head_calls * 2 == change(told, "errors").base_calls


def test_a_fault_that_did_not_bite_takes_its_phases_along() -> None:
    """The baseline is compared all the same."""
    base, head = pair(SMALL, seed=3)
    window = replace(head.runs[0].windows[0], bit=False)
    idle_head = replace(head, runs=(replace(head.runs[0], windows=(window,)),))
    told = compare(base, idle_head)
    assert idle((base.runs, idle_head.runs), RECOVERY) == f"{WINDOW} did not bite in head"
    for one in told.changes:
        assert (one.verdict == "cannot") is (one.phase in (WINDOW, RECOVERY))
    assert told.verdict == "cannot"
    assert told.headline == f"CANNOT BE COMPARED  {WINDOW} did not bite in head"
    worse = replace(
        idle_head, runs=(replace(pair(SMALL, 3, scale=1.6)[1].runs[0], windows=(window,)),)
    )
    assert compare(base, worse).verdict == "worse"  # what is seen is not hidden by what is not


def test_a_phase_without_calls_on_one_side_is_named() -> None:
    """A target that answers nobody's calls at all has still been asked."""
    base, head = pair(SMALL, seed=3)
    some = tuple(s for s in head.runs[0].stretches if s.phase != RECOVERY)
    told = compare(base, replace(head, runs=(replace(head.runs[0], stretches=some),)))
    missing = [c for c in told.changes if c.phase == RECOVERY]
    assert {(c.verdict, c.why_not) for c in missing} == {("cannot", "no calls in head")}
