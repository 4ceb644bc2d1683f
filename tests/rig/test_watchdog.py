"""The watchdog does nothing while squall lives, all that is left when it dies, and then ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import anyio
import psutil
import pytest

from harness import wal
from harness.errors import NotHealedError, RigError
from harness.rig import safety
from harness.rig.process import child
from harness.rig.safety import kept_whole
from harness.rig.toxiproxy.serving import serve
from harness.rig.watchdog.control import watched
from harness.rig.watchdog.words import CLOSING_WORD
from harness.wal import Wal
from tests import command
from tests.crashes import trial
from tests.rig.test_undo import proxy

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]
WAIT_S = 30.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The address of a Toxiproxy server, the original where there is one."""
    with trial.external("original" if trial.ORIGINAL else "ours", tmp_path) as url:
        yield url


def dog(folder: Path) -> subprocess.Popen[bytes]:
    """A watchdog over a folder, whose pipe this test holds."""
    return subprocess.Popen(
        [sys.executable, "-P", "-S", "-m", "harness.rig.watchdog", str(folder)],
        env={**os.environ, "PYTHONPATH": str(command.ROOT)},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def left_behind(folder: Path, server: str) -> None:
    """The record of a run that died with a proxy on the server."""
    with Wal.begin(folder, "1a2b3c4d") as record:
        record.intend("delete_proxy", server=server, name="squall-1a2b3c4d-treated")
    proxy(server, "squall-1a2b3c4d-treated")


def test_the_closing_word_sends_it_away(tmp_path: Path, server: str) -> None:
    """Everything is undone, or people have been told: either way it touches nothing."""
    left_behind(tmp_path, server)
    watchdog = dog(tmp_path)
    _, said = watchdog.communicate(CLOSING_WORD, timeout=WAIT_S)
    assert (watchdog.returncode, said) == (0, b"")
    assert len(trial.proxies_on(server)) == 1
    assert wal.read(tmp_path).closed_by == ""


@pytest.mark.parametrize("word", [b"", CLOSING_WORD[:-1]])
def test_the_end_of_the_pipe_without_it_is_squalls_death(
    tmp_path: Path, server: str, word: bytes
) -> None:
    """It undoes what is left, writes down what it found, and closes the record."""
    left_behind(tmp_path, server)
    watchdog = dog(tmp_path)
    _, said = watchdog.communicate(word, timeout=WAIT_S)
    assert (watchdog.returncode, said) == (0, b"")
    assert trial.proxies_on(server) == {}
    record = wal.read(tmp_path)
    assert (record.left, record.closed_by) == ((), "watchdog")
    assert "was there; removed" in (tmp_path / wal.FILE).read_text()


def test_it_waits_for_the_lock_and_believes_whoever_closed(tmp_path: Path, server: str) -> None:
    """Somebody else may be recovering the run just then."""
    left_behind(tmp_path, server)
    with Wal.resume(tmp_path) as record:
        watchdog = dog(tmp_path)
        assert watchdog.stdin is not None
        watchdog.stdin.close()
        with pytest.raises(subprocess.TimeoutExpired):
            watchdog.wait(timeout=0.5)
        record.close("recover")
    assert watchdog.wait(timeout=WAIT_S) == 0
    assert wal.read(tmp_path).closed_by == "recover"
    assert len(trial.proxies_on(server)) == 1
    assert watchdog.stderr is not None
    watchdog.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_to_end_do_not_end_it(tmp_path: Path, server: str, number: int) -> None:
    """Whoever ends a whole machine tells everybody; it has to be there when squall is not."""
    left_behind(tmp_path, server)
    watchdog = dog(tmp_path)
    process = psutil.Process(watchdog.pid)
    ignored = f"/proc/{watchdog.pid}/status"
    while Path(ignored).exists() and not _ignores(ignored, number):
        assert process.is_running()
    watchdog.send_signal(number)
    watchdog.communicate(timeout=WAIT_S)
    assert watchdog.returncode == 0
    assert trial.proxies_on(server) == {}


def _ignores(status: str, number: int) -> bool:
    lines = Path(status).read_text().splitlines()
    mask = next(line.split()[1] for line in lines if line.startswith("SigIgn"))
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_a_folder_that_is_gone_is_no_error_of_its_own(tmp_path: Path) -> None:
    """Nothing was begun, or somebody has removed the run; no traceback says so."""
    watchdog = dog(tmp_path / "gone")
    _, said = watchdog.communicate(timeout=WAIT_S)
    assert (watchdog.returncode, said) == (0, b"")


async def test_it_ends_with_the_block_and_touches_nothing(tmp_path: Path, server: str) -> None:
    """With squall alive, whatever is left is squall's business, or that of people."""
    left_behind(tmp_path, server)
    with anyio.fail_after(WAIT_S):
        async with watched(tmp_path, tmp_path) as watchdog:
            assert psutil.pid_exists(watchdog.pid)
        assert not psutil.pid_exists(watchdog.pid)
    assert wal.read(tmp_path).closed_by == ""
    assert len(trial.proxies_on(server)) == 1


async def test_its_death_is_noticed(tmp_path: Path) -> None:
    """With a sentence that says what that means."""
    with anyio.fail_after(WAIT_S):
        async with watched(tmp_path, tmp_path) as watchdog:
            psutil.Process(watchdog.pid).kill()
            assert "the watchdog ended (status -9)" in await watchdog.lost()


async def test_whatever_a_block_starts_and_breaks_is_on_the_record(
    tmp_path: Path, server: str
) -> None:
    """Processes and proxies are written down by themselves, and done when they are undone."""
    argv = [sys.executable, "-c", "print('ready', flush=True); input()"]
    with anyio.fail_after(WAIT_S):
        async with kept_whole(tmp_path, "1a2b3c4d", tmp_path) as kept:
            async with (
                child(argv, ready="ready", log=None) as running,
                serve(url=server, log_dir=None) as toxiproxy,
            ):
                made = await toxiproxy.create_proxy("squall-t", upstream="127.0.0.1:9")
                await made.add_toxic("a", type="noop", stream="upstream", attributes={})
                await made.set_enabled(False)
                ways = [one.undo for one in kept.wal.left]
                assert ways == ["end_process", "delete_proxy", "remove_toxic", "enable_proxy"]
                assert kept.wal.left[0].what["pid"] == running.pid
                await made.set_enabled(True)
                await made.remove_toxic("a")
                assert [one.undo for one in kept.wal.left] == ["end_process", "delete_proxy"]
            assert kept.wal.left == ()
    assert wal.read(tmp_path).closed_by == "run"


async def test_what_a_part_did_not_undo_the_end_undoes(tmp_path: Path, server: str) -> None:
    """An error on the way out of a part leaves its things to the last look at all."""
    with anyio.fail_after(WAIT_S):
        async with kept_whole(tmp_path, "1a2b3c4d", tmp_path) as kept:
            kept.wal.intend("delete_proxy", server=server, name="squall-t")
            await anyio.to_thread.run_sync(proxy, server, "squall-t")
    assert trial.proxies_on(server) == {}
    assert wal.read(tmp_path).closed_by == "run"


async def test_what_cannot_be_proven_is_said_and_stays_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the name of the thing and the command that tries again."""
    monkeypatch.setattr(safety, "PATIENCE_S", 0.1)
    with (
        anyio.fail_after(WAIT_S),
        pytest.raises(NotHealedError, match=r"proxy squall-t .*; squall recover .*"),
    ):
        async with kept_whole(tmp_path, "1a2b3c4d", tmp_path) as kept:
            kept.wal.intend("delete_proxy", server="http://127.0.0.1:1", name="squall-t")
    assert wal.read(tmp_path).closed_by == ""
    assert not wal.is_held(tmp_path)


async def test_what_cannot_be_written_down_is_not_done(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a proxy, nor a toxic, nor a process stays when the record takes no more."""

    def full(_: Wal, undo: str, **what: object) -> int:
        raise RigError(f"no room for {undo} {sorted(what)}")

    argv = [sys.executable, "-c", "print('ready', flush=True); input()"]
    with anyio.fail_after(WAIT_S):
        async with (
            kept_whole(tmp_path, "1a2b3c4d", tmp_path),
            serve(url=server, log_dir=None) as toxiproxy,
        ):
            made = await toxiproxy.create_proxy("squall-t", upstream="127.0.0.1:9")
            monkeypatch.setattr(Wal, "intend", full)
            with pytest.raises(RigError, match="no room for remove_toxic"):
                await made.add_toxic("a", type="noop", stream="upstream", attributes={})
            with pytest.raises(RigError, match="no room for enable_proxy"):
                await made.set_enabled(False)
            with pytest.raises(RigError, match="no room for delete_proxy"):
                await toxiproxy.create_proxy("squall-u", upstream="127.0.0.1:9")
            with pytest.raises(RigError, match="no room for end_process"):
                async with child(argv, ready="ready", log=None):
                    pytest.fail("the block must not run")
            (name,) = trial.proxies_on(server)
            assert name == "squall-t"
            assert trial.proxies_on(server)[name]["enabled"]
            assert not trial.proxies_on(server)[name]["toxics"]
        assert not [one for one in psutil.Process().children() if argv[-1] in command.words_of(one)]
