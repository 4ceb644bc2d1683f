"""One tick for all waits of a process: a sweep four times a second, not a timer for each call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Protocol
from weakref import WeakKeyDictionary

from harness.clock import NS_PER_S

NEVER_NS: Final = 2**63
SWEEP_S: Final = 0.25
EXACT_NS: Final = 2 * NS_PER_S  # nearer than this, a quarter of a second is too coarse
LINGER_S: Final = 0.005


class Waiter(Protocol):
    """Something that must be told when its time is over."""

    expires_ns: int

    def expire(self) -> None:
        """Time is over."""
        ...

    def settle(self) -> None:
        """The reply is there and its stream is still open: wait no longer for the end."""
        ...


class Sweep:
    """Watches the waits of one loop under one clock."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._watched: set[Waiter] = set()
        self._lingering: list[Waiter] = []
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, waiter: Waiter) -> None:
        """Look at `waiter.expires_ns` from now on."""
        self._watched.add(waiter)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._tick)

    def forget(self, waiter: Waiter) -> None:
        """Look no longer."""
        self._watched.discard(waiter)

    def linger(self, waiter: Waiter) -> None:
        """Settle `waiter` in a few milliseconds; one timer serves everyone who came meanwhile."""
        if not self._lingering:
            asyncio.get_running_loop().call_later(LINGER_S, self._settle)
        self._lingering.append(waiter)

    def _settle(self) -> None:
        lingering, self._lingering = self._lingering, []
        for waiter in lingering:
            waiter.settle()

    def _tick(self) -> None:
        self._timer = None
        if not self._watched:
            return
        self._timer = asyncio.get_running_loop().call_later(SWEEP_S, self._tick)
        now_ns = self._now_ns()
        for waiter in [waiter for waiter in self._watched if waiter.expires_ns <= now_ns]:
            waiter.expire()


# A sweep serves every client of a loop, and a client is made without one at hand; the loop's own
# life bounds the entry.
_sweeps: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Callable[[], int], Sweep]] = (
    WeakKeyDictionary()
)


def running_sweep(now_ns: Callable[[], int]) -> Sweep:
    """The sweep of the running loop under the clock `now_ns`."""
    sweeps = _sweeps.setdefault(asyncio.get_running_loop(), {})
    if now_ns not in sweeps:
        sweeps[now_ns] = Sweep(now_ns)
    return sweeps[now_ns]
