"""Run time: integer nanoseconds since the run began, one clock for every process of a run.

Everything in squall sleeps and reads time through a `Clock`. The real one stands on the system's
monotonic clock, which all processes of a machine share, so a worker's stamps and the master's
compare without translation. Tests pass one that stands on AnyIO's virtual time.
"""

from __future__ import annotations

from time import monotonic_ns
from typing import Protocol

import anyio

from harness.alarm import running_alarm

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
# The loop counts in whole milliseconds from a time it looked up a moment ago, so it may ring early.
ROUNDING_NS = NS_PER_MS // 2


class Clock(Protocol):
    """Reads run time and sleeps until a moment of it."""

    def now_ns(self) -> int:
        """Nanoseconds since the run began; negative before it."""
        ...

    async def sleep_until(self, at_ns: int) -> None:
        """Return at `at_ns` or as soon after as the loop allows; at once when it has passed."""
        ...


class RunClock:
    """The system's monotonic clock, counted from `origin_ns`."""

    def __init__(self, origin_ns: int | None = None) -> None:
        """Start now, or share the origin of another process of the same machine."""
        self.origin_ns = monotonic_ns() if origin_ns is None else origin_ns

    def now_ns(self) -> int:
        """Nanoseconds since the origin."""
        return monotonic_ns() - self.origin_ns

    async def sleep_until(self, at_ns: int) -> None:
        """Sleep the rest of the way to `at_ns`; never less, since early calls would look fast."""
        left_ns = at_ns + self.origin_ns - monotonic_ns()
        if left_ns > 0 and (alarm := running_alarm()) is not None:
            await alarm.sleep_until(at_ns + self.origin_ns)
            return
        await anyio.sleep((left_ns + ROUNDING_NS) / NS_PER_S if left_ns > 0 else 0)
        # Nothing could set an event here: what is waited for is time itself.
        while (left_ns := at_ns + self.origin_ns - monotonic_ns()) > 0:  # noqa: ASYNC110
            await anyio.sleep(left_ns / NS_PER_S)
