"""One precise timer for everything that sleeps in a process, to .2 ms, where the system has one.

A loop's own timers count whole milliseconds, so a sleep that must never be short would come out
about one too long. Linux has timers that are read like a socket and count nanoseconds: one of them
rings for all. Elsewhere there is no alarm, and sleepers use the loop's timers.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import os
import sys
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final
from weakref import WeakKeyDictionary

# What is due within so short a time rings once: a wake-up costs as much as a call, and calls that
# go out together cost less than one by one.
SPACING_NS: Final = 200_000
STALE_MAX: Final = 1000  # cancelled sleepers that may lie about, beyond one for each that sleeps
_NS_PER_S: Final = 1_000_000_000
_ABSOLUTE: Final = 1  # of timerfd_settime
_NEVER: Final = 2**63


class Alarm:
    """Wakes the sleepers of one asyncio loop at points of `time.monotonic_ns()`, never early."""

    def __init__(self, descriptor: int, set_time: Callable[..., int]) -> None:
        """Take over a system's timer; `ring` is to be called whenever it is readable."""
        self.descriptor = descriptor
        self._set_time = set_time
        # Seconds and nanoseconds: of an interval, which stays zero, and of the time to ring.
        self._times = (ctypes.c_long * 4)()
        self._reference = ctypes.byref(self._times)
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = count()
        self._stale = 0
        self._armed_ns = _NEVER
        self._rang_ns = 0

    def __del__(self) -> None:
        """Give the descriptor back; this goes when its loop does."""
        with contextlib.suppress(OSError):
            os.close(self.descriptor)

    def __len__(self) -> int:
        """How many sleepers it knows, those who gave up and are not yet cleared away included."""
        return len(self._sleepers)

    async def sleep_until(self, at_ns: int) -> None:
        """Return once the monotonic clock has reached `at_ns`, which lies in the future."""
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (at_ns, next(self._numbers), waking))
        ring_ns = max(at_ns, self._rang_ns + SPACING_NS)
        if ring_ns < self._armed_ns:
            self._arm(ring_ns)
        try:
            await waking
        except asyncio.CancelledError:
            if waking.cancelled():
                self._forget()
            raise

    def ring(self) -> None:
        """Wake who is due, and be set for the next."""
        with contextlib.suppress(BlockingIOError):  # it was set again since it rang
            os.read(self.descriptor, 8)
        now_ns = self._rang_ns = time.monotonic_ns()
        sleepers = self._sleepers
        while sleepers and sleepers[0][0] <= now_ns:
            waking = heapq.heappop(sleepers)[2]
            if waking.done():
                self._stale -= 1
            else:
                waking.set_result(None)
        self._armed_ns = _NEVER
        if sleepers:
            self._arm(max(sleepers[0][0], now_ns + SPACING_NS))

    def _arm(self, at_ns: int) -> None:
        self._armed_ns = at_ns
        self._times[2], self._times[3] = divmod(at_ns, _NS_PER_S)
        if self._set_time(self.descriptor, _ABSOLUTE, self._reference, None):
            failed = ctypes.get_errno()  # better than a sleep without end
            raise OSError(failed, os.strerror(failed))

    def _forget(self) -> None:
        """Count a cancelled sleeper, and clear them away when they are many."""
        self._stale += 1
        if self._stale > STALE_MAX + len(self._sleepers) // 2:
            self._sleepers = [one for one in self._sleepers if not one[2].done()]
            heapq.heapify(self._sleepers)
            self._stale = 0


_alarms: WeakKeyDictionary[asyncio.AbstractEventLoop, Alarm] = WeakKeyDictionary()


def running_alarm() -> Alarm | None:
    """Give the alarm of the asyncio loop that runs; None where no loop or system has one."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # it is not asyncio that runs
        return None
    alarm = _alarms.get(loop)
    if alarm is None and sys.platform == "linux" and sys.maxsize > 2**32:  # as its times are laid
        alarm = _open()
        if alarm is not None:
            loop.add_reader(alarm.descriptor, alarm.ring)
            _alarms[loop] = alarm
    return alarm


def _open() -> Alarm | None:
    """Ask the system's library for a timer; Python itself has them from 3.13 on."""
    with contextlib.suppress(OSError, AttributeError):
        library: Any = ctypes.CDLL(None, use_errno=True)
        library.timerfd_settime.argtypes = (
            *(ctypes.c_int, ctypes.c_int),
            *(ctypes.c_void_p, ctypes.c_void_p),
        )
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = library.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if descriptor >= 0:
            return Alarm(descriptor, library.timerfd_settime)
    return None
