"""Coordinated omission and its kin: what other load tools hide while a server fails, and we do not.

Real servers are stopped and killed under load. Each test is named after the mistake that it guards
against; each was measured in a tool that people use.
"""

from __future__ import annotations

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import pytest

from harness.cli.conclusion import read
from harness.clock import NS_PER_MS, NS_PER_S
from harness.errors import Exit
from harness.evidence.latencies import SAMPLES_MIN
from harness.evidence.phases import BASELINE, Evidence
from harness.journal import SessionEntry
from harness.outcome import Outcome
from tests import command
from tests.ports import free_port
from tests.relay import Relay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STALL_S: Final = 3.0
DEADLINE_S: Final = 1.0
BACKOFF_S: Final = 0.2
ATTEMPTS: Final = 3
SESSIONS: Final = 6
REFUSED: Final = 4 * SESSIONS  # connections, before the server is back
HDR_ERROR: Final = 0.002  # of three significant figures
READY_S: Final = 30.0

_STEADY: Final = command.STORM.partition("faults:")[0]
_LIMITS: Final = 'limits: {answered: ">= 99%"}\n'
STALLED: Final = _STEADY.replace("baseline: 3s", "baseline: 7s").replace("8/s", "30/s")
IMPATIENT: Final = f"client: {{deadline: {DEADLINE_S}s}}\n"
FAILING: Final = _STEADY.replace("baseline: 3s", "baseline: 5s") + IMPATIENT + _LIMITS
RETRYING: Final = (
    f"client: {{retry: {{attempts: {ATTEMPTS}, backoff: {BACKOFF_S * 1000:.0f}ms}}}}\n"
)


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A run that went through something, and what it said."""

    done: command.Done
    evidence: Evidence
    verdict: dict[str, Any]
    refused: int = 0  # connections while the server was away
    outage_ns: tuple[int, int] = (0, 0)  # on the run's clock

    def told(self, arm: str) -> dict[str, Any]:
        """Give the row of an arm's baseline, all tools, counted from due."""
        (row,) = (
            row
            for row in self.verdict["latency"]
            if (row["from"], row["phase"], row["tool"], row["arm"]) == ("due", "baseline", "", arm)
        )
        found: dict[str, Any] = row
        return found


@contextmanager
def _run(folder: Path, text: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Start a run and wait for its baseline; it is killed if the test does not finish it."""
    (folder / "steady.yaml").write_text(text, encoding="utf-8")
    process = command.start("run", "steady.yaml", *words, cwd=folder)
    try:
        command.await_line(process, "baseline")
        yield process
    finally:
        process.kill()


def _finish(process: subprocess.Popen[str], folder: Path, **more: Any) -> Recorded:
    done = command.finish(process)
    run = command.folder_of(folder / "runs")
    return Recorded(done=done, evidence=read(run)[0], verdict=command.verdict_of(run), **more)


def _server_of(process: subprocess.Popen[str]) -> psutil.Process:
    (server,) = [
        one for one in command.family(process.pid) if "harness.reference" in command.words_of(one)
    ]
    return server


@pytest.fixture(scope="module")
def stalled(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Stop the server for three seconds while every session is at work."""
    folder = tmp_path_factory.mktemp("stalled")
    with _run(folder, STALLED + _LIMITS) as process:
        server = _server_of(process)
        server.send_signal(signal.SIGSTOP)
        time.sleep(STALL_S)
        server.send_signal(signal.SIGCONT)
        return _finish(process, folder)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Stop the server for the rest of the run."""
    folder = tmp_path_factory.mktemp("frozen")
    with _run(folder, FAILING) as process:
        _server_of(process).send_signal(signal.SIGSTOP)
        return _finish(process, folder)


@pytest.fixture(scope="module")
def gone(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Kill the server as soon as there is something to compare with; nobody starts it again."""
    folder = tmp_path_factory.mktemp("gone")
    with _run(folder, FAILING) as process:
        _server_of(process).send_signal(signal.SIGKILL)
        return _finish(process, folder)


@contextmanager
def _reference(folder: Path) -> Iterator[tuple[psutil.Popen, int]]:
    """Run the bundled server by itself; it knows no session that another one has opened."""
    port = free_port()
    argv = [sys.executable, "-m", "harness.reference", "--port", str(port), "--no-auth"]
    argv += ["--ledger", str(folder / f"ledger-{port}.db")]
    with (folder / f"server-{port}.log").open("wb") as log:
        server = psutil.Popen(argv, cwd=command.ROOT, stdout=log, stderr=log)
    try:
        _wait(lambda: any(one.status == "LISTEN" for one in server.net_connections("tcp")))
        yield server, port
    finally:
        server.kill()
        server.wait()


def _wait(come: Callable[[], bool]) -> None:
    until = time.monotonic() + READY_S
    while not come():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Kill the server; a fresh one, which knows no session, takes its place after a while.

    Both moments follow what happens and not a clock, and so does the run's end.
    """
    folder = tmp_path_factory.mktemp("restarted")
    text = _STEADY.replace("baseline: 3s", "baseline: 30s") + RETRYING + _LIMITS
    with ExitStack() as stack:
        old, port = stack.enter_context(_reference(folder))
        _, new_port = stack.enter_context(_reference(folder))
        relay = stack.enter_context(Relay(port))
        url = f"http://127.0.0.1:{relay.port}/mcp"
        process = stack.enter_context(_run(folder, text, "--target", url, "--era", "legacy"))
        relay.backend = None
        began_ns = time.monotonic_ns()
        old.kill()
        _wait(lambda: relay.refused >= REFUSED)
        refused, ended_ns = relay.refused, time.monotonic_ns()
        relay.backend = new_port
        journal = command.folder_of(folder / "runs") / "journal.jsonl"
        _wait(lambda: journal.read_text(encoding="utf-8").count('"reopened"') > SESSIONS / 2)
        seen = relay.carried_bytes
        _wait(lambda: relay.carried_bytes > 2 * seen)
        process.send_signal(signal.SIGINT)
        return _finish(process, folder, refused=refused, outage_ns=(began_ns, ended_ns))


# --- a stall --------------------------------------------------------------------------------


def test_a_stall_does_not_hide_between_the_percentiles(stalled: Recorded) -> None:
    """A p95 of milliseconds, and exit 0, after three seconds in which nothing was answered."""
    assert stalled.done.code in {Exit.FAIL, Exit.UNKNOWN}, stalled.done.all
    for arm in ("control", "treated"):
        assert stalled.told(arm)["p95_ms"] > 2000
        assert stalled.told(arm)["p99_ms"] > 2500
        assert stalled.told(arm)["max_ms"] >= STALL_S * 1000 - 100


def test_latency_is_not_counted_from_when_a_call_was_sent(stalled: Recorded) -> None:
    """The percentiles told are those computed from the due times, call by call."""
    evidence = stalled.evidence
    calls, baseline = evidence.settled, evidence.phases.baseline
    inside = calls[(calls["due_ns"] >= baseline.start_ns) & (calls["due_ns"] < baseline.end_ns)]
    for treated, arm in enumerate(("control", "treated")):
        mine, told = inside[inside["treated"] == treated], stalled.told(arm)
        took_ms = np.sort((mine["done_ns"] - mine["due_ns"]) / NS_PER_MS)
        assert told["count"] == len(took_ms) > SAMPLES_MIN[99.0]
        for name, share in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p95_ms", 0.95), ("p99_ms", 0.99)):
            rank = math.ceil(share * len(took_ms)) - 1
            assert told[name] == pytest.approx(took_ms[rank], rel=HDR_ERROR)
        # Counted from when they were sent, the calls would hide it: that is what this guards.
        served_ms = np.sort((mine["done_ns"] - mine["sent_ns"]) / NS_PER_MS)
        assert served_ms[math.ceil(0.95 * len(served_ms)) - 1] < took_ms[rank] / 2


def test_a_pace_that_cannot_be_held_is_not_silently_lowered(stalled: Recorded) -> None:
    """1,980 calls sent of 2,600 planned, and no word of it: here what was planned was asked."""
    evidence = stalled.evidence
    planned = sum(evidence.plan.count(who.session) for who in evidence.plan.sessions)
    assert len(evidence.settled) == planned
    assert sum(stalled.verdict["calls"].values()) > 0
    late_ms = (evidence.settled["sent_ns"] - evidence.settled["due_ns"]) / NS_PER_MS
    sent = evidence.settled["sent_ns"] >= 0
    assert np.count_nonzero(late_ms[sent] > 1000) > SESSIONS * 10  # caught up, and told as late


def test_calls_that_were_never_sent_are_not_left_out(frozen: Recorded) -> None:
    """A closed loop waits, so it counts only what it sent: here the rest is unsent, and lost."""
    evidence, verdict = frozen.evidence, frozen.verdict
    calm = evidence.settled[evidence.phase == BASELINE]
    unsent = calm["outcome"] == Outcome.UNSENT
    assert np.count_nonzero(unsent) > SESSIONS
    assert verdict["calls"]["unsent"] >= np.count_nonzero(unsent)
    answered = np.count_nonzero(calm["outcome"] == Outcome.OK) / len(calm)
    (limit,) = verdict["limits"]
    assert limit["observed"] == pytest.approx(answered, abs=0.02)
    assert limit["ruling"] != "pass"
    assert frozen.done.code != Exit.PASS, frozen.done.all
    assert evidence.from_due_ns[evidence.settled["outcome"] == Outcome.UNSENT].min() >= (
        DEADLINE_S * NS_PER_S
    )


# --- a death --------------------------------------------------------------------------------


def test_fast_failures_are_not_fast_answers(gone: Recorded) -> None:
    """A p50 of 0.0 ms from a server that is not there."""
    evidence = gone.evidence
    failed = evidence.settled["outcome"] == Outcome.TRANSPORT_ERROR
    took = (evidence.settled["done_ns"] - evidence.settled["sent_ns"])[failed]
    assert np.count_nonzero(failed) > SESSIONS * 5
    assert np.median(took) < DEADLINE_S * NS_PER_S / 2  # they did fail fast
    assert evidence.from_due_ns[failed].min() >= DEADLINE_S * NS_PER_S
    for arm in ("control", "treated"):
        assert gone.told(arm)["p50_ms"] >= DEADLINE_S * 1000 * (1 - HDR_ERROR)


def test_a_run_of_errors_does_not_exit_with_zero(gone: Recorded) -> None:
    """96 % errors, exit code 0."""
    assert gone.done.code in {Exit.FAIL, Exit.UNKNOWN}, gone.done.all
    (limit,) = gone.verdict["limits"]
    assert limit["ruling"] == "fail"
    assert limit["observed"] < 0.5
    score = gone.verdict["score"]
    assert score is None or score["points"] < 50


# --- a restart ------------------------------------------------------------------------------


def test_retries_do_not_storm_without_backoff(restarted: Recorded) -> None:
    """12,000 retries a second at a server that is trying to come up."""
    calls = restarted.evidence.calls
    same = (calls["session"][1:] == calls["session"][:-1]) & (
        calls["index"][1:] == calls["index"][:-1]
    )
    # The second request after a session was lost is no retry: it follows at once, and once.
    again = same & (calls["outcome"][:-1] == Outcome.TRANSPORT_ERROR)
    again &= (calls["sent_ns"][1:] >= 0) & (calls["sent_ns"][:-1] >= 0)
    waited_s = (calls["sent_ns"][1:] - calls["sent_ns"][:-1])[again] / NS_PER_S
    backoff_s = BACKOFF_S * 2.0 ** (calls["attempt"][:-1][again].astype(float) - 1)
    assert np.count_nonzero(again) > 0
    assert np.all(waited_s >= backoff_s - 0.005)
    assert calls["attempt"].max() <= ATTEMPTS + 1
    began_ns, ended_ns = restarted.outage_ns
    # So many were turned down that some session came a fourth time: two backoffs, at the least.
    assert restarted.refused >= REFUSED
    assert (ended_ns - began_ns) / NS_PER_S >= 0.9 * (BACKOFF_S + 2 * BACKOFF_S)


def test_a_restarted_server_is_initialised_anew(restarted: Recorded) -> None:
    """16,121 more errors after the server is back, for nobody opens a session again."""
    evidence = restarted.evidence
    reopened = {e.session for e in evidence.journal.of(SessionEntry) if e.edge == "reopened"}
    assert len(reopened) > SESSIONS / 2
    for entry in (e for e in evidence.journal.of(SessionEntry) if e.edge == "reopened"):
        mine = evidence.settled[evidence.settled["session"] == entry.session]
        later = mine[mine["sent_ns"] > entry.at_ns]
        assert np.count_nonzero(later["outcome"] == Outcome.OK) > 0
    assert restarted.verdict["sessions"]["reopened"] == len(reopened)
