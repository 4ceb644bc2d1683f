"""An A/A run asks what the scenario asks, for as long, and breaks nothing."""

from __future__ import annotations

import pytest

from faults.network import TcpLatency, TcpReset
from harness.scenario.bare import QUESTION, bare, stretch_s
from tests.journals import scenario, window


def test_nothing_is_broken_and_the_run_is_as_long_as_before() -> None:
    """One baseline over windows and recoveries; what the agents do is untouched."""
    of = scenario(window(TcpLatency(), 6), window(TcpReset(), 8), limits={"recovery": "<= 5s"})
    made = bare(of)
    assert (made.faults, made.limits.recovery) == ((), None)
    assert made.phases.baseline_s == 10 + 6 + 10 + 8 + 10
    assert (made.agents, made.target, made.seed) == (of.agents, of.target, of.seed)
    assert made.question == QUESTION
    assert stretch_s(of) == 6


def test_there_are_three_stretches_at_least() -> None:
    """A single long fault would else be measured once."""
    of = scenario(window(TcpLatency(), 60))
    assert bare(of).phases.baseline_s == 180


def test_a_scenario_without_faults_is_its_own_stretch() -> None:
    """Its baseline is what is compared."""
    of = scenario()
    assert (stretch_s(of), bare(of).phases.baseline_s) == (10, 10)


@pytest.mark.parametrize(("asked", "split"), [("100%", 0.5), ("0%", 0.5), ("30%", 0.3)])
def test_both_arms_have_sessions(asked: str, split: float) -> None:
    """Where there was one arm the sessions are split evenly."""
    of = scenario(load={"sessions": 20, "treated": asked})
    assert bare(of).load.treated == split
    assert bare(of).load.sessions == 20
