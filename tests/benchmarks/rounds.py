"""The little language between the bench and the engines it compares, each in its own process.

A driver opens its sessions, prints `ready`, and then, for each line `SECONDS` on its standard
input, runs that long and prints one JSON object: the calls it finished and the CPU time it took.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final

SESSIONS_VARIABLE: Final = "SQUALL_BENCH_SESSIONS"  # how the bench tells its drivers
SESSIONS: Final = int(os.environ.get(SESSIONS_VARIABLE, "50"))
ARGUMENTS: Final = b'{"name":"echo","arguments":{"text":"%b"}}' % (b"y" * 200)


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """What one engine did in one round."""

    calls: int
    cpu_s: float

    @property
    def calls_per_cpu_s(self) -> float:
        """The measure that does not depend on who else uses the machine's cores."""
        return self.calls / self.cpu_s if self.cpu_s else 0.0


def cpu_seconds() -> float:
    """User and system time of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def say(word: str) -> None:
    """One line to the bench."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


def asked_rounds() -> Iterator[float]:
    """The seconds of each round that the bench asks for, until it closes the pipe."""
    say("ready")
    for line in sys.stdin:
        yield float(line)


def report_round(calls: int, cpu_s: float) -> None:
    """Hand one round's result to the bench."""
    say(json.dumps(asdict(Round(calls=calls, cpu_s=cpu_s))))


def run_rounds(run: Callable[[float], int]) -> None:
    """Serve rounds with a function that runs for some seconds and returns its calls."""
    for seconds in asked_rounds():
        before_s = cpu_seconds()
        calls = run(seconds)
        report_round(calls, cpu_seconds() - before_s)
