from __future__ import annotations

import anyio
import pytest

from harness.clock import NS_PER_MS, NS_PER_S, RunClock
from tests.virtual import VirtualClock

WAIT_S = 5.0


def test_two_clocks_of_one_origin_tell_the_same_time() -> None:
    """What a worker stamps, the master can compare without translation."""
    master = RunClock()
    worker = RunClock(master.origin_ns)
    before_ns, between_ns, after_ns = master.now_ns(), worker.now_ns(), master.now_ns()
    assert 0 <= before_ns <= between_ns <= after_ns


def test_time_is_negative_before_the_run_begins() -> None:
    """The origin may be put into the future, so that all are ready at zero."""
    clock = RunClock(RunClock().origin_ns + NS_PER_S * 60)
    assert -60 * NS_PER_S <= clock.now_ns() < 0


@pytest.mark.anyio
@pytest.mark.parametrize("precise", [True, False])
async def test_nobody_is_woken_early(precise: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by a nanosecond, with the system's timer or without: an early call would look fast."""
    if not precise:
        monkeypatch.setattr("harness.clock.running_alarm", lambda: None)
    clock = RunClock()
    with anyio.fail_after(WAIT_S):
        for ahead_ns in (0, 1, 999, NS_PER_MS // 3, 3 * NS_PER_MS):
            at_ns = clock.now_ns() + ahead_ns
            await clock.sleep_until(at_ns)
            assert clock.now_ns() >= at_ns


@pytest.mark.anyio
async def test_a_moment_that_has_passed_still_lets_others_run() -> None:
    """A session that is late for every step must not starve the rest."""
    clock, ran = RunClock(), anyio.Event()

    async def other() -> None:
        ran.set()

    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as together:
            together.start_soon(other)
            while not ran.is_set():
                await clock.sleep_until(clock.now_ns() - NS_PER_S)
    assert ran.is_set()


@pytest.mark.anyio
async def test_the_tests_own_clock_keeps_the_same_promise() -> None:
    """The fake is held to the contract of the real one."""
    clock = VirtualClock()
    with anyio.fail_after(WAIT_S):
        at_ns = clock.now_ns() + 2 * NS_PER_MS
        await clock.sleep_until(at_ns)
        assert clock.now_ns() >= at_ns - 1000  # the loop's own time is a float of seconds
        await clock.sleep_until(at_ns - NS_PER_S)
