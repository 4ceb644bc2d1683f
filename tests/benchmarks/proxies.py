"""Compares our Toxiproxy with Shopify's in alternating rounds: `-m tests.benchmarks.proxies`.

Shopify's server is the binary that SQUALL_TOXIPROXY_SERVER names. Both proxies share one core, and
the driver has the other, where the machine has two; a round is what one of them carried per second
of its own processor time, so other work on the machine blurs the figures but does not tilt them.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from tests.benchmarks.cores import pin, prefer
from tests.benchmarks.engine import _ended, _python, _read_line
from tests.benchmarks.rounds import Round
from tests.faults.toxiproxy.conftest import REAL, Server, end, start_original, start_ours

DRIVER_CPU: Final = 0
PROXY_CPU: Final = 1
CONNECTIONS: Final = {"small": 50, "bulk": 4}
UNITS: Final = {"small": "messages", "bulk": "MB"}
SCALES: Final = {"small": 1.0, "bulk": 1e-6}
PING_LATENCY_MS: Final = 10
PING_CONNECTIONS: Final = 5
PINGS_PER_S: Final = 80.0  # on each connection
MIB: Final = 1024 * 1024
MEMORY_MAX_MIB: Final = 150


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One load under one toxic, downstream; both servers get the same attributes."""

    load: str  # "small" or "bulk"
    toxic: str
    name: str = ""
    attributes: dict[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """How the cell is called on the command line and in the table."""
        return f"{self.load}-{self.name or self.toxic}"


def _cells() -> Iterator[Cell]:
    for load, slice_bytes in (("small", 64), ("bulk", 1024)):
        yield Cell(load=load, toxic="bare")
        yield Cell(load=load, toxic="latency", attributes={"latency": 10, "jitter": 0})
        # Ten gigabytes a second: more than any loopback gives, so what is measured is the counting.
        yield Cell(load=load, toxic="bandwidth", attributes={"rate": 10_000_000})
        for name, variation in (("slicer", 0), ("slicer-varied", slice_bytes // 4)):
            sizes = {"average_size": slice_bytes, "size_variation": variation, "delay": 0}
            yield Cell(load=load, toxic="slicer", name=name, attributes=sizes)


CELLS: Final = {cell.title: cell for cell in _cells()}


def cpu_s(pid: int) -> float:
    """User and system time of a process and all its threads so far."""
    if sys.platform == "linux":
        return time.clock_gettime((~pid << 3) | 2)  # to the nanosecond, where psutil has ticks
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


@contextlib.contextmanager
def open_servers() -> Iterator[list[Server]]:
    """Ours, and Shopify's where there is one."""
    with contextlib.ExitStack() as stack:
        # Pinned before it starts: Go makes as many threads as it then sees cores.
        with _pinned(PROXY_CPU):
            servers = [start_ours()]
            stack.callback(end, servers[0])
            if REAL is not None:
                servers.append(start_original(REAL))
                stack.callback(end, servers[1])
        yield servers


@contextlib.contextmanager
def _pinned(cpu: int) -> Iterator[None]:
    """Keep this process and what it starts on one core, where the system can say so."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    pin(os.getpid(), cpu)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _set(server: Server, upstream_port: int, cell: Cell) -> int:
    """Make the cell's proxy; the port where it listens."""
    server.clear()
    _, port = server.proxy(f"127.0.0.1:{upstream_port}")
    if cell.toxic != "bare":
        server.toxic(cell.toxic, "downstream", 1.0, **cell.attributes)
    return port


def _send_line(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


class Lane:
    """One server under one cell's load, open for rounds."""

    def __init__(self, server: Server, cell: Cell, process: subprocess.Popen[str]) -> None:
        """Set the proxy up and let the driver connect."""
        self._pid = server.process.pid
        self._process = process
        _send_line(process, str(_set(server, int(_read_line(process)), cell)))
        line = _read_line(process)
        assert line == "ready", line

    def run(self, seconds: float) -> Round:
        """One round: what was carried, and what it cost the proxy."""
        before_s = cpu_s(self._pid)
        _send_line(self._process, str(seconds))
        carried = Round(**json.loads(_read_line(self._process)))
        return Round(calls=carried.calls, cpu_s=cpu_s(self._pid) - before_s)


def compare(
    cell: Cell, servers: Sequence[Server], rounds: int, seconds: float
) -> list[list[Round]]:
    """The rounds of each server under one cell's load."""
    with contextlib.ExitStack() as stack:
        lanes = []
        for server in servers:
            arguments = (cell.load, str(CONNECTIONS[cell.load]))
            module = "tests.benchmarks.drive_proxy_load"
            process = stack.enter_context(_ended(_python(module, *arguments, cpu=DRIVER_CPU)))
            lanes.append(Lane(server, cell, process))
        for lane in lanes:
            lane.run(seconds / 2)
        measured: list[list[Round]] = [[] for _ in lanes]
        for _ in range(rounds):
            for lane, results in zip(lanes, measured, strict=True):
                results.append(lane.run(seconds))
    for server in servers:
        server.clear()
    return measured


def line_of(cell: Cell, measured: Sequence[Sequence[Round]]) -> str:
    """A row: the median rates, and the ratio of rounds that ran next to each other."""
    scale = SCALES[cell.load]
    rates = [[one.calls_per_cpu_s * scale for one in rounds] for rounds in measured]
    medians = [statistics.median(values) for values in rates]
    row = f"{cell.title:<20}{UNITS[cell.load]:<10}{medians[0]:>10,.0f}"
    if len(rates) == 1:
        return f"{row}{'-':>10}{'-':>8}"
    ratios = sorted(ours / theirs for ours, theirs in zip(*rates, strict=True))
    spread = f"{ratios[0]:.2f} to {ratios[-1]:.2f}"
    return f"{row}{medians[1]:>10,.0f}{statistics.median(ratios):>8.2f}{spread:>16}"


def ping(servers: Sequence[Server], rounds: int, seconds: float) -> list[str]:
    """Rows of added latency: bare beyond the straight way, and beyond what a toxic should add.

    Each figure is the median of what the rounds gave, so that a moment of other work on the machine
    spoils one round and not the figure.
    """
    lines = []
    for title, cell, wanted_us in (
        ("bare", CELLS["small-bare"], 0.0),
        ("latency", CELLS["small-latency"], CELLS["small-latency"].attributes["latency"] * 1e3),
    ):
        trips_us = _ping_rounds(servers, cell, rounds, seconds)
        for percent in (50, 99):
            added_us: list[list[float]] = [[] for _ in servers]
            for straight, *others in trips_us:
                least_us = percentile(straight, percent) + wanted_us
                for trips, figures in zip(others, added_us, strict=True):
                    figures.append(percentile(trips, percent) - least_us)
            medians_us = [statistics.median(figures) for figures in added_us]
            row = f"{f'{title} p{percent}':<20}{'added us':<10}"
            row += "".join(f"{value:>10,.0f}" for value in medians_us)
            lines.append(
                row + (f"{medians_us[0] / medians_us[1]:>8.2f}" if len(servers) > 1 else "")
            )
        if wanted_us:
            early = [
                sum(trip_us < wanted_us for one in trips_us for trip_us in one[index])
                for index in range(1, len(servers) + 1)
            ]
            lines.append(
                f"{'latency, early':<20}{'pings':<10}" + "".join(f"{n:>10}" for n in early)
            )
    return lines


def _ping_rounds(
    servers: Sequence[Server], cell: Cell, rounds: int, seconds: float
) -> list[list[list[float]]]:
    """For each round, the round trips straight and through each server."""
    module, arguments = "tests.benchmarks.drive_proxy_pings", (PING_CONNECTIONS, PINGS_PER_S)
    with _ended(_python(module, *map(str, arguments), cpu=DRIVER_CPU)) as process:
        prefer(process.pid, *(server.process.pid for server in servers))
        upstream = int(_read_line(process))
        ports = [upstream, *(_set(server, upstream, cell) for server in servers)]
        _send_line(process, " ".join(map(str, ports)))
        assert _read_line(process) == "ready"
        measured = []
        for _ in range(rounds + 1):
            _send_line(process, str(seconds))
            measured.append(json.loads(_read_line(process)))
    return measured[1:]  # the first one warms up


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many per cent do not exceed."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def weigh(connections: int) -> list[float]:
    """MiB that each server, started anew, holds with so many connections open and used."""
    held_mib = []
    with open_servers() as servers:
        for server in servers:
            module = "tests.benchmarks.drive_proxy_crowd"
            with _ended(_python(module, str(connections), cpu=DRIVER_CPU)) as process:
                port = _set(server, int(_read_line(process)), CELLS["small-bare"])
                _send_line(process, str(port))
                assert _read_line(process) == "open"
                held_mib.append(psutil.Process(server.process.pid).memory_info().rss / MIB)
    return held_mib


def main() -> None:
    """Run the cells, the pings and the weighing; print one table and add it to --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--cells", nargs="*", choices=CELLS, default=list(CELLS))
    parser.add_argument("--ping-rounds", type=int, default=15, help="0 leaves them out")
    parser.add_argument("--memory-connections", type=int, default=2000, help="0 leaves it out")
    parser.add_argument("--out", type=Path, help="a file to add the table to")
    options = parser.parse_args()
    out = io.StringIO()

    def tell(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        out.write(line + "\n")

    if REAL is None:
        tell("MISSING: Shopify's Toxiproxy. SQUALL_TOXIPROXY_SERVER names no binary, so ours")
        tell("is measured alone and no ratio can be given.")
    tell(f"per CPU-second of the proxy, {options.rounds} rounds of {options.seconds} s, medians")
    tell(f"{'':<20}{'':<10}{'ours':>10}{'Shopify':>10}{'ratio':>8}{'ratios':>16}")
    with open_servers() as servers:
        for title in options.cells:
            measured = compare(CELLS[title], servers, options.rounds, options.seconds)
            tell(line_of(CELLS[title], measured))
        if options.ping_rounds:
            for line in ping(servers, options.ping_rounds, options.seconds):
                tell(line)
    if options.memory_connections:
        held = "".join(f"{mib:>10.0f}" for mib in weigh(options.memory_connections))
        tell(f"{f'{options.memory_connections:,} connections':<20}{'MiB':<10}{held}")
    if options.out is not None:
        with options.out.open("a", encoding="utf-8") as report:
            report.write(out.getvalue())


if __name__ == "__main__":
    main()
