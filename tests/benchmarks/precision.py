"""How exactly squall measures; run as `python -m tests.benchmarks.precision [CALLS_PER_S …]`.

Planned sessions call a server that answers after exactly 20 ms and stamps what it did. For each
rate: how late calls left (sent - due), how much more than the server's own time was measured, from
sent and from due (done - sent - held, done - due - held), and how busy this process was. Both
processes have a core of their own and run ahead of foreign work; the share of time that either
waited for a core, or that was taken from this machine as a whole, says what the figures are worth.
The last row is at half load: the rate at which half a core is used, by what the rows before it
took; many sessions saturate a core at about twice the last rate before it.
"""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import uvloop
from numpy.typing import NDArray

from harness import journal
from harness import plan as plans
from harness.clock import RunClock
from harness.outcome import Outcome
from harness.plan import Plan
from harness.running.host import YOUNG_OBJECTS
from harness.scenario.records import Scenario
from harness.session.life import Session
from tests.benchmarks.cores import pin, prefer, stolen_s, waited_s
from tests.benchmarks.rounds import cpu_seconds, say
from tests.benchmarks.stages import stage

RATES: Final = (2000, 6000, 15_000)
HALF: Final = 0.5  # of a core
RATE_STEP: Final = 500
SESSIONS: Final = 1000
SECONDS: Final = 5
SETTLED_NS: Final = 1_000_000_000
LATE_P99_MAX_MS: Final = 2.5
ERROR_P50_MAX_MS: Final = 0.3
ERROR_P99_MAX_MS: Final = 2.5
WAITED_SHARE_MAX: Final = 0.005  # a stall that long is in a p99
_HELD_TO: Final = 0.8  # of a core; above it the goals do not hold


@dataclass(frozen=True, kw_only=True, slots=True)
class Precision:
    """One rate, measured; milliseconds."""

    calls: int
    late: tuple[float, float]  # p50, p99
    error: tuple[float, float]
    felt: tuple[float, float]  # the error from due
    cpu_share: float
    waited_share: float  # of time, by either process, and by the machine itself

    def row(self, rate: int) -> str:
        """Write a line of the table."""
        (late_p50, late_p99), (error_p50, error_p99) = self.late, self.error
        felt_p50, felt_p99 = self.felt
        over = [
            name
            for name, seen, most in (
                ("sent late p99", late_p99, LATE_P99_MAX_MS),
                ("error p50", error_p50, ERROR_P50_MAX_MS),
                ("error p99", error_p99, ERROR_P99_MAX_MS),
                ("from due p50", felt_p50, ERROR_P50_MAX_MS),
                ("from due p99", felt_p99, ERROR_P99_MAX_MS),
            )
            if seen > most
        ]
        remark = ""
        if over and self.waited_share > WAITED_SHARE_MAX:
            remark = "  the machine was TOO BUSY to tell"
        elif over and self.cpu_share <= _HELD_TO:
            remark = f"  over its goal: {', '.join(over)}"
        return (
            f"{rate:>8,}{self.calls:>9,}{self.cpu_share:>7.0%}{self.waited_share:>8.1%}"
            f"{late_p50:>9.2f}{late_p99:>9.2f}{error_p50:>9.2f}{error_p99:>9.2f}"
            f"{felt_p50:>9.2f}{felt_p99:>9.2f}{remark}"
        )


def scenario(url: str, rate: int, seconds: float = SECONDS) -> Scenario:
    """Make a scenario that calls so often in all."""
    document: dict[str, Any] = {
        "question": "How exactly is a known delay measured?",
        "era": "legacy",
        "target": {"url": url},
        "agents": [
            {
                "name": "caller",
                "pace": f"{rate / SESSIONS:g}/s",
                "steps": [{"call": "echo", "with": {"text": "${nonce}"}}],
            }
        ],
        "load": {"sessions": SESSIONS, "ramp": "200ms"},
        "phases": {"warmup": "0s", "baseline": f"{seconds:g}s"},
    }
    return Scenario.model_validate(document)


async def _drive(of: Scenario, plan: Plan, folder: Path) -> tuple[float, float]:
    """Live the plan; the shares of its time that this process ran and waited to run."""
    clock = RunClock()
    with journal.JournalWriter(folder) as writer:
        made = stage(of, plan, clock, writer)
        gc.collect()
        gc.freeze()  # as the host of sessions does, and
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        began_s, ready_s, at_ns = cpu_seconds(), waited_s(os.getpid()), clock.now_ns()
        lives = [Session(stage=made, planned=who) for who in plan.sessions]
        async with asyncio.timeout(plan.end_ns / 1e9 + 30):
            await asyncio.gather(*(life.run() for life in lives))
        length_s = (clock.now_ns() - at_ns) / 1e9
    return (cpu_seconds() - began_s) / length_s, (waited_s(os.getpid()) - ready_s) / length_s


def measure(rate: int, seconds: float = SECONDS) -> Precision:
    """Run one rate against a server of its own."""
    server = subprocess.Popen(
        (sys.executable, "-m", "tests.benchmarks.slow_server"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    pin(os.getpid(), 0)
    pin(server.pid, 1)
    prefer(os.getpid(), server.pid)
    try:
        of = scenario(f"http://127.0.0.1:{server.stdout.readline().strip()}/mcp", rate, seconds)
        plan = plans.make(of)
        with tempfile.TemporaryDirectory() as folder:
            lost_s, at_s = waited_s(server.pid) + stolen_s(), time.monotonic()
            cpu_share, waited_share = uvloop.run(_drive(of, plan, Path(folder)))
            lost_s = waited_s(server.pid) + stolen_s() - lost_s
            waited_share += lost_s / (time.monotonic() - at_s)
            calls = journal.read(Path(folder)).calls
        told, _ = server.communicate(timeout=30)
    finally:
        server.kill()
        server.wait()
    held_ns = dict(line.split() for line in told.splitlines())
    calls = calls[(calls["due_ns"] >= SETTLED_NS) & (calls["outcome"] == Outcome.OK)]
    rows = zip(calls["session"].tolist(), calls["index"].tolist(), strict=True)
    own_ns = np.array([int(held_ns[plan.nonce(session, index)]) for session, index in rows])
    late_ms = (calls["sent_ns"] - calls["due_ns"]) / 1e6
    error_ms = (calls["done_ns"] - calls["sent_ns"] - own_ns) / 1e6
    return Precision(
        calls=len(calls),
        late=_quantiles(late_ms),
        error=_quantiles(error_ms),
        felt=_quantiles(late_ms + error_ms),
        cpu_share=cpu_share,
        waited_share=waited_share,
    )


def _quantiles(values: NDArray[np.float64]) -> tuple[float, float]:
    return float(np.quantile(values, 0.5)), float(np.quantile(values, 0.99))


def main() -> None:
    """Print the table."""
    say("a server that answers after exactly 20 ms; milliseconds")
    say(
        f"{'calls/s':>8}{'calls':>9}{'CPU':>7}{'waited':>8}"
        f"{'late p50':>9}{'p99':>9}{'err p50':>9}{'p99':>9}{'due p50':>9}{'p99':>9}"
    )
    asked = [int(word) for word in sys.argv[1:]]
    shares = []
    for rate in asked or RATES:
        seen = measure(rate)
        shares.append(seen.cpu_share)
        say(seen.row(rate))
    if not asked:
        half = round(float(np.interp(HALF, shares, RATES)) / RATE_STEP) * RATE_STEP
        say(f"{measure(half).row(half)}  (half load)")


if __name__ == "__main__":
    main()
