"""Cores for measured processes: one each, ahead of foreign work, and how long they still waited."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil


def pin(pid: int, cpu: int) -> None:
    """Keep a process on one core, where the system can say so and there is more than one."""
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(pid, {cpu})


def prefer(*pids: int) -> None:
    """Let these processes run before all others, where the system lets this one say so.

    Foreign work between two calls empties the caches, and that is charged to the calls.
    """
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):
            for pid in pids:
                for thread in psutil.Process(pid).threads():
                    os.sched_setscheduler(thread.id, os.SCHED_RR, os.sched_param(1))


def waited_s(pid: int) -> float:
    """How long a process was ready and had no core; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()
    except OSError:
        return 0.0
    return int(fields[1]) / 1e9


def stolen_s() -> float:
    """How long the first two cores were taken from a virtual machine; 0 elsewhere."""
    return float(sum(getattr(one, "steal", 0.0) for one in psutil.cpu_times(percpu=True)[:2]))
