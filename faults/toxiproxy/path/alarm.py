"""One clock for everything that waits in a server, to some ten microseconds where the system can.

A loop's own timers count whole milliseconds, so a wait that must never be short comes out up to one
too long; and each of them is made anew, at the price of carrying a piece. Linux has timers that are
read like a socket and count nanoseconds: one of them rings for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import heapq
import itertools
import math
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol

LONGEST_WAIT_S = 30 * 24 * 3600.0
# Under load, what is due within so short a time rings once: a wake-up costs as much as a message.
SPACING_S = 0.000_05
TURN_S = 0.005  # so long others wait while it rings; what is due then rings in the next turn
_STALE_MAX = 1000  # cancelled wakes that may lie about, beyond one for each that is not
_NS_PER_S = 1_000_000_000


class Wake:
    """Something that will be called, unless it is cancelled before."""

    __slots__ = ("_alarm", "then")

    def __init__(self, alarm: Alarm, then: Callable[[], None]) -> None:
        self._alarm = alarm
        self.then: Callable[[], None] | None = then

    def cancel(self) -> None:
        """Do not call it; what it would have called is let go at once."""
        if self.then is not None:
            self.then = None
            self._alarm.forget()


class Alarm:
    """Calls back at points of the monotonic clock, in their order and never early."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Work in a loop until closed."""
        self._loop = loop
        self._wakes: list[tuple[float, int, Wake]] = []
        self._numbers = itertools.count()
        self._stale = 0
        self._armed_s = math.inf  # when the timer rings next; -inf while it is ringing
        self._rang_s = 0.0
        timer = _SystemTimer.open()
        self._timer: _SystemTimer | _LoopTimer = timer or _LoopTimer(loop, self._ring)
        # A wait shorter than this is better carried over to the next one.
        self.grain_s = SPACING_S if timer else 0.0005
        if timer is not None:
            loop.add_reader(timer.descriptor, self._ring)

    def at(self, due_s: float, then: Callable[[], None]) -> Wake:
        """Call `then` once `time.monotonic()` has reached `due_s`."""
        wake = Wake(self, then)
        heapq.heappush(self._wakes, (due_s, next(self._numbers), wake))
        if due_s < self._armed_s:
            self._arm(max(due_s, self._rang_s + SPACING_S))
        return wake

    def forget(self) -> None:
        """Count a cancelled wake, and clear them away when they are many."""
        self._stale += 1
        if self._stale > _STALE_MAX + len(self._wakes) // 2:
            self._wakes = [entry for entry in self._wakes if entry[2].then is not None]
            heapq.heapify(self._wakes)
            self._stale = 0

    def close(self) -> None:
        """Call nobody any more."""
        self._wakes.clear()
        if isinstance(self._timer, _SystemTimer):
            self._loop.remove_reader(self._timer.descriptor)
        self._timer.close()

    def _arm(self, due_s: float) -> None:
        self._armed_s = due_s
        self._timer.set(min(due_s, time.monotonic() + LONGEST_WAIT_S))

    def _ring(self) -> None:
        """Call what is due."""
        now_s = self._rang_s = time.monotonic()
        self._armed_s = -math.inf
        try:
            until_s = now_s + TURN_S
            while self._wakes and self._wakes[0][0] <= now_s and time.monotonic() < until_s:
                wake = heapq.heappop(self._wakes)[2]
                then, wake.then = wake.then, None
                if then is None:
                    self._stale -= 1
                else:
                    then()
        finally:
            # One that failed is the loop's to report; the others keep their time.
            if self._wakes:
                self._arm(max(self._wakes[0][0], now_s + SPACING_S))
            else:
                self._armed_s = math.inf
                self._timer.stop()


class _LoopTimer:
    """The loop's own timer, for systems that have no better one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, due_s: float) -> None:
        """Ring at that time, not at the one set before."""
        self.stop()
        # uvloop rounds to the nearest millisecond; one that comes early only looks at the clock.
        whole_ms = math.ceil(max(due_s - time.monotonic(), 0.0) * 1000)
        self._handle = self._loop.call_later(whole_ms / 1000, self._ring)

    def stop(self) -> None:
        """Do not ring."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def close(self) -> None:
        """Do not ring any more."""
        self.stop()


class _Library(Protocol):
    """What is used of the system's library."""

    def timerfd_create(self, clock: int, flags: int) -> int: ...
    def timerfd_settime(self, descriptor: int, flags: int, new: object, old: None) -> int: ...


class _SystemTimer:
    """A timer that becomes readable at its time. Python itself has it from 3.13 on."""

    _ABSOLUTE = 1

    def __init__(self, library: _Library, descriptor: int) -> None:
        self.descriptor = descriptor
        self._set_time = library.timerfd_settime
        # Seconds and nanoseconds: of an interval, which stays zero, and of the time to ring.
        self._times = (ctypes.c_long * 4)()
        self._reference = ctypes.byref(self._times)

    @classmethod
    def open(cls) -> _SystemTimer | None:
        """A timer, where the system has one."""
        if sys.platform != "linux" or sys.maxsize < 2**32:  # an older layout of its times
            return None
        with contextlib.suppress(OSError, AttributeError):
            library = ctypes.CDLL(None, use_errno=True)
            library.timerfd_settime.argtypes = (
                *(ctypes.c_int, ctypes.c_int),
                *(ctypes.c_void_p, ctypes.c_void_p),
            )
            flags = os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = library.timerfd_create(time.CLOCK_MONOTONIC, flags)
            if descriptor >= 0:
                return cls(library, descriptor)
        return None

    def set(self, due_s: float) -> None:
        """Be readable at that time, and not before, whatever was set before."""
        # A nanosecond less would ring for nothing, and then again; zero would switch it off.
        due_ns = max(int(due_s * _NS_PER_S), 1) + 1000
        self._times[2], self._times[3] = divmod(due_ns, _NS_PER_S)
        self._set_time(self.descriptor, self._ABSOLUTE, self._reference, None)

    def stop(self) -> None:
        """Do not be readable any more, once it has been."""
        try:
            os.read(self.descriptor, 8)
        except BlockingIOError:  # it has not been yet, or was set again
            return

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)
