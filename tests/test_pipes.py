"""Whole runs over stdio, the way a user starts them."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

import psutil
import pytest

from harness import wal
from harness.journal import ProcessEntry, read
from tests import command
from tests.wire.talking import SERVER

QUESTION: Final = """\
question: Does a run over pipes work from one end to the other?
seed: 9
era: legacy
target: {target}
agents:
  - name: caller
    pace: 10/s
    steps:
      - call: echo
        with: {{text: "${{nonce}}"}}
        expect: {{carries: nonce}}
load: {{sessions: 6, ramp: 500ms, treated: 50%}}
phases: {{warmup: 1s, baseline: 3s, recovery: {recovery}}}
faults:
{faults}
limits: {{answered: ">= 90%"}}
"""
EDGES: Final = ("killed", "stopped", "resumed")


def small_server(folder: Path, change: str = "") -> str:
    """The target of a scenario: the small server of the wire's tests, changed; as YAML."""
    file = folder / "server.py"
    file.write_text(SERVER % change, encoding="utf-8")
    return f'{{stdio: ["{sys.executable}", "-S", "{file}"]}}'


def run(folder: Path, target: str, faults: str, *flags: str, recovery: str = "2s") -> command.Done:
    """One short run."""
    text = QUESTION.format(target=target, faults=faults, recovery=recovery)
    (folder / "pipes.yaml").write_text(text, encoding="utf-8")
    return command.squall("run", "pipes.yaml", "--out", "runs", "--quiet", *flags, cwd=folder)


def findings(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The failed findings by their verdict."""
    failed: dict[str, list[dict[str, Any]]] = {}
    for one in command.verdict_of(command.folder_of(folder / "runs"))["findings"]:
        if one["ruling"] == "fail":
            failed.setdefault(one["verdict"], []).append(one)
    return failed


@pytest.mark.slow
def test_faults_of_processes_are_counted_and_survived(tmp_path: Path) -> None:
    """Killed and stopped, in whichever worker they are; no session is lost for it."""
    faults = "  - process-kill:\n    for: 500ms\n  - process-stop:\n    for: 1s\n"
    done = run(tmp_path, small_server(tmp_path), faults, "--workers", "2")
    folder = command.folder_of(tmp_path / "runs")
    verdict = command.verdict_of(folder)
    command.assert_passed(done.code, verdict)
    entries = read(folder).of(ProcessEntry)
    struck = {edge: {one.session for one in entries if one.edge == edge} for edge in EDGES}
    assert len(struck["killed"]) == len(struck["stopped"]) == len(struck["resumed"]) == 3
    assert {one.treated for one in entries if one.window} == {True}
    started = sum(one.edge == "started" for one in entries)
    assert started == sum(one.edge == "ended" for one in entries) >= 9


@pytest.mark.slow
def test_a_server_that_prints_answers_twice_and_dies_is_found(tmp_path: Path) -> None:
    """Three things no fault explains, each by its own name; the session goes on all the same."""
    bad = """
def turn(asked):
    print("a line for nobody")
    text = asked["params"]["arguments"].get("text", "")
    answer(asked, content(text))
    answer(asked, content(text))
    if asked["id"] > 20:
        sys.exit(4)
"""
    done = run(tmp_path, small_server(tmp_path, bad), "  - response-lost:\n    for: 1s\n")
    failed = findings(tmp_path)
    assert done.code == 1, done.all
    assert {"stdout-noise", "stray-reply", "crash"} <= failed.keys()
    assert "'a line for nobody'" in failed["stdout-noise"][0]["why"]
    assert "status 4" in failed["crash"][0]["why"]


@pytest.mark.slow
def test_one_process_serves_an_arm_and_a_reader_that_stops_reading_harms_nobody(
    tmp_path: Path,
) -> None:
    """Two processes in all; what a client leaves unread is answered once it is read again."""
    target = small_server(tmp_path).removesuffix("}") + ", processes: shared}"
    faults = "  - slow-reader: {rate: 0KB/s}\n    for: 1s\n  - client-vanish:\n    for: 1s\n"
    done = run(tmp_path, target, faults)
    folder = command.folder_of(tmp_path / "runs")
    command.assert_passed(done.code, command.verdict_of(folder))
    entries = read(folder).of(ProcessEntry)
    assert [one.edge for one in entries].count("started") == 2
    assert [one.window for one in entries if one.edge == "slowed"] == [1]


@pytest.mark.slow
def test_a_killed_squall_leaves_no_server_behind(tmp_path: Path) -> None:
    """Neither one that ends by itself, nor one that will not hear, nor one that is stopped."""
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nimport atexit\n"
    deaf += "atexit.register(time.sleep, 300)\n"
    text = QUESTION.format(
        target=small_server(tmp_path, deaf),
        faults="  - process-stop:\n    for: 60s\n",
        recovery="3s",
    )
    (tmp_path / "pipes.yaml").write_text(text, encoding="utf-8")
    process = command.start("run", "pipes.yaml", "--out", "runs", cwd=tmp_path)
    try:
        command.await_line(process, "1:process-stop")
        server = str(tmp_path / "server.py")
        servers = [one for one in command.family(process.pid) if server in command.words_of(one)]
        assert len(servers) == 6
        assert any(one.status() == psutil.STATUS_STOPPED for one in servers)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)
    command.assert_gone(servers)
    folder = command.folder_of(tmp_path / "runs")
    done = command.squall("recover", str(folder), cwd=tmp_path)
    assert done.code == 0, done.all
    assert wal.read(folder).closed_by


def test_what_pipes_cannot_do_is_said_before_anything_is_started(tmp_path: Path) -> None:
    """With file, line and column, and what to write instead."""
    faults = "  - tcp-reset: {after: 100ms}\n    for: 1s\n"
    text = QUESTION.format(target="{stdio: [server]}", faults=faults, recovery="3s")
    (tmp_path / "pipes.yaml").write_text(text, encoding="utf-8")
    done = command.squall("check", "pipes.yaml", cwd=tmp_path)
    assert done.code == 2
    assert "pipes.yaml:15:5" in done.err
    assert "use process-kill" in done.err
