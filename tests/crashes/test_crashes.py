"""Whatever is killed, and whenever: nothing that squall broke stays broken."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from harness import journal, wal
from harness.journal import FaultEntry
from tests import command
from tests.crashes import trial
from tests.crashes.__main__ import plans
from tests.crashes.trial import Plan

SEED = 20
KILLS = 8
LEASE_S = 25.0  # a lease, and what the server needs to see that it is over
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ORIGINAL = pytest.param(
    "original",
    marks=[
        pytest.mark.real,
        pytest.mark.skipif(
            trial.ORIGINAL is None,
            reason="NO ORIGINAL TOXIPROXY: set SQUALL_TOXIPROXY_SERVER to its binary",
        ),
    ],
)


@pytest.mark.parametrize(
    "plan",
    tuple(plans(SEED, KILLS)),
    ids=lambda plan: f"{plan.server}-{plan.victim}-{plan.workers}-{plan.intent}-{plan.after_s:.3f}",
)
def test_a_run_killed_at_any_moment_leaves_nothing_behind(tmp_path: Path, plan: Plan) -> None:
    """No toxic, no proxy, no process and no port; the record closed, the journal judged."""
    result = trial.run(tmp_path, plan)
    assert result.left == ()
    assert result.clean_s <= trial.CLEAN_S


@pytest.fixture(params=["ours", ORIGINAL])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a Toxiproxy server that outlives squall."""
    with trial.external(request.param, tmp_path) as url:
        yield url


def struck(folder: Path, url: str, mark: str) -> subprocess.Popen[str]:
    """A run whose first fault is in force."""
    plan = Plan(server="ours", workers=0, victim="squall", after_s=0)
    process = trial.start(folder, plan, url, mark)
    until_s = time.monotonic() + command.COMMAND_S
    while not any(proxy["toxics"] for proxy in trial.proxies_on(url).values()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until_s
        time.sleep(0.01)
    return process


def watchdog_of(process: subprocess.Popen[str]) -> psutil.Process:
    """The process that watches over a run."""
    (found,) = (
        one
        for one in command.family(process.pid)
        if "harness.rig.watchdog" in command.words_of(one)
    )
    return found


def await_bare(url: str, within_s: float) -> None:
    """Wait until nothing is on the server."""
    until_s = time.monotonic() + within_s
    while left := trial.proxies_on(url):
        assert time.monotonic() < until_s, f"still there: {left}"
        time.sleep(0.05)


def test_a_run_killed_under_a_fault_is_judged_and_not_taken_for_broken(
    tmp_path: Path, server: str
) -> None:
    """The journal breaks off inside the fault; the watchdog's word says that it was undone."""
    process = struck(tmp_path, server, "under-a-fault")
    process.kill()
    process.communicate()
    await_bare(server, trial.CLEAN_S)
    folder = command.folder_of(tmp_path / "runs")
    until_s = time.monotonic() + trial.CLEAN_S
    while not (by := wal.read(folder).closed_by):
        assert time.monotonic() < until_s
        time.sleep(0.02)
    assert by == "watchdog"
    assert [one.edge for one in journal.read(folder).of(FaultEntry)][:1] == ["intended"]
    judged = command.squall("judge", str(folder), cwd=tmp_path)
    assert judged.code == 3, judged.all
    assert "the run did not end: its record breaks off" in judged.out
    assert "what it broke is proven undone" in judged.out
    assert command.squall("report", str(folder), cwd=tmp_path).code == 3


def test_with_its_watchdog_dead_too_the_lease_or_recover_mends_it(
    tmp_path: Path, server: str, request: pytest.FixtureRequest
) -> None:
    """Ours takes the proxies away by itself; Shopify's keeps them until somebody mends it."""
    mark = f"both-dead-{os.getpid()}"
    process = struck(tmp_path, server, mark)
    watchdog = watchdog_of(process)
    process.send_signal(signal.SIGSTOP)  # else it would notice that its watchdog is gone
    watchdog.kill()
    process.kill()
    process.communicate()
    folder = command.folder_of(tmp_path / "runs")
    assert len(trial.proxies_on(server)) == 2
    if request.node.callspec.params["server"] == "ours":
        await_bare(server, LEASE_S)
    else:
        refused = command.squall("run", "storm.yaml", "--toxiproxy", server, cwd=tmp_path)
        assert refused.code == 2
        assert f"mend it with: squall recover runs/{folder.name}" in refused.err
    mended = command.squall("recover", cwd=tmp_path)
    assert mended.code == 0, mended.all
    assert f"proxy squall-{folder.name[-8:]}-treated" in mended.out
    assert trial.proxies_on(server) == {}
    assert wal.read(folder).closed_by == "recover"
    assert command.squall("recover", cwd=tmp_path).out == "no run left anything behind\n"
    assert command.squall("judge", str(folder), cwd=tmp_path).code == 3
    command.assert_gone(trial.marked(mark))


def test_a_killed_group_does_not_take_the_watchdog_with_it(tmp_path: Path, server: str) -> None:
    """What a terminal or a shell kills is the group of squall; the watchdog is not in it."""
    process = struck(tmp_path, server, "group")
    family = command.family(process.pid)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    await_bare(server, trial.CLEAN_S)
    command.assert_gone(family)


def test_a_server_that_is_slow_to_answer_is_mended_when_it_does(
    tmp_path: Path, server: str
) -> None:
    """It stands still as squall dies, for longer than one question is waited for."""
    (process_of_server,) = (
        one
        for one in psutil.Process().children()
        if int(server.rpartition(":")[2]) in trial.listening([one])
    )
    process = struck(tmp_path, server, "slow")
    process_of_server.suspend()
    process.kill()
    process.communicate()
    folder = command.folder_of(tmp_path / "runs")
    time.sleep(4)  # for nothing to happen takes time, not an event
    assert not wal.read(folder).closed_by
    process_of_server.resume()
    await_bare(server, 2 * trial.CLEAN_S)
