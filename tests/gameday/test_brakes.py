from __future__ import annotations

from faults.network import TcpDown
from faults.process import ProcessKill
from harness.gameday.brakes import Brakes
from harness.recent import ArmTally
from harness.scenario.conditions import parse_abort

S = 1_000_000_000


def seconds(
    brakes: Brakes, count: int, *, control: float = 0.0, treated: float = 0.0, calls: int = 100
) -> str:
    """Let so many seconds pass with these shares of errors; what was said last."""
    said = ""
    for _ in range(count):
        sums = {
            "control": ArmTally(calls=calls, errors=round(calls * control)),
            "treated": ArmTally(calls=calls, errors=round(calls * treated)),
        }
        said = brakes.pull(sums, now_ns=(brakes.heard_ns or S) + S)
    return said


def test_the_control_arm_has_a_limit_though_nobody_set_one() -> None:
    """Stop conditions are on from the first fault, and need five bad seconds in a row."""
    brakes = Brakes(heard_ns=S)
    brakes.set_for(TcpDown(), None, None)
    assert seconds(brakes, 4, control=0.5) == ""
    assert seconds(brakes, 1, control=0.0) == ""
    assert seconds(brakes, 4, control=0.5) == ""
    assert seconds(brakes, 1, control=0.5) == "control arm: 50% errors, > 20% for 5s was the limit"


def test_what_strikes_both_arms_may_last_longer_and_not_for_ever() -> None:
    """A killed process fails everybody, which is no reason to end the fault at once."""
    brakes = Brakes(heard_ns=S)
    brakes.set_for(ProcessKill(), None, None)
    assert seconds(brakes, 29, control=1.0) == ""
    assert "for 30s" in seconds(brakes, 1, control=1.0)


def test_the_scenarios_own_condition_comes_first() -> None:
    """Who wrote one knows the service."""
    brakes = Brakes(heard_ns=S)
    brakes.set_for(ProcessKill(), "> 5% for 2s", None)
    assert seconds(brakes, 1, control=0.1) == ""
    assert "> 5% for 2s" in seconds(brakes, 1, control=0.1)


def test_a_hypothesis_may_bring_a_condition_on_the_treated_arm() -> None:
    """Treated errors alone end nothing unless the hypothesis says so."""
    brakes = Brakes(heard_ns=S)
    brakes.set_for(TcpDown(), None, None)
    assert seconds(brakes, 20, treated=1.0) == ""
    brakes.set_for(TcpDown(), None, parse_abort("> 50% for 3s"))
    assert seconds(brakes, 2, treated=1.0) == ""
    assert "treated arm: 100% errors" in seconds(brakes, 1, treated=1.0)


def test_a_second_without_answers_says_nothing_and_interrupts_nothing() -> None:
    """Hanging calls are errors only once they have ended."""
    brakes = Brakes(heard_ns=S)
    brakes.set_for(TcpDown(), None, None)
    assert seconds(brakes, 4, control=1.0) == ""
    assert seconds(brakes, 5, calls=0) == ""
    assert seconds(brakes, 1, control=1.0) != ""
    brakes.release()
    assert seconds(brakes, 20, control=1.0) == ""
