"""Was the generator the bottleneck? Once a second, every process of it says how it fares.

The figures and where they come from: a 10 ms timer's lateness (event loop lag), sent - due of the
calls (slip), time runnable but not running from the kernel's scheduler, CPU share, pauses of the
garbage collector, and open files. `checks.soundness` judges them.
"""

from __future__ import annotations

import gc
import os
import time
from contextlib import suppress
from pathlib import Path

import anyio
import numpy as np

from harness.clock import NS_PER_MS, NS_PER_S, Clock
from harness.journal import Calls, HealthEntry

TICK_S = 0.010
SCHEDSTAT = Path("/proc/self/schedstat")


class HealthMeter:
    """Samples this process; `entry` closes one interval and begins the next."""

    def __init__(self, *, worker: int, clock: Clock) -> None:
        """Begin the first interval now."""
        self._worker = worker
        self._clock = clock
        self._lags_ms: list[float] = []
        self._gc_began_ns = 0
        self._gc_ms = 0.0
        self._mark = self._reading()

    async def watch(self) -> None:
        """Tick until cancelled, noting how late each tick comes."""
        gc.callbacks.append(self._on_gc)
        try:
            while True:
                before_ns = time.monotonic_ns()
                await anyio.sleep(TICK_S)
                late_ms = (time.monotonic_ns() - before_ns) / NS_PER_MS - TICK_S * 1000
                self._lags_ms.append(max(0.0, late_ms))
        finally:
            gc.callbacks.remove(self._on_gc)

    def entry(self, calls: Calls, *, sessions: int) -> HealthEntry:
        """Sum up the interval; `calls` are the attempts that ended in it."""
        lags_ms, self._lags_ms = self._lags_ms or [0.0], []
        before, self._mark = self._mark, self._reading()
        wall_ns = max(1, self._mark[0] - before[0])
        # The first attempt's slip only: a retry is late by design.
        first = calls[(calls["attempt"] <= 1) & (calls["sent_ns"] >= 0)]
        slips_ms = np.maximum(0, first["sent_ns"] - first["due_ns"]) / NS_PER_MS
        delay_ns = _difference(before[2], self._mark[2])
        gc_ms, self._gc_ms = self._gc_ms, 0.0
        return HealthEntry(
            at_ns=self._clock.now_ns(),
            worker=self._worker,
            lag_p50_ms=_quantile(np.array(lags_ms), 0.5),
            lag_p99_ms=_quantile(np.array(lags_ms), 0.99),
            slip_p50_ms=_quantile(slips_ms, 0.5),
            slip_p99_ms=_quantile(slips_ms, 0.99),
            cpu_share=round((self._mark[1] - before[1]) * NS_PER_S / wall_ns, 4),
            run_delay_share=None if delay_ns is None else round(delay_ns / wall_ns, 4),
            gc_pause_ms=round(gc_ms, 3),
            open_files=_open_files(),
            sessions=sessions,
            calls=len(calls),
        )

    def _reading(self) -> tuple[int, float, int | None]:
        times = os.times()
        return time.monotonic_ns(), times.user + times.system, _run_delay_ns()

    def _on_gc(self, phase: str, _: object) -> None:
        if phase == "start":
            self._gc_began_ns = time.monotonic_ns()
        else:
            self._gc_ms += (time.monotonic_ns() - self._gc_began_ns) / NS_PER_MS


def _quantile(values: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> float:
    return round(float(np.quantile(values, share)), 3) if len(values) else 0.0


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


def _run_delay_ns() -> int | None:
    """Nanoseconds this process was runnable without a processor; None where it is not told."""
    with suppress(OSError, ValueError, IndexError):
        return int(SCHEDSTAT.read_text().split()[1])
    return None


def _open_files() -> int | None:
    for place in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(os.listdir(place))  # noqa: PTH208  a count, not paths
    return None
