"""Was the generator the bottleneck? Once a second, every process of it says how it fares.

The figures and where they come from: a 10 ms timer's lateness (event loop lag), sent - due of the
calls (slip), time runnable but not running from the kernel's scheduler, time held back by the
container's limit from its control group, CPU share, pauses of the garbage collector, and open files
beside their limit. `generator` judges them.
"""

from __future__ import annotations

import gc
import os
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import anyio
import numpy as np

from harness.clock import NS_PER_MS, NS_PER_S, Clock
from harness.evidence.generator import STALL_OVER_MS
from harness.journal import Calls, HealthEntry, JournalWriter, empty_calls

TICK_S = 0.010
ENTRY_S = 1.0
SCHEDSTAT = Path("/proc/self/schedstat")
CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """Counters that only grow; what the system does not tell is None."""

    wall_ns: int
    cpu_s: float
    run_delay_ns: int | None
    throttled_ns: int | None


class HealthMeter:
    """Samples this process; `entry` closes one interval and begins the next."""

    def __init__(self, *, worker: int, clock: Clock) -> None:
        """Begin the first interval now."""
        self._worker = worker
        self._clock = clock
        self._lags_ms: list[float] = []
        self._gc_began_ns = 0
        self._gc_pauses_ms: list[float] = []
        self._throttle = _throttle_file()
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
        lags_ms, self._lags_ms = np.array(self._lags_ms or [0.0]), []
        pauses_ms, self._gc_pauses_ms = self._gc_pauses_ms, []
        before, self._mark = self._mark, self._reading()
        wall_ns = max(1, self._mark.wall_ns - before.wall_ns)
        # The first attempt's slip only: a retry is late by design.
        first = calls[(calls["attempt"] <= 1) & (calls["sent_ns"] >= 0)]
        slips_ms = np.maximum(0, first["sent_ns"] - first["due_ns"]) / NS_PER_MS
        return HealthEntry(
            at_ns=self._clock.now_ns(),
            worker=self._worker,
            lag_p50_ms=_quantile(lags_ms, 0.5),
            lag_p99_ms=_quantile(lags_ms, 0.99),
            lag_max_ms=round(float(lags_ms.max()), 3),
            stalled_ms=round(float(np.maximum(0.0, lags_ms - STALL_OVER_MS).sum()), 3),
            slip_p50_ms=_quantile(slips_ms, 0.5),
            slip_p99_ms=_quantile(slips_ms, 0.99),
            cpu_share=round((self._mark.cpu_s - before.cpu_s) * NS_PER_S / wall_ns, 4),
            run_delay_share=_share(before.run_delay_ns, self._mark.run_delay_ns, wall_ns),
            throttled_share=_share(before.throttled_ns, self._mark.throttled_ns, wall_ns),
            gc_pause_ms=round(sum(pauses_ms), 3),
            gc_pause_max_ms=round(max(pauses_ms, default=0.0), 3),
            open_files=_open_files(),
            open_files_max=_open_files_max(),
            sessions=sessions,
            calls=len(calls),
        )

    def _reading(self) -> _Reading:
        times = os.times()
        return _Reading(
            wall_ns=time.monotonic_ns(),
            cpu_s=times.user + times.system,
            run_delay_ns=_run_delay_ns(),
            throttled_ns=_throttled_ns(self._throttle),
        )

    def _on_gc(self, phase: str, _: object) -> None:
        if phase == "start":
            self._gc_began_ns = time.monotonic_ns()
        else:
            self._gc_pauses_ms.append((time.monotonic_ns() - self._gc_began_ns) / NS_PER_MS)


async def record(clock: Clock, writer: JournalWriter) -> None:
    """Write down once a second how a process without sessions fares, until cancelled."""
    meter = HealthMeter(worker=writer.worker, clock=clock)
    async with anyio.create_task_group() as beside:
        beside.start_soon(meter.watch)
        while True:
            await anyio.sleep(ENTRY_S)
            writer.append(meter.entry(empty_calls(), sessions=0))


def _quantile(values: np.ndarray[tuple[int], np.dtype[np.float64]], share: float) -> float:
    return round(float(np.quantile(values, share)), 3) if len(values) else 0.0


def _share(before_ns: int | None, now_ns: int | None, wall_ns: int) -> float | None:
    return None if before_ns is None or now_ns is None else round((now_ns - before_ns) / wall_ns, 4)


def _run_delay_ns() -> int | None:
    """Nanoseconds this process was runnable without a processor; None where it is not told."""
    with suppress(OSError, ValueError, IndexError):
        return int(SCHEDSTAT.read_text().split()[1])
    return None


def _throttle_file() -> Path | None:
    """Where the control group's processor limit counts; None where there is none."""
    with suppress(OSError):
        groups = [line.split(":", 2) for line in CGROUP.read_text().splitlines()]
        # Version 2 has one line without controllers; version 1 one that names the processor's.
        for named, mount in (("", "."), ("cpu", "cpu")):
            for *_, names, place in (group for group in groups if len(group) == 3):  # noqa: PLR2004
                file = CGROUPS / mount / place.lstrip("/") / "cpu.stat"
                if named in names.split(",") and _throttled_ns(file) is not None:
                    return file
    return None


def _throttled_ns(file: Path | None) -> int | None:
    """Nanoseconds for which a limit has held the control group back; None where it is not told."""
    if file is None:
        return None
    with suppress(OSError, ValueError):
        told = dict(line.split(maxsplit=1) for line in file.read_text().splitlines())
        if "throttled_usec" in told:
            return int(told["throttled_usec"]) * 1000
        if "throttled_time" in told:
            return int(told["throttled_time"])
    return None


def _open_files() -> int | None:
    for place in ("/proc/self/fd", "/dev/fd"):
        with suppress(OSError):
            return len(os.listdir(place))  # noqa: PTH208  a count, not paths
    return None


def _open_files_max() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit
