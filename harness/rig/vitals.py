"""What a target costs: memory, descriptors, threads and processor time of its process tree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

import psutil
from anyio import to_thread

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vitals:
    """One sample over a process and its descendants; None where the system does not tell."""

    rss_bytes: int | None = None
    open_files: int | None = None  # descriptors, sockets and pipes included
    threads: int | None = None
    cpu_s: float | None = None  # user and system, of children that have ended too
    children: int | None = None


async def sample(pid: int) -> Vitals:
    """The vitals of the tree under `pid` now; every field None when the process has gone."""
    return await to_thread.run_sync(_sample, pid)


def _sample(pid: int) -> Vitals:
    try:
        root = psutil.Process(pid)
        children = root.children(recursive=True)
    except psutil.Error:
        return Vitals()
    tree = [root, *children]
    return Vitals(
        rss_bytes=_total(tree, _rss_bytes),
        open_files=_total(tree, psutil.Process.num_fds),
        threads=_total(tree, psutil.Process.num_threads),
        cpu_s=_total(tree, _cpu_s),
        children=len(children),
    )


def _total(
    tree: Iterable[psutil.Process], measure: Callable[[psutil.Process], Number]
) -> Number | None:
    """The sum over those that could be asked; None when none of them could."""
    total: Number | None = None
    for process in tree:
        try:
            value = measure(process)
        except psutil.Error:
            continue  # gone meanwhile, or not ours to ask
        total = value if total is None else total + value
    return total


def _rss_bytes(process: psutil.Process) -> int:
    return int(process.memory_info().rss)


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)
