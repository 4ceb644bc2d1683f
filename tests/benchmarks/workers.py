"""What a second worker adds; run as `python -m tests.benchmarks.workers [--rounds N]`.

Whole runs of `squall run`, with one worker and with two in turn, at a rate that neither can keep up
with. Two figures of each: calls per second, and the sum of what its workers do per second of
processor time. Where there are fewer cores than processes that are busy, the first says how they
were shared out; the second is what two workers would do on cores of their own.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from harness import journal
from harness.journal import HealthEntry, Journal
from tests.benchmarks.cores import prefer
from tests.benchmarks.rounds import say

WAIT_S: Final = 120
SESSIONS: Final = 100
CALLS_PER_S: Final = 120_000  # asked for: more than two workers can do
SECONDS: Final = 5
SETTLED_S: Final = 1.5  # when sessions are open and the collector has been told
SERVERS: Final = 2  # one of them would be busier than two workers
GOAL: Final = 1.7
_S: Final = 1_000_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """What one run's workers did in its steady part."""

    calls_per_s: float
    capacity: float  # calls per CPU-second, summed over the workers
    busy: tuple[float, ...]  # of a core, by worker


def scenario(url: str) -> str:
    """Write a scenario that no worker can keep up with."""
    return (
        "question: What does a second worker add?\n"
        f"target: {{url: '{url}'}}\n"
        "agents:\n  - name: caller\n"
        f"    pace: {CALLS_PER_S // SESSIONS}/s\n"
        "    steps: [{call: echo, with: {text: '${nonce}'}}]\n"
        f"load: {{sessions: {SESSIONS}, ramp: 0s}}\n"
        f"phases: {{warmup: 0s, baseline: {SECONDS}s}}\n"
    )


@contextlib.contextmanager
def servers() -> Iterator[str]:
    """Have as many fast servers on one port as two workers need; gives their address."""
    with contextlib.ExitStack() as stack:
        port = "0"
        for _ in range(SERVERS):
            process = stack.enter_context(
                subprocess.Popen(
                    (sys.executable, "-m", "tests.benchmarks.fast_server", port),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            prefer(process.pid)
        yield f"http://127.0.0.1:{port}/json"


def run(url: str, workers: int, folder: Path) -> Done:
    """Conduct one run; what its workers did.

    Raises:
        RuntimeError: when it comes to no end.
    """
    (folder / "workers.yaml").write_text(scenario(url), encoding="utf-8")
    process = subprocess.Popen(
        (
            *(sys.executable, "-m", "harness", "run", "workers.yaml", "--out", "runs"),
            *("--workers", str(workers), "--quiet"),
        ),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        said, _ = process.communicate(timeout=WAIT_S)
    finally:
        process.kill()
        process.wait()
    # A generator that cannot keep up makes a run unknown, as it should.
    if process.returncode not in {0, 1, 3}:
        raise RuntimeError(f"squall run ended with {process.returncode}: {said}")
    (made,) = (path.parent for path in folder.glob("runs/*/journal.jsonl"))
    return measure(journal.read(made), workers)


def measure(of: Journal, workers: int) -> Done:
    """Read a run's steady part: whole seconds of its workers, none of them the first or last."""
    steady = (int(SETTLED_S * _S), SECONDS * _S)
    per_cpu_s, busy = [], []
    for worker in range(1, workers + 1):
        seconds = [
            one
            for one in of.of(HealthEntry)
            if one.worker == worker and steady[0] < one.at_ns <= steady[1]
        ]
        cpu_s = sum(one.cpu_share for one in seconds)
        per_cpu_s.append(sum(one.calls for one in seconds) / cpu_s)
        busy.append(cpu_s / len(seconds))
    done_ns = of.calls["done_ns"][of.calls["sent_ns"] >= 0]
    count = int(np.count_nonzero((done_ns > steady[0]) & (done_ns <= steady[1])))
    return Done(
        calls_per_s=count * _S / (steady[1] - steady[0]),
        capacity=sum(per_cpu_s),
        busy=tuple(busy),
    )


def conclusion(one: list[Done], two: list[Done], cores: int) -> str:
    """Say what a second worker added, by the figure that these cores can show."""
    rate = statistics.median(each.calls_per_s for each in two) / statistics.median(
        each.calls_per_s for each in one
    )
    capacity = statistics.median(each.capacity for each in two) / statistics.median(
        each.capacity for each in one
    )
    needed = SERVERS + 2 + 1  # two workers and the master
    free = cores >= needed
    told = rate if free else capacity
    return (
        f"two workers: {rate:.2f} x the calls per second of one, {capacity:.2f} x its calls per "
        f"CPU-second{'' if told >= GOAL else f'  under its goal of {GOAL}'}"
        + ("" if free else f"\ncores were not free: {cores} of {needed}, so the second counts")
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    say(f"what a second worker adds: {SESSIONS} sessions, more calls than can be made")
    say(f"{'workers':>8}{'calls/s':>10}{'calls/CPU-s':>13}  of a core each")
    done: dict[int, list[Done]] = {1: [], 2: []}
    with servers() as url:
        prefer(os.getpid())  # and all that it starts
        for _ in range(rounds):
            for workers, seen in done.items():
                with tempfile.TemporaryDirectory() as folder:
                    seen.append(run(url, workers, Path(folder)))
                busy = ", ".join(f"{share:.0%}" for share in seen[-1].busy)
                say(
                    f"{workers:>8}{seen[-1].calls_per_s:>10,.0f}{seen[-1].capacity:>13,.0f}  {busy}"
                )
    say(conclusion(done[1], done[2], os.cpu_count() or 1))


if __name__ == "__main__":
    main()
