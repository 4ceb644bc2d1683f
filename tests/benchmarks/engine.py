"""Compares engines on one server in alternating rounds; run as `python -m tests.benchmarks.engine`.

To add an engine, write a driver module (see `rounds`) and add a line to `MODES`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.benchmarks.cores import pin, prefer, waited_s
from tests.benchmarks.rounds import ARGUMENTS, SESSIONS, SESSIONS_VARIABLE, Round

WAIT_S: Final = 60
SOCKETS_PER_SESSION: Final = 2
SPARE_FILES: Final = 200
WAITED_SHARE_MAX: Final = 0.1  # above it, foreign work on the core spoils the caches
PATHS: Final = ("json", "sse", "sse3")
HEADER: Final = (
    f"{'engine':<24}{'us/call min':>12}{'median':>9}{'calls/CPU-s':>13}"
    f"{'of wrk':>9}{'x FastHttpUser':>16}{'x SDK':>8}"
)
_WRK_REQUESTS = re.compile(r"(\d+) requests in")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mode:
    """One engine: its name in the table, the module that drives it, and the cells it is in."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    paths: tuple[str, ...] = PATHS
    crowds: bool = True  # whether it takes part with more than the usual sessions


MODES: Final = (
    Mode(
        name="squall session, legacy",
        module="tests.benchmarks.drive_session",
        arguments=("legacy",),
    ),
    Mode(
        name="squall session, modern",
        module="tests.benchmarks.drive_session",
        arguments=("modern",),
        paths=("json",),
    ),
    Mode(name="squall wire, legacy", module="tests.benchmarks.drive_wire", arguments=("legacy",)),
    Mode(
        name="squall wire, modern",
        module="tests.benchmarks.drive_wire",
        arguments=("modern",),
        paths=("json",),
    ),
    Mode(name="FastHttpUser", module="tests.benchmarks.drive_locust"),
    Mode(name="mcp SDK client", module="tests.benchmarks.drive_sdk", paths=("json",), crowds=False),
)


class Engine(Protocol):
    """Something that can run a round."""

    name: str

    def run(self, seconds: float) -> Round:
        """One round."""
        ...


class Driver:
    """A driver process, open for rounds."""

    def __init__(self, mode: Mode, url: str, sessions: int = SESSIONS) -> None:
        self.name = mode.name
        self.process = _python(mode.module, url, *mode.arguments, cpu=0, sessions=sessions)
        self.waited_shares: list[float] = []
        line = _read_line(self.process)
        assert line == "ready", f"{mode.name}: {line!r}"
        prefer(self.process.pid)

    def run(self, seconds: float) -> Round:
        """One round."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        before_s = waited_s(self.process.pid)
        self.process.stdin.flush()
        measured = Round(**json.loads(_read_line(self.process)))
        self.waited_shares.append((waited_s(self.process.pid) - before_s) / seconds)
        return measured


class Wrk:
    """wrk with one thread: what a client in C costs that encodes and checks nothing."""

    name = "wrk"

    def __init__(self, path: str, url: str, folder: Path, sessions: int) -> None:
        self._path = path
        self._url = url
        self._sessions = sessions
        self._script = folder / "post.lua"
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":%b}' % ARGUMENTS
        self._script.write_text(
            'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
            'wrk.headers["Accept"] = "application/json, text/event-stream"\n'
            f"wrk.body = [[{body.decode()}]]\n",
            encoding="utf-8",
        )

    def run(self, seconds: float) -> Round:
        """One round, in whole seconds as wrk counts them."""
        command = [
            self._path, "-t1", f"-c{self._sessions}", f"-d{max(1, round(seconds))}s",
            "-s", str(self._script), self._url,
        ]  # fmt: skip
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            pin(process.pid, 0)
            prefer(process.pid)
            assert process.stdout is not None
            text = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        found = _WRK_REQUESTS.search(text)
        assert found is not None, text
        return Round(calls=int(found[1]), cpu_s=usage.ru_utime + usage.ru_stime)


def _python(
    module: str, *arguments: str, cpu: int, sessions: int = SESSIONS
) -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LOCUST")}
    environment[SESSIONS_VARIABLE] = str(sessions)
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    pin(process.pid, cpu)
    return process


def _read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    watchdog = threading.Timer(WAIT_S, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline().strip()
    finally:
        watchdog.cancel()
    assert line, f"{process.args!r} ended without a word, or said none in {WAIT_S} s"
    return line


@contextlib.contextmanager
def _ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=WAIT_S)


def _compare(
    path: str, origin: str, rounds: int, seconds: float, sessions: int = SESSIONS
) -> tuple[dict[str, list[Round]], float]:
    """The rounds of each engine, and the median share of time that drivers waited for a core."""
    url = f"{origin}/{path}"
    with contextlib.ExitStack() as stack:
        engines: list[Engine] = []
        for mode in MODES:
            if path in mode.paths and (mode.crowds or sessions == SESSIONS):
                driver = Driver(mode, url, sessions)
                stack.enter_context(_ended(driver.process))
                engines.append(driver)
        wrk = shutil.which("wrk")
        if wrk is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            engines.append(Wrk(wrk, url, Path(folder), sessions))
        for engine in engines:
            engine.run(seconds / 3)
        measured: dict[str, list[Round]] = {engine.name: [] for engine in engines}
        for _ in range(rounds):
            for engine in engines:
                measured[engine.name].append(engine.run(seconds))
        waits = [
            one for engine in engines if isinstance(engine, Driver) for one in engine.waited_shares
        ]
    return measured, statistics.median(waits)


def _table(
    path: str, measured: dict[str, list[Round]], waited_share: float, sessions: int = SESSIONS
) -> list[str]:
    def best_us(name: str) -> float | None:
        rounds = measured.get(name)
        return min(1e6 / one.calls_per_cpu_s for one in rounds) if rounds else None

    lines = [
        f"reply: {path}, {sessions:,} sessions",
        HEADER,
    ]
    wrk_us, locust_us, sdk_us = best_us("wrk"), best_us("FastHttpUser"), best_us("mcp SDK client")
    for name, rounds in measured.items():
        costs_us = [1e6 / one.calls_per_cpu_s for one in rounds]
        least_us = min(costs_us)
        of_wrk = f"{wrk_us / least_us:.2f}" if wrk_us else "no wrk"
        of_locust = f"{locust_us / least_us:.1f}" if locust_us else "-"
        of_sdk = f"{sdk_us / least_us:.0f}" if sdk_us else "-"
        lines.append(
            f"{name:<24}{least_us:>12.2f}{statistics.median(costs_us):>9.2f}"
            f"{1e6 / statistics.median(costs_us):>13,.0f}{of_wrk:>9}{of_locust:>16}{of_sdk:>8}"
        )
    trust = "" if waited_share < WAITED_SHARE_MAX else ": TOO BUSY, do not trust these figures"
    return [*lines, f"drivers waited for a core {waited_share:.0%} of the time{trust}", ""]


def _weigh(origin: str, sessions: int) -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < SOCKETS_PER_SESSION * sessions + SPARE_FILES:
        return f"memory: NOT MEASURED at {sessions} sessions: only {hard} open files are allowed"
    with _ended(
        _python("tests.benchmarks.drive_memory", f"{origin}/json", str(sessions), cpu=0)
    ) as process:
        kib = json.loads(_read_line(process))["kib_per_session"]
    return f"memory: {kib:.1f} KiB per session with a GET stream, at {sessions} sessions"


def main() -> None:
    """Run every mode on every path, weigh a session, print one report and add it to --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--paths", nargs="+", choices=PATHS, default=list(PATHS))
    parser.add_argument("--crowd", type=int, default=1000, help="sessions; 0 leaves it out")
    parser.add_argument(
        "--memory-sessions", type=int, nargs="*", default=[1000, 5000, 9000], help="none: leave out"
    )
    parser.add_argument("--out", type=Path, help="a file to add the report to")
    options = parser.parse_args()
    out = io.StringIO()

    def tell(*lines: str) -> None:
        text = "\n".join(lines) + "\n"
        sys.stdout.write(text)
        sys.stdout.flush()
        out.write(text)

    tell(
        f"calls per CPU-second of the client: keep-alive sessions in a closed loop, "
        f"{options.rounds} alternating rounds of {options.seconds} s"
    )
    if shutil.which("wrk") is None:
        tell("MISSING: wrk is not installed, so no ratio to it can be given")
    with _ended(_python("tests.benchmarks.fast_server", cpu=1)) as server:
        origin = f"http://127.0.0.1:{_read_line(server)}"
        prefer(server.pid)
        for path in options.paths:
            measured, waited_share = _compare(path, origin, options.rounds, options.seconds)
            tell(*_table(path, measured, waited_share))
        if options.crowd:
            # Three times as long: each session must do more than begin.
            measured, waited_share = _compare(
                "json", origin, options.rounds, 3 * options.seconds, options.crowd
            )
            tell(*_table("json", measured, waited_share, options.crowd))
        for sessions in options.memory_sessions:
            tell(_weigh(origin, sessions))
    if options.out is not None:
        with options.out.open("a", encoding="utf-8") as report:
            report.write(out.getvalue())


if __name__ == "__main__":
    main()
