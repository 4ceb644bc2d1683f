"""The promise of every fault there is: it takes, and it heals, whatever happens inside it."""

from __future__ import annotations

from typing import Any, Final

import anyio
import pytest
from pydantic import ValidationError

from faults.catalogue import CATALOGUE
from faults.fault import UNDO_S, Fault
from faults.identity import TokenExpire
from faults.levers import FaultError, Levers, NotUndoneError
from faults.load import LoadShape
from tests import virtual
from tests.faults.fakes import Failing, World

RUN = "squall-r4nd-1"
FAULTS = [
    *(
        pytest.param(fault(), id=kind)
        for kind, fault in CATALOGUE.items()
        if not issubclass(fault, LoadShape)  # the plan is their lever
    ),
    pytest.param(TokenExpire(by="waiting"), id="token-expire by waiting"),
    pytest.param(TokenExpire(by="damage"), id="token-expire by damage"),
]
every_fault = pytest.mark.parametrize("fault", FAULTS)
pytestmark = pytest.mark.anyio
_NAMELESS = {"tcp-down", "dep-down", "reconnect-storm"}  # a closed port needs no name


@pytest.fixture
def anyio_backend() -> virtual.Backend:
    """A lever that hangs costs no waiting."""
    return virtual.backend()


class _BrokenError(Exception):
    """Something that goes wrong inside a window."""


async def _pulls_to_apply(fault: Fault) -> int:
    world = World()
    async with fault.inject(world.levers, RUN):
        return len(world.hand.pulls)


@every_fault
async def test_a_fault_takes_while_it_lasts_and_heals_when_it_ends(fault: Fault) -> None:
    """Applied inside the block, proven by an exposure, and gone after it."""
    world = World()
    async with fault.inject(world.levers, RUN) as injection:
        assert not world.at_rest
        exposure = await injection.exposure()
        assert exposure.count > 0
        assert exposure.source != "none"
    assert world.at_rest


@every_fault
async def test_a_fault_heals_when_its_window_fails(fault: Fault) -> None:
    """An error inside comes out as it was, after the healing."""
    world = World()
    with pytest.raises(_BrokenError):
        async with fault.inject(world.levers, RUN):
            raise _BrokenError
    assert world.at_rest


@every_fault
async def test_a_fault_heals_when_its_window_is_cancelled(fault: Fault) -> None:
    """No cancellation reaches the steps back, though each of them has to wait."""
    world = World()
    with anyio.move_on_after(1) as scope:
        async with fault.inject(world.levers, RUN):
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert world.at_rest


@pytest.mark.parametrize("failing", ["refuses", "loses its answer"])
@every_fault
async def test_a_lever_that_fails_half_way_has_its_first_half_undone(
    fault: Fault, failing: Failing
) -> None:
    """Whichever pull fails, before or after its effect, nothing stays applied."""
    for number in range(await _pulls_to_apply(fault)):
        world = World({number: failing})
        with pytest.raises(FaultError) as caught:
            async with fault.inject(world.levers, RUN):
                pytest.fail("the fault did not take and its window began")
        assert not isinstance(caught.value, NotUndoneError)
        assert world.at_rest, world.hand.pulls


@every_fault
async def test_a_lever_that_hangs_half_way_has_its_first_half_undone(fault: Fault) -> None:
    """Whoever gives up waiting for the injection finds nothing applied."""
    for number in range(await _pulls_to_apply(fault)):
        world = World({number: "hangs"})
        with anyio.move_on_after(1) as scope:
            async with fault.inject(world.levers, RUN):
                pytest.fail("the fault did not take and its window began")
        assert scope.cancelled_caught
        assert world.hand.stuck.is_set()
        assert world.at_rest, world.hand.pulls


@pytest.mark.parametrize("failing", ["refuses", "hangs"])
@every_fault
async def test_a_step_back_that_fails_is_confessed_and_stops_no_other(
    fault: Fault, failing: Failing
) -> None:
    """The error says that the fault may still be in force; all other steps are still taken."""
    forth = await _pulls_to_apply(fault)
    whole = World()
    async with fault.inject(whole.levers, RUN):
        pass
    for number in range(forth, len(whole.hand.pulls)):
        world = World({number: failing})
        with pytest.raises(NotUndoneError, match=r"refused|did not answer within"):
            async with fault.inject(world.levers, RUN):
                pass
        assert world.hand.pulls == whole.hand.pulls


@every_fault
async def test_the_steps_back_are_bounded_together(fault: Fault) -> None:
    """With every lever hanging, leaving the fault takes no longer than a step's time each."""
    forth = await _pulls_to_apply(fault)
    world = World(dict.fromkeys(range(forth, forth + 10), "hangs"))
    with pytest.raises(NotUndoneError):
        async with fault.inject(world.levers, RUN):
            began_s = anyio.current_time()
    assert anyio.current_time() - began_s <= 3 * UNDO_S


@every_fault
async def test_a_missing_lever_is_refused_with_nothing_applied(fault: Fault) -> None:
    """Each lever is withheld in turn; a fault that does not need it takes all the same."""
    refusals: list[str] = []
    for lever in ("network", "identity", "agent", "process", "dependency"):
        world = World()
        held: dict[str, Any] = {
            "network": world.network, "identity": world.identity, "agent": world.agent,
            "process": world.process, "dependency": world.dependency,
        }  # fmt: skip
        held[lever] = None
        try:
            async with fault.inject(Levers(**held), RUN):
                assert not world.at_rest
        except FaultError as error:
            refusals.append(str(error))
            assert not world.hand.pulls
        assert world.at_rest
    assert refusals
    assert all(fault.kind in refusal for refusal in refusals)


@every_fault
async def test_a_toxic_bears_the_name_of_its_run(fault: Fault) -> None:
    """Only what begins with a run's name is ever touched when a run is cleaned up."""
    world = World()
    async with fault.inject(world.levers, RUN):
        pass
    named = [*world.network.named, *world.dependency.proxy.named, *world.dependency.labels]
    assert all(name.startswith(RUN) for name in named)
    needs_name = fault.lever in {"network", "dependency"} and fault.kind not in _NAMELESS
    assert bool(named) is needs_name


@every_fault
async def test_two_windows_of_one_kind_do_not_share_toxics(fault: Fault) -> None:
    """Names are unique in the run, so one window's end leaves the other's toxics alone."""
    world = World()
    async with fault.inject(world.levers, "squall-r4nd-1"):
        before = world.named
        async with fault.inject(world.levers, "squall-r4nd-2"):
            assert len(world.named) == 2 * len(before)
        assert world.named == before


@pytest.mark.parametrize("kind", CATALOGUE)
def test_a_fault_refuses_a_parameter_that_nobody_knows(kind: str) -> None:
    """A key without a meaning is a mistake and no comment."""
    with pytest.raises(ValidationError, match="Extra inputs"):
        CATALOGUE[kind].model_validate({"nobody-knows": 1})


_NAMES: Final = {"tool", "argument", "scope", "dependency", "variable"}  # any word names these


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, field.alias or name)
        for kind, fault in CATALOGUE.items()
        for name, field in fault.model_fields.items()
        if name not in _NAMES
    ],
)
@pytest.mark.parametrize("value", [-1, "-1ms", "200%", "much", None, [], "1e9s"])
def test_a_fault_refuses_a_parameter_that_means_nothing(
    kind: str, name: str, value: object
) -> None:
    """No quantity without its unit, none below zero, no share above all, no unknown word."""
    with pytest.raises(ValidationError):
        CATALOGUE[kind].model_validate({name: value})


@every_fault
def test_a_fault_is_frozen(fault: Fault) -> None:
    """A plan's fault stays what the file said."""
    for name in type(fault).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(fault, name, getattr(fault, name))
    assert hash(fault) == hash(fault.model_copy())
