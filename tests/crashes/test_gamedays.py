"""A game day that is killed under a fault: nothing that people broke by hand stays broken."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness import journal, wal
from harness.journal import OrderEntry
from tests import command
from tests.crashes import trial
from tests.crashes.test_crashes import ORIGINAL, watchdog_of
from tests.gameday.playing import ORDER, WAIT_S, Page, day, fault_is

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
DOWN = ORDER | {"kind": "tcp-down", "parameters": {}, "for": "5m"}


@contextmanager
def under_fault(
    folder: Path, *words: str, order: dict[str, Any] = DOWN
) -> Iterator[subprocess.Popen[str]]:
    """A day under way whose first fault is in force; its page goes when it does."""
    with day(folder, *words) as (process, operator, _), Page(operator) as page:
        page.until(lambda now: bool(now["can_start"]))
        assert page.ask("start", order).is_success
        page.until(fault_is(1, "in force"))
        yield process


def await_whole(folder: Path, url: str, ports: list[int]) -> None:
    """Wait until nothing of the day is left: no proxy, no port, and its record closed."""
    until_s = time.monotonic() + WAIT_S
    while left := trial.remains(folder, url, "no-mark", ports):
        assert time.monotonic() < until_s, left
        time.sleep(0.05)


def assert_kept(folder: Path, run: Path) -> None:
    """What people did until then is judged, and told."""
    (order,) = journal.read(run).of(OrderEntry)
    assert (order.who, order.kind) == ("Ana", "tcp-down")
    judged = command.squall("judge", str(run), cwd=folder)
    assert judged.code == 3, judged.all
    assert "the run did not end: its record breaks off" in judged.out
    assert command.squall("report", str(run), cwd=folder).code == 3
    record = (run / "record.md").read_text(encoding="utf-8")
    assert "ordered tcp-down" in record


def test_with_a_proxy_of_its_own_nothing_stays_of_a_killed_day(tmp_path: Path) -> None:
    """Processes, ports and the fault go with it; the record of the day does not."""
    with under_fault(tmp_path) as process:
        family = command.family(process.pid)
        ports = trial.listening(family)
        assert ports
        process.kill()
        process.wait(WAIT_S)
    await_whole(tmp_path, "", ports)
    command.assert_gone(family)
    assert_kept(tmp_path, command.folder_of(tmp_path / "runs"))


@pytest.fixture(params=["ours", ORIGINAL])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a Toxiproxy server that outlives squall."""
    with trial.external(request.param, tmp_path) as url:
        yield url


def test_on_a_server_that_outlives_it_a_killed_day_is_undone_by_recover(
    tmp_path: Path, server: str
) -> None:
    """With the watchdog killed too; ours may have let the proxies go by itself before."""
    with under_fault(tmp_path, "--toxiproxy", server) as process:
        watchdog = watchdog_of(process)
        proxies = trial.proxies_on(server)
        assert [one["enabled"] for one in proxies.values()].count(False) == 1
        process.send_signal(signal.SIGSTOP)  # else it would notice that its watchdog is gone
        watchdog.kill()
        process.kill()
        process.wait(WAIT_S)
    run = command.folder_of(tmp_path / "runs")
    mended = command.squall("recover", cwd=tmp_path)
    assert mended.code == 0, mended.all
    assert f"proxy squall-{run.name[-8:]}-treated" in mended.out
    assert trial.proxies_on(server) == {}
    assert wal.read(run).closed_by == "recover"
    assert_kept(tmp_path, run)


def test_a_signal_in_a_fault_undoes_it_and_writes_the_record(tmp_path: Path) -> None:
    """As Ctrl-C does, which another test sends: undone, told, and exit code 130."""
    with under_fault(tmp_path) as process:
        family = command.family(process.pid)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 130, out + err
    command.assert_gone(family)
    run = command.folder_of(tmp_path / "runs")
    (fault,) = command.verdict_of(run)["faults"]
    assert (fault["id"], fault["healed"]) == ("1:tcp-down", True)
    record = (run / "record.md").read_text(encoding="utf-8")
    assert "the storm interrupted: SIGTERM" in record
    assert "tcp-down: undone" in record
