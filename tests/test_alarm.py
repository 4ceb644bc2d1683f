from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable
from time import monotonic_ns

import anyio
import anyio.lowlevel
import pytest
import trio
import uvloop

from harness.alarm import STALE_MAX, Alarm, running_alarm

WAIT_S = 5.0
MS = 1_000_000
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such timers")


def _alarm() -> Alarm:
    alarm = running_alarm()
    assert alarm is not None
    return alarm


@pytest.mark.parametrize("loop", LOOPS)
def test_sleepers_wake_in_the_order_of_their_times(
    loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    """Whoever came first, on either loop; and none of them too early."""
    woken: list[int] = []

    async def sleep(at_ns: int, number: int) -> None:
        await _alarm().sleep_until(at_ns)
        assert monotonic_ns() >= at_ns
        woken.append(number)

    async def main() -> None:
        begun_ns = monotonic_ns() + 5 * MS
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*(sleep(begun_ns + k % 7 * MS, k % 7) for k in range(70)))

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert woken == sorted(woken)
    assert len(woken) == 70


@pytest.mark.anyio
async def test_a_sooner_sleeper_does_not_wait_for_a_later_one() -> None:
    """The timer is set anew for whoever comes first."""
    alarm, long = _alarm(), anyio.Event()

    async def sleep_long() -> None:
        long.set()
        await alarm.sleep_until(monotonic_ns() + 3600 * 1000 * MS)

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as together:
            together.start_soon(sleep_long)
            await long.wait()
            await alarm.sleep_until(monotonic_ns() + MS)
            together.cancel_scope.cancel()


@pytest.mark.anyio
async def test_cancelled_sleepers_wake_nobody_and_are_cleared_away() -> None:
    """A thousand waits that were given up leave less than a list of a thousand behind, twice."""
    alarm, far_ns = _alarm(), monotonic_ns() + 3600 * 1000 * MS
    with anyio.fail_after(WAIT_S):
        for _ in range(3):
            async with anyio.create_task_group() as together:
                for _ in range(STALE_MAX):
                    together.start_soon(alarm.sleep_until, far_ns)
                await anyio.lowlevel.checkpoint()
                together.cancel_scope.cancel()
        assert len(alarm) <= 2 * STALE_MAX
        await alarm.sleep_until(monotonic_ns() + MS)


def test_a_loop_that_has_gone_gives_its_timer_back() -> None:
    """Descriptors do not pile up over the loops of a process."""

    async def descriptor() -> int:
        alarm = _alarm()
        await alarm.sleep_until(monotonic_ns() + MS)
        assert running_alarm() is alarm  # one for each loop
        return alarm.descriptor

    used = asyncio.run(descriptor())
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(used, 8)


def test_other_loops_have_no_alarm() -> None:
    """Virtual time is Trio's, and a real timer would know nothing of it."""

    async def main() -> None:
        assert running_alarm() is None

    trio.run(main)
