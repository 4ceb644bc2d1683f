"""Whatever a run stands on gives way: faults end first, then the load, and the code says which."""

from __future__ import annotations

import fcntl
import os
import pty
import resource
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from harness import journal, wal
from harness.journal import FaultEntry, RunEntry
from harness.overrides import Overrides
from harness.run import Order, conduct
from harness.running.chaos import Chaos
from harness.running.host import Host
from harness.scenario import load
from tests import command
from tests.crashes import trial

pytestmark = [pytest.mark.slow, pytest.mark.timeout(90)]

LONG = command.STORM.replace("for: 2s", "for: 40s")


@pytest.fixture
def proxies(tmp_path: Path) -> Iterator[str]:
    """The address of a Toxiproxy server that outlives the command, the original where there is."""
    with trial.external("original" if trial.ORIGINAL else "ours", tmp_path) as url:
        yield url


def begun(
    tmp_path: Path, *words: str, until: str = "1:tcp-latency", text: str = LONG
) -> subprocess.Popen[str]:
    """A run that has come to the line of progress that holds `until`."""
    (tmp_path / "long.yaml").write_text(text, encoding="utf-8")
    process = command.start("run", "long.yaml", *words, cwd=tmp_path)
    command.await_line(process, until)
    return process


def part(process: subprocess.Popen[str], name: str) -> psutil.Process:
    """The one process of a run that has `name` in its command line."""
    (found,) = (
        one for one in command.family(process.pid) if name in " ".join(command.words_of(one))
    )
    return found


def ending_of(folder: Path) -> RunEntry:
    """What the journal says of the run's end."""
    ended: list[RunEntry] = [e for e in journal.read(folder).of(RunEntry) if e.edge == "ended"]
    return ended[-1]


def edges_of(folder: Path) -> list[str]:
    """What the journal says of the fault."""
    return [one.edge for one in journal.read(folder).of(FaultEntry)]


def test_the_death_of_the_own_toxiproxy_ends_the_run_unknown(tmp_path: Path) -> None:
    """Its death undoes what it had broken, so nothing is left; but nothing is concluded either."""
    process = begun(tmp_path)
    family = command.family(process.pid)
    part(process, "faults.toxiproxy").kill()
    done = command.finish(process)
    assert done.code == 3, done.all
    assert "Traceback" not in done.all
    command.assert_gone(family)
    folder = command.folder_of(tmp_path / "runs")
    assert ending_of(folder).how == "failed"
    assert ending_of(folder).why.startswith("Toxiproxy at http://127.0.0.1:")
    assert "the run could not go on" in done.out
    assert edges_of(folder)[-1] == "healed"
    assert wal.read(folder).closed_by == wal.BY_THE_RUN


def test_the_death_of_a_foreign_toxiproxy_is_not_proven_healed(tmp_path: Path) -> None:
    """Nobody can say what became of it: exit 5, and the mend; to be forgotten only on demand."""
    with trial.external("ours", tmp_path) as url:
        process = begun(tmp_path, "--toxiproxy", url)
        family = command.family(process.pid)
        port = int(url.rpartition(":")[2])
        for one in psutil.Process().children():
            if port in trial.listening([one]):
                one.kill()
        done = command.finish(process)
    assert done.code == 5, done.all
    assert "Traceback" not in done.all
    command.assert_gone(family)
    folder = command.folder_of(tmp_path / "runs")
    assert command.verdict_of(folder)["exit_code"] == 5
    assert not wal.read(folder).closed_by
    again = command.squall("recover", cwd=tmp_path)
    assert again.code == 5
    assert "cannot be asked for: nothing listens there" in " ".join(again.out.split())
    refused = command.squall("run", "long.yaml", "--quiet", cwd=tmp_path)
    assert refused.code == 2
    assert f"squall recover runs/{folder.name}" in refused.err
    assert command.squall("recover", "--forget", cwd=tmp_path).code == 0
    assert command.squall("recover", cwd=tmp_path).out == "no run left anything behind\n"
    assert command.squall("judge", str(folder), cwd=tmp_path).code == 5


def test_the_death_of_the_watchdog_ends_the_run_unknown(tmp_path: Path, proxies: str) -> None:
    """Without anybody behind it a run does not go on; squall undoes all itself."""
    process = begun(tmp_path, "--toxiproxy", proxies)
    family = command.family(process.pid)
    part(process, "harness.rig.watchdog").kill()
    done = command.finish(process)
    assert done.code == 3, done.all
    assert trial.proxies_on(proxies) == {}
    command.assert_gone(family)
    folder = command.folder_of(tmp_path / "runs")
    assert ending_of(folder).why.startswith("the watchdog ended (status -9)")
    assert edges_of(folder)[-1] == "healed"
    assert wal.read(folder).closed_by == wal.BY_THE_RUN


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="NO PRLIMIT: no disk can be filled")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_full_disk_ends_the_run_with_everything_undone(
    tmp_path: Path, proxies: str, workers: str
) -> None:
    """One sentence, exit 3, and the journal up to there can be read and judged."""
    process = begun(tmp_path, "--toxiproxy", proxies, "--workers", workers)
    family = command.family(process.pid)
    assert any(proxy["toxics"] for proxy in trial.proxies_on(proxies).values())
    folder = command.folder_of(tmp_path / "runs")
    size = (folder / journal.JOURNAL).stat().st_size
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size + 100, size + 100))
    done = command.finish(process)
    assert done.code == 3, done.all
    assert "Traceback" not in done.all
    said = done.err.splitlines()[-1]
    assert said.startswith(f"squall: the journal in runs/{folder.name} cannot be written")
    assert "all faults are undone" in said
    assert trial.proxies_on(proxies) == {}
    command.assert_gone(family)
    judged = command.squall("judge", str(folder), cwd=tmp_path)
    assert judged.code == 3, judged.all
    assert "the run did not end" in judged.out
    assert command.squall("recover", cwd=tmp_path).code == 0


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGQUIT])
def test_every_signal_to_end_is_heard(tmp_path: Path, proxies: str, number: int) -> None:
    """Each of them ends the faults, then the load; exit 130, and the rest is judged."""
    process = begun(tmp_path, "--toxiproxy", proxies)
    family = command.family(process.pid)
    process.send_signal(number)
    done = command.finish(process)
    assert done.code == 130, done.all
    assert trial.proxies_on(proxies) == {}
    command.assert_gone(family)
    folder = command.folder_of(tmp_path / "runs")
    assert ending_of(folder).why == signal.Signals(number).name
    assert edges_of(folder)[-1] == "healed"


def test_a_terminal_that_is_closed_leaves_nothing_behind(tmp_path: Path, proxies: str) -> None:
    """The window goes, with it every stream; the run still heals, ends and is judged."""
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "run", "long.yaml", "--toxiproxy", proxies],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(command.ROOT), "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=take_terminal,  # noqa: PLW1509 - nothing else makes it the leader of a terminal
    )
    os.close(theirs)
    shown = b""
    while b"1:tcp-latency" not in shown:
        shown += os.read(ours, 4096)
    family = command.family(process.pid)
    os.close(ours)
    process.wait(timeout=command.COMMAND_S)
    assert trial.proxies_on(proxies) == {}
    command.assert_gone(family)
    folder = command.folder_of(tmp_path / "runs")
    assert ending_of(folder).why == "SIGHUP"
    assert edges_of(folder)[-1] == "healed"
    assert command.verdict_of(folder)["exit_code"] == 130


def test_a_generator_that_stands_still_for_seconds_keeps_its_leases(tmp_path: Path) -> None:
    """A stop of three seconds is shorter than a lease: the run goes on and ends as planned."""
    with trial.external("ours", tmp_path) as url:
        text = command.STORM.replace("for: 2s", "for: 5s")
        process = begun(tmp_path, "--toxiproxy", url, text=text)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=3)
        process.send_signal(signal.SIGCONT)
        done = command.finish(process)
        assert done.code in {0, 1, 3}, done.all
        folder = command.folder_of(tmp_path / "runs")
        assert ending_of(folder).how == "completed"
        assert edges_of(folder)[-1] == "healed"
        assert trial.proxies_on(url) == {}


STUBBORN = """\
import os, signal, socket, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
os.execv(sys.executable, [sys.executable, "-m", "harness.reference", "--port", sys.argv[1],
                          "--no-auth", "--ledger", sys.argv[2]])
"""


@pytest.mark.parametrize("how", ["ended", "killed"])
def test_a_target_that_will_not_go_does_not_outlive_the_run(
    tmp_path: Path, how: str, proxies: str
) -> None:
    """It forked a child, and both ignore SIGTERM: neither is there afterwards, nor its port."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    text = LONG.replace(
        "target: {reference: hardened}",
        "target:\n"
        "  launch: [python, stubborn.py, '${port}', ledger.sqlite]\n"
        "  url: 'http://127.0.0.1:${port}/mcp'",
    ).replace("[python,", f"[{sys.executable},")
    process = begun(tmp_path, "--toxiproxy", proxies, text=text)
    family = command.family(process.pid)
    stubborn = [one for one in family if "stubborn.py" in " ".join(command.words_of(one))]
    assert stubborn
    ports = trial.listening(family)
    assert ports
    process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGTERM)
    done = command.finish(process)
    assert done.code == (-signal.SIGKILL if how == "killed" else 130), done.all
    command.assert_gone(family)
    assert trial.remains(tmp_path, proxies, "", ports) == []


def test_only_squall_holds_the_pipe_to_its_watchdog(tmp_path: Path) -> None:
    """Another holder of it would keep the watchdog waiting after squall's death."""
    process = begun(tmp_path, "--workers", "1")
    if not Path("/proc/self/fd").is_dir():
        process.kill()
        pytest.skip("NO /proc: nobody can see who holds a pipe")
    dog = part(process, "harness.rig.watchdog")
    end = str(Path(f"/proc/{dog.pid}/fd/0").readlink())
    inode = int(end.split("[")[1].rstrip("]"))
    holders: dict[int, list[Any]] = {}
    for one in [psutil.Process(process.pid), *command.family(process.pid)]:
        for entry in Path(f"/proc/{one.pid}/fd").iterdir():
            link = str(entry.readlink())
            if link.startswith(end.split(":", maxsplit=1)[0]) and abs(int(link[8:-1]) - inode) <= 1:
                holders.setdefault(one.pid, []).append(link)
    assert set(holders) == {process.pid, dog.pid}
    process.send_signal(signal.SIGTERM)
    assert command.finish(process).code == 130


class _BreakageError(Exception):
    """What no part of squall raises."""


@pytest.mark.parametrize("part", ["view", "chaos", "books"])
def test_an_exception_in_any_part_leaves_nothing_broken(
    tmp_path: Path, proxies: str, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes out as it is, after everything was undone; the journal says that the run failed."""
    (tmp_path / "long.yaml").write_text(LONG, encoding="utf-8")
    armed: list[bool] = []

    def break_when_struck(*_: Any, **__: Any) -> None:
        if any(proxy["toxics"] for proxy in trial.proxies_on(proxies).values()):
            armed.append(True)
            raise _BreakageError(part)

    async def later(*_: Any, **__: Any) -> None:
        while not armed:
            with suppress(OSError):
                break_when_struck()
            await anyio.sleep(0.05)

    if part == "chaos":
        monkeypatch.setattr(Chaos, "_hold", later)
    if part == "books":
        monkeypatch.setattr(Host, "_keep_books", later)
    order = Order(
        loaded=load.load(tmp_path / "long.yaml"),
        overrides=Overrides(),
        command=("squall",),
        out=tmp_path / "runs",
        toxiproxy_url=proxies,
    )
    view = break_when_struck if part == "view" else lambda _: None
    with pytest.RaisesGroup(_BreakageError, flatten_subgroups=True, allow_unwrapped=True):
        anyio.run(conduct, order, view, backend_options={"use_uvloop": True})
    assert armed
    assert trial.proxies_on(proxies) == {}
    assert not [
        one for one in psutil.Process().children() if "harness" in " ".join(command.words_of(one))
    ]
    folder = command.folder_of(tmp_path / "runs")
    assert (ending_of(folder).how, ending_of(folder).why) == ("failed", "_BreakageError")
    assert edges_of(folder)[-1] == "healed"
    assert wal.read(folder).closed_by == wal.BY_THE_RUN
