"""What a target costs: memory, descriptors, threads, connections and time of its process tree."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The connections that a process tree holds to one address."""

    count: int | None  # None when nobody can say
    cost_s: float  # of processor time, to find out


async def connections_to(pid: int, *, host: str, port: int) -> Held:
    """How many connections the tree under `pid` holds to an address now.

    Counted by the system, whose table of sockets says whose they are; one that several processes
    share is one, and one that the other side has closed is none.
    """
    return await to_thread.run_sync(_connections_to, pid, host, port)


def _connections_to(pid: int, host: str, port: int) -> Held:
    began_s = time.thread_time()
    held: set[object] = set()
    told = False
    for process in _tree(pid):
        try:
            sockets = process.net_connections("tcp")
        except psutil.Error:
            continue  # gone meanwhile, or not ours to ask
        told = True
        held |= {
            one.laddr
            for one in sockets
            if one.status == psutil.CONN_ESTABLISHED
            and one.raddr
            and one.raddr.port == port
            and _plain(one.raddr.ip) == host
        }
    return Held(count=len(held) if told else None, cost_s=time.thread_time() - began_s)


def _plain(address: str) -> str:
    """Give an address of IPv4 as such where a socket of both families has it in its own form."""
    given = ip_address(address.partition("%")[0])
    inner = given.ipv4_mapped if isinstance(given, IPv6Address) else None
    return str(inner or given)


def _tree(pid: int) -> list[psutil.Process]:
    """A process and its descendants; none when it has gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _sample(pid: int) -> Vitals:
    tree = _tree(pid)
    if not tree:
        return Vitals()
    return Vitals(
        rss_bytes=_total(tree, _rss_bytes),
        open_files=_total(tree, psutil.Process.num_fds),
        threads=_total(tree, psutil.Process.num_threads),
        cpu_s=_total(tree, _cpu_s),
        children=len(tree) - 1,
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
