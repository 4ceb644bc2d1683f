"""Time that passes only when everyone waits: an hour of a run in a blink, to the nanosecond."""

from __future__ import annotations

from typing import Any

import anyio
from trio.testing import MockClock

NS_PER_S = 1_000_000_000
Backend = tuple[str, dict[str, Any]]


def backend() -> Backend:
    """Make what an `anyio_backend` fixture returns for a test in virtual time."""
    return "trio", {"clock": MockClock(autojump_threshold=0)}


class VirtualClock:
    """A run's clock over the loop's own time, which begins at 0 in virtual time."""

    def now_ns(self) -> int:
        """Nanoseconds since the loop began."""
        return round(anyio.current_time() * NS_PER_S)

    async def sleep_until(self, at_ns: int) -> None:
        """Let the time pass, with a checkpoint even when it has passed."""
        await anyio.sleep_until(at_ns / NS_PER_S)
