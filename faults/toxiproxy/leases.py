"""Leases: what ends by itself unless its holder, who may have died, renews it in time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

LEASE_MS_MAX = 24 * 3600 * 1000

Key = tuple[str, str | None]  # a proxy's name, and one of its toxics' where that is what is leased


class Leases:
    """The leases of one server, each on a timer of the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, end: Callable[[Key], None]) -> None:
        """Call `end` for every lease that runs out."""
        self._loop = loop
        self._end = end
        self._timers: dict[Key, asyncio.TimerHandle] = {}

    def grant(self, key: Key, ttl_ms: int) -> None:
        """Let a proxy or toxic live for `ttl_ms` from now; 0 lets it live without end."""
        self.lift(key)
        if ttl_ms:
            self._timers[key] = self._loop.call_later(ttl_ms / 1000, self._run_out, key)

    def left_ms(self, key: Key) -> int | None:
        """How long it has yet; None for what has no lease."""
        timer = self._timers.get(key)
        if timer is None:
            return None
        return max(0, math.ceil((timer.when() - self._loop.time()) * 1000))

    def lift(self, key: Key) -> None:
        """End a lease, not what was leased."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def lift_all(self, proxy_name: str) -> None:
        """End the leases of a proxy and of all its toxics."""
        for key in [key for key in self._timers if key[0] == proxy_name]:
            self.lift(key)

    def _run_out(self, key: Key) -> None:
        del self._timers[key]
        self._end(key)
