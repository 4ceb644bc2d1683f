"""Leases: what ends by itself unless its holder, who may have died, renews it in time."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

LEASE_MS_MAX = 24 * 3600 * 1000

Key = tuple[str, str | None]  # a proxy's name, and one of its toxics' where that is what is leased


class Leases:
    """The leases of one server, each on a timer of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, end: Callable[[Key], None]) -> None:
        """Call `end` for every lease that runs out."""
        self._loop = loop
        self._end = end
        self._timers: dict[Key, tuple[asyncio.TimerHandle, float]] = {}  # and when each rings

    def grant(self, key: Key, ttl_ms: int) -> None:
        """Let a proxy or toxic live for `ttl_ms` from now; 0 lets it live without end."""
        self.lift(key)
        if ttl_ms:
            timer = self._loop.call_later(ttl_ms / 1000, self._run_out, key)
            self._timers[key] = (timer, time.monotonic() + ttl_ms / 1000)

    def left_ms(self, key: Key) -> int | None:
        """How long it has yet; None for what has no lease."""
        if key not in self._timers:
            return None
        return max(0, math.floor((self._timers[key][1] - time.monotonic()) * 1000))

    def lift(self, key: Key) -> None:
        """End a lease, not what was leased."""
        if key in self._timers:
            self._timers.pop(key)[0].cancel()

    def lift_all(self, proxy_name: str) -> None:
        """End the leases of a proxy and of all its toxics."""
        for key in [key for key in self._timers if key[0] == proxy_name]:
            self.lift(key)

    def _run_out(self, key: Key) -> None:
        del self._timers[key]
        self._end(key)
