"""A lock that is nothing until somebody holds it."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

from harness.session.turn import Turn

pytestmark = pytest.mark.anyio

WAIT_S = 10


async def test_holders_follow_one_another_in_the_order_of_their_coming() -> None:
    """Nobody holds a turn beside another, and nobody overtakes."""
    turn, held, order = Turn(), 0, list[int]()

    async def hold(number: int) -> None:
        nonlocal held
        async with turn:
            held += 1
            assert held == 1
            order.append(number)
            await anyio.lowlevel.checkpoint()
            held -= 1

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(hold, number)
    assert order == [0, 1, 2, 3, 4]


async def test_a_turn_passes_on_when_its_holder_fails_or_a_waiter_gives_up() -> None:
    """Neither an exception nor a cancelled wait keeps the next one out."""
    turn, entered = Turn(), anyio.Event()

    async def fail() -> None:
        async with turn:
            with anyio.move_on_after(0.01):
                await enter()
            assert not entered.is_set()
            raise RuntimeError("the holder fails")

    async def enter() -> None:
        async with turn:
            entered.set()

    with anyio.fail_after(WAIT_S):
        with pytest.raises(RuntimeError):
            await fail()
        await enter()
    assert entered.is_set()
