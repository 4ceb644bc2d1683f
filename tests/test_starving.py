"""A generator that is really starved says so, and one that is only crowded is believed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
import pytest

from harness.cli.conclusion import read
from harness.evidence.generator import SLIP_P50_MAX_MS, SLIP_P99_MAX_MS, STALLED_MIN_S
from harness.evidence.phases import BASELINE
from harness.journal import HealthEntry
from tests import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

BASELINE_S: Final = 4
STEADY: Final = f"""\
question: Is the generator at ease?
agents:
  - name: caller
    pace: 10/s
    steps:
      - call: echo
        with: {{text: "${{nonce}}"}}
load: {{sessions: 6, ramp: 500ms}}
phases: {{warmup: 500ms, baseline: {BASELINE_S}s}}
"""
PULSES: Final = 3
STOPPED_S: Final = 0.8
BETWEEN_S: Final = 0.05
HOG: Final = "import os, signal; os.nice(19); signal.alarm(60)\nwhile True: pass"


@contextmanager
def _started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run against a server that costs next to nothing: a slow one would hide who was late."""
    (folder / "steady.yaml").write_text(STEADY, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.fast_server"],
        cwd=command.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}/json"
        process = command.start(
            "run", "steady.yaml", "--target", url, "--era", "legacy", *words, cwd=folder
        )
        try:
            yield process
        finally:
            process.kill()
            server.kill()


def _starve(process: psutil.Process) -> None:
    """Take the processor away for most of two seconds, as a hypervisor or a debugger would."""
    for _ in range(PULSES):
        process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        process.send_signal(signal.SIGCONT)
        time.sleep(BETWEEN_S)


def _fared(folder: Path) -> dict[str, Any]:
    fared: dict[str, Any] = command.verdict_of(folder)["generator"]
    return fared


@pytest.mark.parametrize(
    ("workers", "starved", "named"),
    [(0, "run steady.yaml", "squall"), (2, "harness.worker", "worker ")],
)
def test_a_starved_generator_concludes_nothing_and_says_why(
    workers: int, starved: str, named: str, tmp_path: Path
) -> None:
    """Exit 3, with the process and what happened to it in words; no score is given."""
    with _started(tmp_path, "--workers", str(workers)) as process:
        command.await_line(process, "baseline")
        everyone = [psutil.Process(process.pid), *command.family(process.pid)]
        _starve(next(one for one in everyone if starved in " ".join(command.words_of(one))))
        done = command.finish(process)
    folder = command.folder_of(tmp_path / "runs")
    assert done.code == 3, done.all
    verdict = command.verdict_of(folder)
    assert (verdict["ruling"], verdict["score"]) == ("unknown", None)
    assert verdict["generator"]["verdict"] == "invalid"
    victim = max(verdict["generator"]["processes"], key=lambda one: one["stalled_share"])
    assert victim["name"].startswith(named)
    assert victim["verdict"] == "invalid"
    assert victim["stalled_share"] > PULSES * STOPPED_S / 2 / BASELINE_S
    assert victim["lag_max_ms"] > STOPPED_S * 1000 / 2
    said = " ".join(done.out.split())
    assert "generator invalid: calls left" in said
    assert "squall was the bottleneck: " in said
    assert f"{victim['name']} stood still for " in said
    assert "score withheld" in said


@contextmanager
def _crowd() -> Iterator[None]:
    """Keep every processor busy with work that steps aside for any other."""
    hogs = [subprocess.Popen([sys.executable, "-c", HOG]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def test_a_machine_that_is_only_crowded_is_believed(tmp_path: Path) -> None:
    """Invalid is said only where calls really left late, or the loop really stood still."""
    with _crowd(), _started(tmp_path) as process:
        done = command.finish(process)
    folder = command.folder_of(tmp_path / "runs")
    fared = _fared(folder)
    evidence, _ = read(folder)
    calm = evidence.settled[(evidence.phase == BASELINE) & (evidence.settled["sent_ns"] >= 0)]
    late_ms = np.maximum(0, calm["sent_ns"] - calm["due_ns"]) / 1e6
    stalled_s = sum(one.stalled_ms for one in evidence.journal.of(HealthEntry)) / 1000
    assert len(calm) > 50
    # Of half the calls twice the share, for only those count that nothing held.
    on_time = np.quantile(late_ms, 0.75) < SLIP_P50_MAX_MS
    on_time &= np.quantile(late_ms, 0.995) < SLIP_P99_MAX_MS
    if on_time and stalled_s < STALLED_MIN_S:
        assert fared["verdict"] in {"ok", "suspect"}
    if fared["verdict"] != "invalid":
        command.assert_passed(done.code, command.verdict_of(folder))
    else:
        assert done.code == 3
