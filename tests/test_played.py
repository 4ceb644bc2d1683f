from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from faults.network import TcpDown, TcpLatency
from harness.errors import JournalError
from harness.evidence.phases import evidence
from harness.journal import (
    DeedEntry,
    FaultEntry,
    HaltEntry,
    LeaseEntry,
    OrderEntry,
    RemarkEntry,
    RunEntry,
)
from harness.played import Course, happenings, plan_for, restore, settle
from tests import journals

S = journals.S
SCENARIO = journals.scenario()
COURSE = Course(longest_s=3600.0)


def order(window: int, at_s: float, kind: str = "tcp-latency", **parameters: Any) -> OrderEntry:
    """Somebody orders a fault for a minute."""
    return OrderEntry(
        at_ns=round(at_s * S),
        window=window,
        who="Ana",
        kind=kind,
        parameters=parameters,
        for_s=60.0,
        expected="calls slow down",
        breaks="",
        stop_when="half of them fail",
    )


def edges(window: int, kind: str, start_s: float, end_s: float) -> tuple[FaultEntry, ...]:
    """A fault from its intent to its end."""
    one = FaultEntry(at_ns=0, window=window, kind=kind, lever="network", edge="intended")
    when = (("intended", start_s), ("injected", start_s), ("healing", end_s), ("healed", end_s))
    return tuple(
        replace(one, edge=edge, at_ns=round(at_s * S))  # type: ignore[arg-type]
        for edge, at_s in when
    )


def ended(at_s: float) -> RunEntry:
    """Somebody ends the day."""
    return RunEntry(at_ns=round(at_s * S), edge="ended", how="completed", why="ended by Ana")


def test_a_day_is_planned_for_as_long_as_it_may_last() -> None:
    """Steady load, and no fault of the scenario's own."""
    plan = plan_for(journals.scenario(journals.window(TcpDown())), COURSE)
    assert plan.windows == ()
    assert plan.end_ns == 3600 * S
    assert {session.end_ns for session in plan.sessions} == {3600 * S}
    assert plan.baseline_end_ns == 12 * S
    short = plan_for(SCENARIO, Course(longest_s=1.0))
    assert short.end_ns == short.baseline_end_ns


def test_what_was_done_by_hand_is_laid_beside_the_plan_as_if_it_had_been_known() -> None:
    """Windows as they really were, with their parameters, and the day's real end."""
    found = journals.journal(
        (
            order(1, 20.0, delay="300ms"),
            *edges(1, "tcp-latency", 20.1, 35.0),
            order(2, 60.0, "tcp-down"),
            *edges(2, "tcp-down", 60.2, 64.0),
            ended(90.0),
        )
    )
    scenario, plan = settle(SCENARIO, COURSE, found)
    assert [window.fault for window in scenario.faults] == [
        TcpLatency.model_validate({"delay": "300ms"}),
        TcpDown(),
    ]
    assert [window.duration_s for window in scenario.faults] == pytest.approx([14.9, 3.8])
    assert [(one.start_ns, one.end_ns) for one in plan.windows] == [
        (round(20.1 * S), 35 * S),
        (round(60.2 * S), 64 * S),
    ]
    assert plan.windows[0].recovery_end_ns == 45 * S
    assert plan.end_ns == 90 * S
    assert sum(plan.count(one.session) for one in plan.sessions) == pytest.approx(20 * 4 * 90, 0.02)


def test_a_day_is_judged_in_the_phases_that_it_had() -> None:
    """The baseline ends when it was planned to, or at the first fault; the rest follows."""
    entries = (order(1, 20.0), *edges(1, "tcp-latency", 20.5, 30.0), ended(50.0))
    found = journals.journal(entries)
    phases = evidence(*settle(SCENARIO, COURSE, found), found).phases
    assert (phases.baseline.start_ns, phases.baseline.end_ns) == (2 * S, 12 * S)
    (window,) = phases.windows
    assert window.id == "1:tcp-latency"
    assert (window.start_ns, window.healed_ns) == (round(20.5 * S), 30 * S)
    assert window.recovery_end_ns == 40 * S
    assert window.healed
    assert phases.end_ns == 50 * S


def test_a_day_that_was_cut_short_is_read_as_far_as_it_got() -> None:
    """Killed in the middle of a fault: the window lasts to the last thing that is known."""
    found = journals.journal((order(1, 20.0), *edges(1, "tcp-latency", 20.5, 30.0)[:2]))
    scenario, plan = settle(SCENARIO, COURSE, found)
    assert len(scenario.faults) == 1
    assert plan.windows[0].start_ns <= plan.windows[0].end_ns
    (window,) = evidence(scenario, plan, found).phases.windows
    assert not window.healed


def test_a_fault_that_was_ordered_and_never_applied_is_no_longer_than_nothing() -> None:
    """It has a window all the same: what was ordered is told."""
    found = journals.journal((order(1, 20.0), ended(50.0)))
    scenario, plan = settle(SCENARIO, COURSE, found)
    assert (len(scenario.faults), len(plan.windows)) == (1, 1)
    (window,) = evidence(scenario, plan, found).phases.windows
    assert not window.injected


def test_a_record_with_a_hole_is_not_judged() -> None:
    """Window numbers tell faults apart; one that is missing shifts the others."""
    with pytest.raises(JournalError, match="lacks a fault"):
        settle(SCENARIO, COURSE, journals.journal((order(2, 20.0),)))
    with pytest.raises(JournalError, match="another version"):
        settle(SCENARIO, COURSE, journals.journal((order(1, 20.0, depth="1"),)))
    with pytest.raises(JournalError, match="another version"):
        restore({"how": "long"})
    assert restore(asdict(COURSE)) == COURSE


def test_the_timeline_says_who_did_what() -> None:
    """Each kind of entry in words, in the order of time; squall's own have no name."""
    found = journals.journal(
        (
            RunEntry(at_ns=0, edge="started"),
            DeedEntry(at_ns=1 * S, who="Ana", deed="came", words="operator"),
            order(1, 20.0),
            *edges(1, "tcp-latency", 20.5, 30.0),
            LeaseEntry(at_ns=20 * S, window=1, edge="granted", until_ns=50 * S),
            LeaseEntry(at_ns=25 * S, window=1, edge="cut", until_ns=35 * S),
            HaltEntry(at_ns=29 * S, who="Ben", edge="asked"),
            HaltEntry(at_ns=31 * S, who="Ben", edge="proven"),
            RemarkEntry(at_ns=40 * S, who="Cleo", kind="action", text="raise it", window=1),
            ended(50.0),
        )
    )
    told = [(one.at_ns // S, one.who, one.words) for one in happenings(found)]
    assert told == [
        (0, "", "the storm began"),
        (1, "Ana", "opened the page: operator"),
        (20, "Ana", "ordered tcp-latency for 60 s"),
        (20, "", "tcp-latency: in force"),
        (25, "", "no operator's page is connected: the lease was cut short"),
        (29, "Ben", "HALT"),
        (30, "", "tcp-latency: undone"),
        (31, "", "all faults are undone, proven"),
        (40, "Cleo", "action: raise it"),
        (50, "", "the storm completed: ended by Ana"),
    ]
