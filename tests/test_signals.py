"""Whatever ends squall, it leaves nothing broken and nothing running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness import journal
from harness.journal import FaultEntry, Journal, RunEntry, SessionEntry
from tests import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

# Long enough to be ended in the middle of anything.
LONG = command.STORM.replace("for: 2s", "for: 30s")


@pytest.fixture
def proxies() -> Iterator[str]:
    """The address of a Toxiproxy server that outlives the command."""
    argv = [sys.executable, "-m", "faults.toxiproxy", "--port", "0"]
    with subprocess.Popen(
        argv,
        cwd=command.ROOT,
        env={**os.environ, "PYTHONPATH": str(command.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        yield "http://" + server.stdout.readline().split()[1]
        server.terminate()


def proxies_on(server: str) -> dict[str, Any]:
    """The proxies there, with their toxics."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{server}/proxies", timeout=5) as reply:
        found: dict[str, Any] = json.loads(reply.read())
    return found


def begun(tmp_path: Path, *words: str, until: str) -> subprocess.Popen[str]:
    """A run that has come to the line of progress that holds `until`."""
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    process = command.start("run", "long.yaml", *words, cwd=tmp_path)
    command.await_line(process, until)
    return process


def assert_healed_before_anybody_left(record: Journal) -> None:
    """The fault was undone while all sessions lived."""
    (healed,) = [one.at_ns for one in record.of(FaultEntry) if one.edge == "healed"]
    closed = [one.at_ns for one in record.of(SessionEntry) if one.edge == "closed"]
    assert len(closed) == 6
    assert healed <= min(closed)


def test_an_interrupted_run_is_healed_and_judged(tmp_path: Path, proxies: str) -> None:
    """In the middle of a fault: its toxics and both proxies go, the rest is judged, exit 130."""
    process = begun(tmp_path, "--toxiproxy", proxies, until="1:tcp-latency")
    family = command.family(process.pid)
    before = proxies_on(proxies)
    assert len(before) == 2
    assert any(proxy["toxics"] for proxy in before.values())
    process.send_signal(signal.SIGINT)
    done = command.finish(process)
    assert done.code == 130
    assert "Traceback" not in done.all
    assert proxies_on(proxies) == {}
    command.assert_gone(family)
    folder = command.folder_of(tmp_path / "runs")
    verdict = command.verdict_of(folder)
    assert (verdict["exit_code"], verdict["ruling"]) == (130, "unknown")
    assert verdict["faults"][0]["healed"]
    assert (folder / "report.html").exists()
    record = journal.read(folder)
    (ended,) = [one for one in record.of(RunEntry) if one.edge == "ended"]
    assert (ended.how, ended.why) == ("interrupted", "SIGINT")
    # Every planned step has its last entry, those after the signal as never sent.
    last = record.calls[record.calls["last"] == 1]
    assert len({(c["session"], c["index"]) for c in last}) == len(last) > 100
    assert_healed_before_anybody_left(record)


def test_signals_during_the_healing_change_nothing(tmp_path: Path, proxies: str) -> None:
    """Somebody who presses Ctrl-C again and again still gets a whole network back."""
    process = begun(tmp_path, "--toxiproxy", proxies, until="1:tcp-latency")
    family = command.family(process.pid)
    for turn in range(200):
        if process.poll() is not None or not proxies_on(proxies):
            break
        process.send_signal(signal.SIGINT if turn % 2 else signal.SIGTERM)
    done = command.finish(process)
    assert done.code == 130
    assert "Traceback" not in done.all
    assert proxies_on(proxies) == {}
    command.assert_gone(family)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interruption_of_the_set_up_leaves_nothing(tmp_path: Path, workers: str) -> None:
    """As soon as the first part runs: all of it ends, no folder stays, exit 130."""
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    process = command.start("run", "long.yaml", "--workers", workers, "--quiet", cwd=tmp_path)
    wanted = "harness.worker" if workers != "0" else "harness.reference"
    family = command.family_with(process, wanted)
    process.send_signal(signal.SIGINT)
    done = command.finish(process)
    assert done.code == 130
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert "SIGINT before the storm began" in line
    assert not (tmp_path / "runs").exists()
    command.assert_gone(family)


def test_an_interruption_ends_every_scenario(tmp_path: Path) -> None:
    """Whoever says stop does not mean: go on with the next one."""
    for name in ("one.yaml", "two.yaml"):
        (tmp_path / name).write_text(LONG, encoding="utf-8")
    process = command.start("run", "one.yaml", "two.yaml", cwd=tmp_path)
    command.await_line(process, "ramp")
    process.send_signal(signal.SIGINT)
    done = command.finish(process)
    assert done.code == 130
    assert command.folder_of(tmp_path / "runs").name.startswith("one-")


def test_the_parts_do_not_outlive_a_killed_run(tmp_path: Path) -> None:
    """SIGKILL: issuer, server and proxy go within seconds, and the journal can be read."""
    text = LONG + "auth: {issuer: embedded}\n"
    (tmp_path / "long.yaml").write_text(text, encoding="utf-8")
    process = command.start("run", "long.yaml", cwd=tmp_path)
    command.await_line(process, "1:tcp-latency")
    family = command.family(process.pid)
    names = " ".join(word for one in family for word in command.words_of(one))
    for part in ("harness.rig.issuer", "harness.reference", "toxiproxy"):
        assert part in names
    process.kill()
    command.finish(process)
    command.assert_gone(family)
    record = journal.read(command.folder_of(tmp_path / "runs"))
    assert len(record.calls) > 50
    assert [one.edge for one in record.of(FaultEntry)] == ["intended", "injected"]


def test_a_control_arm_that_fails_ends_the_faults_then_the_load(tmp_path: Path) -> None:
    """The stop condition: exit 4, all healed before the sessions leave."""
    # Nobody writes 900 rows into this server, so that every call of either arm is wrong.
    text = LONG.replace('rows: ">= 1"', 'rows: ">= 900"')
    text += 'abort: {control_errors: "> 20% for 6s"}\n'  # the fault begins in the fifth
    (tmp_path / "long.yaml").write_text(text, encoding="utf-8")
    done = command.squall("run", "long.yaml", cwd=tmp_path)
    assert done.code == 4, done.all
    folder = command.folder_of(tmp_path / "runs")
    record = journal.read(folder)
    (ended,) = [one for one in record.of(RunEntry) if one.edge == "ended"]
    assert ended.how == "aborted"
    assert "control arm" in ended.why
    assert_healed_before_anybody_left(record)
    verdict = command.verdict_of(folder)
    assert (verdict["exit_code"], verdict["ruling"]) == (4, "unknown")
