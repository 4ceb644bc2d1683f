from __future__ import annotations

import pytest

from faults.fault import Fault
from faults.network import TcpLatency
from harness.checks.soundness import CALLS_MIN
from harness.evidence import volume
from harness.evidence.volume import thin
from harness.plan import Plan, make
from harness.scenario.load import load
from scenarios import shipped
from tests import journals
from tests.journals import plan, scenario, window


def planned(*faults: Fault, pace: str, **phases: str) -> Plan:
    """Ten sessions an arm at a pace."""
    agent = {"name": "worker", "pace": pace, "steps": [journals.SEARCH]}
    lengths = {"warmup": "1s", "baseline": "10s", "recovery": "10s"} | phases
    windows = [window(fault) for fault in faults]
    return plan(scenario(*windows, agents=[agent], phases=lengths))


def test_a_plan_with_enough_calls_everywhere_is_not_thin() -> None:
    """Ten sessions that call four times a second."""
    assert thin(planned(TcpLatency(), pace="4/s")) == ()


def test_a_phase_with_few_calls_is_named_with_a_length_that_would_do() -> None:
    """What is written there is enough, and the other phase was."""
    (found,) = thin(planned(TcpLatency(), pace="1/s", recovery="2s"))
    assert (found.phase, found.arm) == ("recovery", "treated")
    assert 15 <= found.due <= 25
    assert thin(planned(TcpLatency(), pace="1/s", recovery=f"{found.enough_s:g}s")) == ()


def test_a_planned_call_is_counted_as_the_plan_makes_it() -> None:
    """Between two moments there are as many as the sessions' steps say."""
    of = planned(pace="1/s", baseline="20s", warmup="0s")
    least = 10_000
    by_arm = {
        arm: sum(
            of.baseline_start_ns <= step.due_ns < of.baseline_end_ns
            for each in of.sessions
            if each.arm == arm
            for step in of.steps(each.session)
        )
        for arm in ("treated", "control")
    }
    (found,) = thin(of, least)
    assert found.due == min(by_arm.values())


def test_it_asks_for_what_the_verdict_asks_for() -> None:
    """Or a warning would be wrong, or missing."""
    assert volume.CALLS_MIN == CALLS_MIN


@pytest.mark.parametrize("name", sorted(shipped()))
def test_no_shipped_scenario_is_thin(name: str) -> None:
    """Nobody begins with a warning."""
    assert thin(make(load(shipped()[name]).scenario)) == ()
