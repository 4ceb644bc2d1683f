from __future__ import annotations

from typing import Any

import pytest

from faults.network import TcpLatency, TcpReset
from harness.capacity.arrivals import calls_a_turn, due_times_ns
from harness.capacity.course import (
    Course,
    chosen,
    dump,
    make_plan,
    prepare,
    restore,
    sessions_for,
)
from harness.errors import JournalError, UsageError
from harness.scenario.records import Scenario
from tests.journals import NOTE, SEARCH, S, scenario, window


def two_agents() -> Scenario:
    """Make a scenario in which one agent of four makes most of the calls."""
    agents = [
        {"name": "slow", "share": "75%", "pace": "1/s", "steps": [SEARCH]},
        {"name": "fast", "share": "25%", "pace": "9/s", "steps": [{"parallel": [SEARCH, NOTE]}]},
    ]
    return scenario(agents=agents)


def test_sessions_are_apportioned_by_the_calls_they_make() -> None:
    """Every session carries the same part of the rate, and the mix stays the scenario's."""
    of = Course(sessions=100)
    plan = make_plan(prepare(two_agents(), of), of)
    fast = sum(planned.agent == 1 for planned in plan.sessions)
    assert fast == 75  # 25 % at nine times the pace
    assert {planned.arm for planned in plan.sessions} == {"treated"}
    assert calls_a_turn(plan) == pytest.approx(1.75)


def test_the_faults_to_climb_under_are_chosen_by_kind() -> None:
    """The scenario's first without a word; all of them, any other, or none at all."""
    of = scenario(window(TcpLatency()), window(TcpReset()), window(TcpLatency()))
    assert chosen(of, ()) == ("tcp-latency",)
    assert chosen(of, ("all",)) == ("tcp-latency", "tcp-reset")
    assert chosen(of, ("tcp-slice", "tcp-slice")) == ("tcp-slice",)
    assert chosen(of, ("none",)) == ()
    assert chosen(scenario(), ()) == ()
    with pytest.raises(UsageError, match="no fault 'tcp-lag'"):
        chosen(of, ("tcp-lag",))


def test_a_fault_of_the_scenario_keeps_its_parameters() -> None:
    """Under a fault of that kind means under the author's own."""
    of = Course(faults=("tcp-latency", "tcp-reset"))
    own = TcpLatency.model_validate({"delay": "77ms"})
    faults = [each.fault for each in prepare(scenario(window(own)), of).faults]
    assert faults == [own, TcpReset()]


def test_limits_come_from_the_scenario_unless_they_are_given() -> None:
    """What a climb cannot measure is taken out, and a limit on latency is always there."""
    of = scenario(limits={"latency_p95": "<= 80ms", "score": ">= 80"})
    limits = prepare(of, Course(limits=("answered >= 90%",))).limits
    assert (limits.latency_p95, limits.answered, limits.score) == ("<= 80ms", ">= 90%", None)
    assert limits.latency_p99 is None
    limits = prepare(scenario(), Course()).limits
    assert (limits.latency_p99, limits.answered) == ("<= 500ms", ">= 99%")


@pytest.mark.parametrize(
    "text", ["score >= 80", "latency_p99", "latency_p99 >= 5ms", "latency_p99 <= fast", ""]
)
def test_a_limit_that_means_nothing_is_refused(text: str) -> None:
    """The mend is in the message."""
    with pytest.raises(UsageError, match="write for example"):
        prepare(scenario(), Course(limits=(text,)))


def test_a_fault_that_holds_calls_gets_more_sessions() -> None:
    """A session has one call in flight, and what a fault adds to it is no limit of the target's."""
    slow = scenario(window(TcpLatency.model_validate({"delay": "250ms", "jitter": "0ms"})))
    assert sessions_for(scenario(), ()) == 128
    assert sessions_for(slow, ("tcp-latency",)) == 328
    assert sessions_for(scenario(load={"sessions": 900}), ()) == 900


def test_a_course_survives_its_way_through_the_facts() -> None:
    """A stored climb is judged as it was asked for."""
    of = Course(faults=("tcp-reset",), limits=("answered >= 90%",), last_per_s=300.0)
    assert restore(dump(of)) == of
    with pytest.raises(JournalError, match="another version"):
        restore({"pace": 3})


@pytest.mark.parametrize("spacing", ["poisson", "even"])
def test_due_times_are_computed_from_the_seed(spacing: Any) -> None:
    """The same key gives the same moments, in order and inside the step."""

    def times(*key: int) -> list[int]:
        return due_times_ns(500, start_ns=3 * S, end_ns=8 * S, spacing=spacing, key=key)

    made = times(7, 0, 1)
    assert made == sorted(made) == times(7, 0, 1)
    assert len(made) == 500
    assert 3 * S <= made[0] < made[-1] < 8 * S
    assert (times(7, 0, 2) == made) is (spacing == "even")
