"""The real command, started the way a user starts it, and small scenarios for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psutil

PYTHON: Final = sys.executable
ROOT: Final = Path(__file__).resolve().parent.parent
COMMAND_S: Final = 60
GONE_S: Final = 8.0

# What a busy machine does to a run's evidence; anything else in doubt is a defect.
DISTURBED: Final = {"generator", "baseline-steady", "arms-agree", "samples"}

STORM: Final = """\
question: Does a run work from one end to the other?
seed: 7
target: {reference: hardened}
agents:
  - name: researcher
    pace: 8/s
    steps:
      - list_tools
      - call: search
        with: {query: "${nonce}", limit: 5}
        expect: {rows: ">= 1", carries: nonce}
        keep: {doc: "result[0].id"}
      - call: fetch
        with: {id: "${doc}"}
load: {sessions: 6, ramp: 500ms, treated: 50%}
phases: {warmup: 500ms, baseline: 3s, recovery: 2s}
faults:
  - tcp-latency: {delay: 60ms, jitter: 5ms}
    for: 2s
limits: {answered: ">= 99%"}
"""


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both streams."""
        return self.out + self.err


def start(*words: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start the command in a folder; both streams are pipes."""
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a test's Ctrl-C goes to the command alone
    )


def finish(process: subprocess.Popen[str], within_s: float = COMMAND_S) -> Done:
    """Wait for a command and give what it said."""
    try:
        out, err = process.communicate(timeout=within_s)
    finally:
        process.kill()
    return Done(code=process.returncode, out=out, err=err)


def squall(
    *words: str, cwd: Path, env: Mapping[str, str] | None = None, within_s: float = COMMAND_S
) -> Done:
    """Run the command to its end."""
    return finish(start(*words, cwd=cwd, env=env), within_s)


def await_line(process: subprocess.Popen[str], part: str) -> str:
    """Read the command's progress up to the line that holds `part`; it must come."""
    assert process.stderr is not None
    read = ""
    for line in process.stderr:
        if part in line:
            return line
        read += line
    raise AssertionError(f"no line with {part!r} in:\n{read}")


def folder_of(out: Path) -> Path:
    """The one run folder in `out`."""
    (folder,) = out.iterdir()
    return folder


def verdict_of(folder: Path) -> dict[str, Any]:
    """What verdict.json says."""
    verdict: dict[str, Any] = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    return verdict


def assert_passed(code: int, verdict: dict[str, Any]) -> None:
    """It passed, or only a busy machine kept it from being judged.

    On no machine is a sound server said to have stayed broken.
    """
    doubts = {one["name"] for one in verdict["soundness"] if one["ruling"] != "pass"}
    failed = [one for one in verdict["findings"] if one["ruling"] == "fail"]
    assert not failed
    back = {one["ruling"] for one in verdict["limits"] if one["name"] == "recovery"}
    assert "fail" not in back, verdict["headline"]
    if (doubts or "unknown" in back) and doubts <= DISTURBED:
        assert code in {0, 3}
    elif not doubts and verdict["generator"]["verdict"] == "suspect":
        # What kept squall waiting kept the target waiting too: it may have missed a limit.
        assert code in {0, 1}, verdict["headline"]
    else:
        assert (code, verdict["ruling"]) == (0, "pass"), verdict["headline"]


def family(pid: int) -> list[psutil.Process]:
    """Everything that a process has started, directly or not."""
    return psutil.Process(pid).children(recursive=True)


def assert_gone(processes: Iterable[psutil.Process]) -> None:
    """Every one of them has ended, or does within seconds."""
    until = time.monotonic() + GONE_S
    left = list(processes)
    while left and time.monotonic() < until:
        left = [one for one in left if _lives(one)]
        time.sleep(0.02)
    assert not left, f"left behind: {[words_of(one) for one in left]}"


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def family_with(process: subprocess.Popen[str], part: str) -> list[psutil.Process]:
    """Everything a command has started, once something of it has `part` in its command line."""
    until = time.monotonic() + COMMAND_S
    while time.monotonic() < until:
        found = family(process.pid)
        if any(part in words_of(one) for one in found):
            return found
        time.sleep(0.01)
    raise AssertionError(f"nothing with {part!r} was started")


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; empty once it has ended, reaped or not."""
    try:
        return process.cmdline()
    except psutil.Error:
        return []
