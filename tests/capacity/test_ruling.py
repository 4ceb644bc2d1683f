from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.capacity.course import Course
from harness.capacity.ruling import Capacity, conclude
from harness.errors import Exit
from harness.journal import Calls, FaultEntry, Journal
from harness.outcome import Outcome, Reason
from tests.capacity.climbs import course, in_force, joined, played, prepared, queue, steps_at

SERVER = queue(8, lambda _: 0.04)  # 200 a second
HALF = queue(4, lambda _: 0.04)
FAST = queue(100, lambda _: 0.04)
CLIMB = (100.0, 190.0, 210.0, 400.0)


def concluded(journal: Journal, of: Course | None = None, **options: Any) -> Capacity:
    """Conclude from a journal, by a course of one curve if nothing else is said."""
    asked = course() if of is None else of
    return conclude(prepared(asked), asked, journal, name="small", **options)


def both(**changes: Any) -> tuple[Course, Journal]:
    """Make a climb of two curves: half as much is left under the fault."""
    of = course(faults=("tcp-latency",))
    bare = steps_at(SERVER, of, *CLIMB)
    under = steps_at(HALF, of, 50.0, 95.0, 105.0, 200.0, first=5, start_s=100, curve=1)
    return of, joined(*bare, *under, extra=in_force(of, 99, 180, **changes))


def test_a_climb_without_a_gate_is_measured() -> None:
    """Finding the knee is all that was asked for."""
    result = concluded(joined(*steps_at(SERVER, course(), *CLIMB)))
    assert (result.exit_code, result.ruling) == (Exit.PASS, "pass")
    assert result.headline == "CAPACITY  bare 200/s (95 % between 190/s and 210/s)"


def test_two_curves_are_laid_beside_each_other() -> None:
    """The fault's knee is told as a share of the bare one, with its own interval."""
    result = concluded(both()[1], both()[0])
    assert result.exit_code == Exit.PASS
    bare, under = result.curves
    assert (bare.name, under.name) == ("bare", "1:tcp-latency")
    assert under.exposure == "50 connections, counted by the injector"
    assert under.of_bare is not None
    estimate, low, high = under.of_bare
    assert estimate == pytest.approx(0.5, rel=0.05)
    assert high is not None
    assert low <= 0.5 <= high
    assert "1:tcp-latency 99.9/s (95 % between 95/s and 105/s), 50% of bare" in result.headline


@pytest.mark.parametrize(
    ("at_least", "code", "words"),
    [
        (180.0, Exit.PASS, "CAPACITY  bare 200/s"),
        (300.0, Exit.FAIL, "FAIL  at least 300/s was wanted: bare 200/s"),
        (200.0, Exit.UNKNOWN, "UNKNOWN  at least 200/s was wanted, and may be so or not"),
    ],
)
def test_the_gate_looks_at_the_interval(at_least: float, code: Exit, words: str) -> None:
    """Surely enough passes, surely too little fails, and what lies between is not decided."""
    of = course(at_least_per_s=at_least)
    result = concluded(joined(*steps_at(SERVER, of, *CLIMB)), of)
    assert (result.exit_code, result.headline[: len(words)]) == (code, words)


def test_a_fault_that_did_not_bite_leaves_its_curve_in_doubt() -> None:
    """Nobody shall read the bare knee twice and call one of them the fault's."""
    of, journal = both(hits=0)
    result = concluded(journal, of)
    assert result.exit_code == Exit.UNKNOWN
    assert result.curves[1].of_bare is None
    assert result.curves[1].unsound.startswith("the fault did not bite")
    assert "did not bite" in result.headline


def test_a_fault_that_is_not_undone_outranks_everything() -> None:
    """Whoever leaves something broken says so first."""
    of, journal = both()
    entries = tuple(
        replace(one, edge="not_healed", error="the lever did not answer")
        if isinstance(one, FaultEntry) and one.edge == "healed"
        else one
        for one in journal.entries
    )
    assert concluded(replace(journal, entries=entries), of).exit_code == Exit.NOT_HEALED
    said = concluded(journal, of, open_=("proxy squall-1 is still there",))
    assert said.exit_code == Exit.NOT_HEALED
    assert said.headline.startswith("NOT HEALED  proxy squall-1 is still there")


@pytest.mark.parametrize(
    ("how", "why", "code"),
    [
        ("interrupted", "SIGINT", Exit.INTERRUPTED),
        ("aborted", "the target died at 400/s", Exit.ABORTED),
        ("failed", "Toxiproxy has died", Exit.UNKNOWN),
    ],
)
def test_a_climb_that_ended_early_keeps_what_it_measured(how: str, why: str, code: Exit) -> None:
    """The knee so far is told, and why there is no more."""
    result = concluded(joined(*steps_at(SERVER, course(), *CLIMB), how=how, why=why))
    assert result.exit_code == code
    assert why in result.headline
    assert "bare 200/s (95 % between 190/s and 210/s)" in result.headline


def test_what_stopped_the_climb_is_told_where_it_found_no_end() -> None:
    """At least so much, and whether squall, the ceiling or the clock kept it from more."""
    ceiling = course(last_per_s=190.0)
    result = concluded(joined(*steps_at(SERVER, ceiling, 100.0, 190.0)), ceiling)
    assert result.headline == "CAPACITY  bare at least 190/s (no more was asked for)"
    clock = concluded(joined(*steps_at(SERVER, course(), 100.0, 190.0)))
    assert clock.headline.endswith("(the time was up)")

    def starve(_: int, calls: Calls) -> None:
        for stamp in ("sent_ns", "done_ns"):
            calls[stamp] += 30_000_000

    limited = [
        *steps_at(SERVER, course(), 100.0, 190.0),
        played(FAST, course(), 380, 3, np.random.default_rng(1), spoil=starve, start_s=60),
    ]  # fmt: skip
    result = concluded(joined(*limited))
    assert result.headline.endswith("(squall itself was the limit above that)")
    assert result.exit_code == Exit.PASS


def test_a_target_that_fails_every_call_has_no_capacity_to_speak_of() -> None:
    """Errors at the lowest rate are no load's doing, so there is nothing to conclude."""

    def refuse(_: int, calls: Calls) -> None:
        calls["outcome"] = Outcome.HTTP_ERROR
        calls["reason"] = Reason.HTTP_STATUS

    steps = [
        played(SERVER, course(), rate, number, np.random.default_rng(1), spoil=refuse, start_s=at)
        for number, rate, at in ((1, 50.0, 10.0), (2, 25.0, 30.0))
    ]
    result = concluded(joined(*steps))
    assert result.exit_code == Exit.UNKNOWN
    assert "100% of the calls failed at 25/s already" in result.headline


def test_no_step_at_all_is_unknown() -> None:
    """A run that ended while its sessions opened says nothing."""
    whole = joined(*steps_at(SERVER, course(), 50.0), how="interrupted", why="SIGINT")
    entries = tuple(one for one in whole.entries if one.type != "step")
    result = concluded(replace(whole, entries=entries))
    assert result.exit_code == Exit.INTERRUPTED
    assert result.headline == "INTERRUPTED  SIGINT; bare not measured"
