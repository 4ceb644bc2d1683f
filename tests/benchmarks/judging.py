"""What judging and reporting long runs cost; run as `python -m tests.benchmarks.judging [CALLS…]`.

For each size a run folder is made, and `squall judge` and `squall report` run on it in processes
of their own: processor time, memory at its highest, and the size of the page.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reports.folder import PAGE
from tests.benchmarks.rounds import say

WAIT_S: Final = 600
CPU_MAX_S: Final = 20.0  # of judging and reporting a million calls
RSS_MAX_MIB: Final = 1024.0
PAGE_MAX_MIB: Final = 6.0
MILLION: Final = 1_000_000
_KIB_A_MIB: Final = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How long a run is, and how wide."""

    calls: int
    sessions: int = 500
    windows: int = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What one command took."""

    wall_s: float
    cpu_s: float
    rss_mib: float


SHAPES: Final = (
    Shape(calls=MILLION // 10),
    Shape(calls=MILLION),
    Shape(calls=MILLION, sessions=9000, windows=10),
    Shape(calls=MILLION // 4, sessions=200, windows=255),
)


def command(word: str, folder: Path) -> Cost:
    """Run one command on a run folder; what it took.

    Raises:
        RuntimeError: when it comes to no verdict.
    """
    started = os.times().elapsed
    process = subprocess.Popen(
        (sys.executable, "-m", "harness", word, str(folder)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, 1, 3}:
        raise RuntimeError(f"squall {word} {folder} ended with {process.returncode}: {said!r}")
    return Cost(
        wall_s=os.times().elapsed - started,
        cpu_s=usage.ru_utime + usage.ru_stime,
        rss_mib=usage.ru_maxrss / _KIB_A_MIB,
    )


def _write(folder: Path, shape: Shape) -> int:
    """Make a run folder in a process of its own: memory at its highest is inherited."""
    sizes = map(str, (shape.calls, shape.sessions, shape.windows))
    done = subprocess.run(
        (sys.executable, "-m", "tests.benchmarks.long_run", str(folder), *sizes),
        stdout=subprocess.PIPE,
        check=True,
    )
    return int(done.stdout)


def row(shape: Shape) -> str:
    """Make one run, judge it and report it; a line of the table."""
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / "run"
        records = _write(folder, shape)
        judged, reported = command("judge", folder), command("report", folder)
        page_mib = (folder / PAGE).stat().st_size / _KIB_A_MIB**2
    scale = max(1.0, records / MILLION)
    over = [
        what
        for what, seen, most in (
            ("TIME", reported.cpu_s, CPU_MAX_S * scale),
            ("MEMORY", reported.rss_mib, RSS_MAX_MIB * scale),
            ("PAGE", page_mib, PAGE_MAX_MIB),
        )
        if seen > most
    ]
    return (
        f"{records:>11,}{shape.sessions:>9,}{shape.windows:>8}"
        f"{judged.cpu_s:>9.1f}{judged.rss_mib:>9.0f}"
        f"{reported.cpu_s:>10.1f}{reported.wall_s:>8.1f}{reported.rss_mib:>9.0f}{page_mib:>8.2f}"
        f"{f'  over its goal: {chr(44).join(over)}' if over else ''}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", nargs="*", type=int, help="sizes instead of the usual ones")
    asked = parser.parse_args().calls
    say("judging and reporting long runs: seconds of processor time, MiB")
    say(
        f"{'attempts':>11}{'sessions':>9}{'windows':>8}{'judge s':>9}{'MiB':>9}"
        f"{'report s':>10}{'wall s':>8}{'MiB':>9}{'page':>8}"
    )
    for shape in [Shape(calls=calls) for calls in asked] or SHAPES:
        say(row(shape))


if __name__ == "__main__":
    main()
