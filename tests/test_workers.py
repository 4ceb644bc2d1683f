"""Sessions spread over worker processes: merged exactly, and never silently lost."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import anyio
import numpy as np
import psutil
import pytest

from harness import journal
from harness.cli.conclusion import conclude, read
from harness.journal import HealthEntry, WorkerEntry
from harness.outcome import Outcome
from harness.overrides import Overrides
from harness.run import Order, conduct
from harness.running.status import Status
from tests import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_two_workers_merge_into_one_exact_run(tmp_path: Path) -> None:
    """Totals, plan and arms: as if one process had done it all."""
    statuses: list[Status] = []
    order = Order(
        loaded=Overrides().load(command.STORM, "spread.yaml"),
        overrides=Overrides(),
        command=("squall", "run", "spread.yaml", "--workers", "2"),
        out=tmp_path,
        workers=2,
    )
    ran = anyio.run(partial(conduct, order, statuses.append), backend_options={"use_uvloop": True})
    concluded = conclude(ran.folder)
    command.assert_passed(concluded.judgement.exit_code, command.verdict_of(ran.folder))
    assert not list(ran.folder.glob("worker-*"))
    evidence, _ = read(ran.folder)
    calls = evidence.journal.calls
    sent = calls[calls["sent_ns"] >= 0]
    failures = int(np.count_nonzero(sent["outcome"] != Outcome.OK))
    assert ran.locust_totals == (len(sent), failures)
    last = calls[calls["last"] == 1]
    settled = sorted(zip(last["session"].tolist(), last["index"].tolist(), strict=True))
    assert settled == sorted(
        (session.session, step.index)
        for session in evidence.plan.sessions
        for step in evidence.plan.steps(session.session)
    )
    for worker in (1, 2):
        assert set(calls["treated"][calls["worker"] == worker].tolist()) == {0, 1}
    done = [one for one in evidence.journal.of(WorkerEntry) if one.edge == "done"]
    assert sum(one.calls for one in done) == len(calls)
    assert {one.worker for one in evidence.journal.of(HealthEntry)} >= {0, 1, 2}
    fullest = max(statuses, key=lambda status: status.sessions)
    assert (fullest.sessions, fullest.alive) == (6, {"control": 3, "treated": 3})
    assert any(status.lag_ms is not None for status in statuses)
    assert sum(arm.calls for arm in statuses[-1].recent.total.values()) == len(last)


def test_a_worker_that_is_killed_leaves_the_run_unknown_and_named(tmp_path: Path) -> None:
    """Exit 3, with a sentence; the rest of the run is kept, and no process stays."""
    (tmp_path / "spread.yaml").write_text(command.STORM, encoding="utf-8")
    process = command.start("run", "spread.yaml", "--workers", "2", cwd=tmp_path)
    command.await_line(process, "baseline")
    family = command.family(process.pid)
    workers = [one for one in family if "harness.worker" in command.words_of(one)]
    assert len(workers) == 2
    workers[0].send_signal(signal.SIGKILL)
    done = command.finish(process)
    folder = command.folder_of(tmp_path / "runs")
    entries = [one for one in journal.read(folder).of(WorkerEntry) if one.edge == "lost"]
    # Rarely the other is lost too: Locust, busy with the loss, may leave a session unstarted.
    assert [one.why for one in entries][:1] == ["ended with status -9"]
    assert {one.why for one in entries[1:]} <= {"did not finish in time"}
    assert done.code == 3
    said = " ".join(done.all.split())
    assert f"worker {entries[0].worker}" in said
    verdict = command.verdict_of(folder)
    assert verdict["ruling"] == "unknown"
    assert len(journal.read(folder).calls) > 50
    command.assert_gone(family)


def test_workers_do_not_outlive_a_killed_master(tmp_path: Path) -> None:
    """SIGKILL leaves no time for anything: the pipe's end does it."""
    (tmp_path / "spread.yaml").write_text(command.STORM, encoding="utf-8")
    process = command.start("run", "spread.yaml", "--workers", "2", cwd=tmp_path)
    command.await_line(process, "baseline")
    family = command.family(process.pid)
    names = [" ".join(command.words_of(one)) for one in family]
    for part in ("harness.worker", "harness.reference", "faults.toxiproxy"):
        assert any(part in name for name in names) or (part == "faults.toxiproxy" and names)
    process.kill()
    command.finish(process)
    command.assert_gone(family)
    assert not psutil.pid_exists(process.pid)
    # What was written up to then is a journal that can be judged.
    folder = command.folder_of(tmp_path / "runs")
    assert len(journal.read(folder).calls) > 0
    judged = command.squall("judge", str(folder), cwd=tmp_path)
    assert judged.code in {1, 3}
    assert "Traceback" not in judged.all
