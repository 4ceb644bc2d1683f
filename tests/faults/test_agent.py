from __future__ import annotations

import pytest
from pydantic import ValidationError

from faults.agent import AgentFault, ClientVanish, PayloadRequest, PayloadResponse, ResponseLost
from faults.levers import Behaviour
from harness.journal import BEHAVIOUR_CODES
from harness.session.conduct import Conduct
from tests import virtual
from tests.faults.fakes import World

RUN = "squall-r4nd-1"


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """Nothing here waits for the world."""
    return virtual.backend()


@pytest.mark.parametrize(
    ("fault", "written", "behaviour"),
    [
        (
            ClientVanish,
            {"after": "150ms", "share": "25%"},
            Behaviour(kind="vanish", share=0.25, after_s=0.15),
        ),
        (ResponseLost, {"share": "5%"}, Behaviour(kind="lose_reply", share=0.05)),
        (
            PayloadRequest,
            {"size": "1MiB", "share": "1%"},
            Behaviour(kind="payload_request", share=0.01, size_bytes=1_048_576),
        ),
        (
            PayloadResponse,
            {"size": "2KiB", "share": "100%", "tool": "dump", "argument": "bytes"},
            Behaviour(
                kind="payload_response", share=1.0, size_bytes=2048, tool="dump", argument="bytes"
            ),
        ),
    ],
)
@pytest.mark.anyio
async def test_a_fault_of_the_agents_is_one_behaviour(
    fault: type[AgentFault], written: dict[str, str], behaviour: Behaviour
) -> None:
    """What the file says is what every treated session is told, and told to leave again."""
    world = World()
    async with fault.model_validate(written).inject(world.levers, RUN):
        assert world.agent.engaged == {behaviour.kind: behaviour}
    assert world.hand.pulls == [f"engage {behaviour.kind}", f"disengage {behaviour.kind}"]


@pytest.mark.parametrize(
    ("fault", "written"),
    [
        (PayloadRequest, {"size": "63KiB"}),  # a request of everyday size proves nothing
        (PayloadRequest, {"size": "17MiB"}),  # and no machine is to be filled
        (PayloadResponse, {"size": "1023B"}),
    ],
)
def test_a_payload_beyond_its_bounds_is_refused(
    fault: type[AgentFault], written: dict[str, str]
) -> None:
    """A size has to be large enough to show something and small enough to be sent."""
    with pytest.raises(ValidationError, match="size"):
        fault.model_validate(written)


@pytest.mark.parametrize("fault", [ClientVanish, ResponseLost, PayloadRequest, PayloadResponse])
def test_every_behaviour_can_be_recorded_and_engaged(fault: type[AgentFault]) -> None:
    """The journal has a number for it, and the near end of the lever takes it."""
    behaviour = fault().behaviour()
    conduct = Conduct()
    conduct.engage(behaviour, now_ns=0)
    assert BEHAVIOUR_CODES[behaviour.kind] > 0
    assert conduct.get(behaviour.kind) == behaviour
