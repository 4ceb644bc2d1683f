"""What is written down can be undone by anybody, and is proven to be undone."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.rig import births, undo
from harness.rig.undo import Told, look, undo_all
from harness.wal import Intent
from tests.crashes import trial
from tests.crashes.trial import Server

pytestmark = pytest.mark.timeout(60)
PATIENCE_S = 20.0

ORIGINAL = pytest.param("original", marks=pytest.mark.real)


@pytest.fixture(params=["ours", ORIGINAL])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a Toxiproxy server."""
    which: Server = request.param
    if which == "original" and trial.ORIGINAL is None:
        pytest.skip("NO ORIGINAL TOXIPROXY: set SQUALL_TOXIPROXY_SERVER to its binary")
    with trial.external(which, tmp_path) as url:
        yield url


def post(server: str, path: str, **body: Any) -> None:
    """Ask the server for something, which it must do."""
    status, _ = undo._ask(server, "POST", path, body)
    assert status in {200, 201}


def proxy(server: str, name: str) -> None:
    """Make a proxy."""
    post(server, "/proxies", name=name, listen="127.0.0.1:0", upstream="127.0.0.1:9")


def meant(number: int, undo: str, **what: Any) -> Intent:
    """Something that was written down."""
    return Intent(number=number, undo=undo, what=what)


def test_toxics_and_proxies_go_and_what_is_not_meant_stays(server: str) -> None:
    """The last first; each with what was found; a second time finds nothing."""
    for name in ("squall-1-treated", "squall-1-control", "foreign"):
        proxy(server, name)
    toxic = {"type": "latency", "attributes": {"latency": 5}}
    post(server, "/proxies/squall-1-treated/toxics", name="slow", **toxic)
    post(server, "/proxies/foreign/toxics", name="theirs", **toxic)
    intents = (
        meant(1, "delete_proxy", server=server, name="squall-1-control"),
        meant(2, "delete_proxy", server=server, name="squall-1-treated"),
        meant(3, "remove_toxic", server=server, proxy="squall-1-treated", name="slow"),
        meant(4, "delete_proxy", server=server, name="squall-1-never-made"),
    )
    seen = look(intents)
    assert [one.whole for one in seen] == [True, False, False, False]
    assert seen[2].words.endswith("is there, with slow")
    heard: list[Told] = []
    told = undo_all(intents, patience_s=PATIENCE_S, settle_s=0.2, on_whole=heard.append)
    assert [one.intent.number for one in told] == [4, 3, 2, 1]
    assert all(one.whole for one in told)
    assert [one.words.rpartition(": ")[2] for one in told] == [
        "already gone",
        "was there; removed",
        "was there; removed",
        "was there; removed",
    ]
    assert sorted(one.intent.number for one in heard) == [1, 2, 3, 4]
    assert [*trial.proxies_on(server)] == ["foreign"]
    assert len(trial.proxies_on(server)["foreign"]["toxics"]) == 1
    again = undo_all(intents, patience_s=PATIENCE_S, settle_s=0.0)
    assert all(one.whole and not one.stood for one in again)


def test_a_proxy_that_was_switched_off_is_switched_on(server: str) -> None:
    """Or gone with the proxy, where that is no more."""
    proxy(server, "squall-1-treated")
    post(server, "/proxies/squall-1-treated", enabled=False)
    intent = meant(1, "enable_proxy", server=server, name="squall-1-treated")
    assert not look((intent,))[0].whole
    (told,) = undo_all((intent,), patience_s=PATIENCE_S, settle_s=0.0)
    assert told.words.endswith("was off; switched on")
    assert trial.proxies_on(server)["squall-1-treated"]["enabled"]
    undo._ask(server, "DELETE", "/proxies/squall-1-treated")
    (told,) = undo_all((intent,), patience_s=PATIENCE_S, settle_s=0.0)
    assert told.words.endswith("already gone")


def test_what_lands_late_is_undone_too(server: str) -> None:
    """A request of a dead squall may still be on its way when everything is already gone."""
    late = threading.Timer(0.6, proxy, (server, "squall-1-treated"))
    late.start()
    intent = meant(1, "delete_proxy", server=server, name="squall-1-treated")
    (told,) = undo_all((intent,), patience_s=PATIENCE_S, settle_s=1.5)
    late.join()
    assert told.whole
    assert told.stood
    assert told.words.endswith("was there; removed")
    assert trial.proxies_on(server) == {}


def test_a_server_that_never_answers_is_given_up_and_not_called_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Many things on one silent server cost one wait a round."""
    monkeypatch.setattr(undo, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        intents = [meant(n, "delete_proxy", server=url, name=f"p{n}") for n in range(1, 41)]
        began_s = time.monotonic()
        told = undo_all(intents, patience_s=0.5)
        assert time.monotonic() - began_s < 40 * 0.2
    assert not any(one.whole for one in told)
    assert "cannot be asked for: timed out" in told[0].words


def test_a_dead_server_is_proof_only_when_it_was_our_own() -> None:
    """What a foreign one still holds when it comes back nobody knows."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    own = {"pid": 2**22 - 3, "born": "never", "run": "r"}
    ours = meant(1, "delete_proxy", server=url, name="p", own=own)
    theirs = meant(2, "delete_proxy", server=url, name="p")
    seen = {one.intent.number: one for one in look((ours, theirs))}
    assert seen[1].whole
    assert not seen[2].whole
    assert "nothing listens there" in seen[2].words


def test_another_servers_answers_prove_nothing(tmp_path: Path) -> None:
    """A web server that has taken the port is no Toxiproxy without the proxy."""
    argv = [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        argv,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as stranger:
        assert stranger.stdout is not None
        port = stranger.stdout.readline().split("port ")[1].split()[0]
        intent = meant(1, "delete_proxy", server=f"http://127.0.0.1:{port}", name="p")
        (seen,) = look((intent,))
        stranger.kill()
    assert not seen.whole
    assert "no Toxiproxy" in seen.words


def sleeper(text: str) -> subprocess.Popen[str]:
    """A process that leads a group of its own and says when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, births.RUN_VARIABLE: "1a2b3c4d"},
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def ended(process: subprocess.Popen[str], **changes: Any) -> tuple[Intent, ...]:
    """What was written down of a process."""
    what = {"pid": process.pid, "born": births.born(process.pid), "run": "1a2b3c4d"}
    return (meant(1, "end_process", **{**what, **changes}),)


STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    time.sleep(60)
print("ready", flush=True)
time.sleep(60)
"""


def test_a_process_that_will_not_go_is_ended_with_its_group() -> None:
    """SIGTERM first, SIGKILL when that does nothing; its children do not stay."""
    with sleeper(STUBBORN) as process:
        intents = ended(process)
        assert not look(intents)[0].whole
        reaper = threading.Thread(target=process.wait)  # we are its parent; squall's were others
        reaper.start()
        (told,) = undo_all(intents, patience_s=PATIENCE_S)
        reaper.join()
        assert told.whole
        assert told.words.endswith("was running; ended")
        assert process.returncode == -signal.SIGKILL
        assert births.members(process.pid) == ()
        assert look(intents)[0].words.endswith("already gone")


def test_what_the_leader_left_of_its_group_is_ended_too() -> None:
    """It died alone, and its child, which bears the run's mark, lives on."""
    with sleeper(STUBBORN) as process:
        intents = ended(process)
        process.kill()
        process.wait(timeout=20)
        assert births.members(process.pid)
        (told,) = undo_all(intents, patience_s=PATIENCE_S)
        assert told.whole
        assert births.members(process.pid) == ()


def test_a_stranger_with_the_same_number_is_not_touched() -> None:
    """Another birth is another process; another run's mark is another group."""
    text = 'import time; print("ready", flush=True); time.sleep(60)'
    with sleeper(text) as process:
        (told,) = undo_all(ended(process, born="another time"), patience_s=PATIENCE_S)
        assert told.whole
        assert told.words.endswith("already gone")
        assert process.poll() is None
        assert not births.belongs(process.pid, "ffffffff") or not births.PROC.is_dir()
        process.kill()


def test_a_way_that_is_not_known_is_not_called_whole() -> None:
    """A record of a newer squall, or a damaged one, ends in words."""
    told = undo_all((meant(1, "unheard_of"), meant(2, "delete_proxy")), patience_s=0.0)
    assert [one.whole for one in told] == [False, False]
    assert "makes no sense" in told[0].words
    assert "use a newer one" in told[1].words


def test_births_are_told_apart() -> None:
    """The same process twice is the same; nobody has the number of one that has ended."""
    first = births.born(os.getpid())
    assert first is not None
    assert births.born(os.getpid()) == first
    with sleeper('print("x", flush=True); input()') as process:
        process.kill()
        process.wait(timeout=20)
    assert births.born(process.pid) is None


@pytest.mark.skipif(shutil.which("ps") is None, reason="NO ps: births are only asked of /proc")
def test_births_are_told_apart_where_there_is_no_proc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, where ps is asked: the same answers, in other words."""
    monkeypatch.setattr(births, "PROC", tmp_path / "none")
    with sleeper('import time; print("x", flush=True); time.sleep(60)') as process:
        first = births.born(process.pid)
        assert first is not None
        assert births.born(process.pid) == first
        assert births.members(process.pid) == (process.pid,)
        assert births.belongs(process.pid, "any run")
        process.kill()
        process.wait(timeout=20)
    assert births.born(process.pid) is None
    assert births.members(process.pid) == ()


def test_a_folder_goes_by_a_name_that_only_squall_gives(tmp_path: Path) -> None:
    """What is named otherwise, or is no folder, is not touched."""
    folder = tmp_path / "squall-1a2b3c4d-0123456789abcdef"
    (folder / "within").mkdir(parents=True)
    intent = meant(1, "remove_folder", folder=str(folder))
    assert [one.stood for one in look((intent,))] == [True]
    (told,) = undo_all((intent,), patience_s=PATIENCE_S, settle_s=0.0)
    assert told.whole
    assert told.words.endswith("was there; removed")
    assert not folder.exists()
    (told,) = undo_all((intent,), patience_s=PATIENCE_S, settle_s=0.0)
    assert told.words.endswith("already gone")
    other = tmp_path / "somebodys"
    other.mkdir()
    linked = tmp_path / "squall-1a2b3c4d-fedcba9876543210"
    linked.symlink_to(other)
    for place in (other, linked):
        intent = meant(1, "remove_folder", folder=str(place))
        (told,) = undo_all((intent,), patience_s=0.0, settle_s=0.0)
        assert not told.whole
        assert told.words.endswith("not touched")
        assert place.is_dir()
