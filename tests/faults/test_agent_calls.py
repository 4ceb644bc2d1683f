from __future__ import annotations

import pytest
from pydantic import ValidationError

from faults.agent import AgentFault
from faults.agent_calls import (
    AgentLoop,
    ArgsFuzz,
    ArgsInvalid,
    CallCancel,
    CallRepeat,
    IdCollide,
    SlowNeighbour,
)
from faults.levers import Behaviour
from harness.journal import BEHAVIOUR_CODES
from harness.session.conduct import PRELUDES, Conduct

FAULTS = (AgentLoop, ArgsFuzz, ArgsInvalid, CallCancel, CallRepeat, IdCollide, SlowNeighbour)


@pytest.mark.parametrize(
    ("fault", "written", "behaviour"),
    [
        (
            CallCancel,
            {"after": "100ms", "share": "50%", "tool": "write"},
            Behaviour(kind="cancel_call", share=0.5, after_s=0.1, tool="write"),
        ),
        (
            CallCancel,
            {"odd_ids": True},
            Behaviour(kind="cancel_call", share=0.2, after_s=0.3, variant="odd-ids"),
        ),
        (CallRepeat, {"share": "50%"}, Behaviour(kind="repeat_call", share=0.5)),
        (IdCollide, {"count": 6}, Behaviour(kind="collide_ids", share=0.2, count=6)),
        (ArgsInvalid, {"tool": "t"}, Behaviour(kind="spoil_arguments", share=0.1, tool="t")),
        (ArgsFuzz, {"cases": 20}, Behaviour(kind="fuzz_arguments", share=1.0, count=20)),
        (AgentLoop, {"cap": 9}, Behaviour(kind="loop_call", share=0.1, count=9)),
        (
            SlowNeighbour,
            {"tool": "wait", "argument": "s", "slow": "2s", "share": "20%"},
            Behaviour(kind="slow_call", share=0.2, tool="wait", argument="s", after_s=2.0),
        ),
    ],
)
def test_what_is_written_is_the_behaviour(
    fault: type[AgentFault], written: dict[str, object], behaviour: Behaviour
) -> None:
    """Every treated session is told just that."""
    assert fault.model_validate(written).behaviour() == behaviour


@pytest.mark.parametrize("count", [1, 11])
def test_calls_collide_by_the_two_and_by_no_more_than_ten(count: int) -> None:
    """One collides with nothing, and a crowd proves no more than ten."""
    with pytest.raises(ValidationError, match="count"):
        IdCollide.model_validate({"count": count})


@pytest.mark.parametrize("fault", FAULTS)
def test_every_behaviour_can_be_recorded_and_engaged(fault: type[AgentFault]) -> None:
    """The journal has a number for it, and sessions look for it before each call."""
    behaviour = fault().behaviour()
    conduct = Conduct()
    conduct.engage(behaviour, now_ns=0)
    assert BEHAVIOUR_CODES[behaviour.kind] > 0
    assert behaviour.kind in PRELUDES
    assert conduct.preludes() == (behaviour,)
