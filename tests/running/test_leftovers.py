"""What dead runs left is found, told and undone; what lives is not touched."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import wal
from harness.errors import UsageError
from harness.rig import births, undo
from harness.running import leftovers
from harness.running.leftovers import check, open_records, recover, recover_by_name
from harness.wal import Wal
from tests import command
from tests.crashes import trial
from tests.rig.test_undo import post, proxy

pytestmark = pytest.mark.timeout(90)
ORIGINAL = pytest.param("original", marks=pytest.mark.real)
RUN = "1a2b3c4d"


@pytest.fixture(params=["ours", ORIGINAL])
def which(request: pytest.FixtureRequest) -> trial.Server:
    """Which kind of server it is."""
    kind: trial.Server = request.param
    if kind == "original" and trial.ORIGINAL is None:
        pytest.skip("NO ORIGINAL TOXIPROXY: set SQUALL_TOXIPROXY_SERVER to its binary")
    return kind


@pytest.fixture
def server(which: trial.Server, tmp_path: Path) -> Iterator[str]:
    """The address of a Toxiproxy server."""
    with trial.external(which, tmp_path) as url:
        yield url


def begin(out: Path, run_id: str = RUN) -> Wal:
    """The record of a run that lives, as long as it is not left."""
    folder = out / f"storm-20260101T120000Z-{run_id}"
    folder.mkdir(parents=True)
    return Wal.begin(folder, run_id, born=births.born(os.getpid()) or "")


def died(out: Path, server: str, *, run_id: str = RUN, standing: bool = True) -> Path:
    """The folder of a run that died with a proxy and a toxic on the server."""
    with begin(out, run_id) as record:
        name = f"squall-{run_id}-treated"
        record.intend("delete_proxy", server=server, name=name)
        record.intend("remove_toxic", server=server, proxy=name, name="slow")
        if standing:
            proxy(server, name)
            toxic = {"type": "latency", "attributes": {"latency": 5}}
            post(server, f"/proxies/{name}/toxics", name="slow", **toxic)
        return record.file.parent


def test_a_dead_run_is_recovered_once_and_for_all(tmp_path: Path, server: str) -> None:
    """Undone, proven, closed; a second time finds nothing, and others' things stay."""
    proxy(server, "squall-ffffffff-treated")
    folder = died(tmp_path / "runs", server)
    assert open_records(tmp_path / "runs") == (folder,)
    first = recover(folder)
    assert first.how == "whole"
    assert [one.words.rpartition(": ")[2] for one in first.told] == ["was there; removed"] * 2
    assert [*trial.proxies_on(server)] == ["squall-ffffffff-treated"]
    assert open_records(tmp_path / "runs") == ()
    again = recover(folder)
    assert (again.how, again.told) == ("whole", ())
    assert wal.read(folder).closed_by == "recover"


def test_a_run_that_lives_is_named_and_not_touched(tmp_path: Path, server: str) -> None:
    """Its lock says so, whatever its folder looks like; nor is a start refused for it."""
    out = tmp_path / "runs"
    with begin(out) as record:
        proxy(server, f"squall-{RUN}-treated")
        record.intend("delete_proxy", server=server, name=f"squall-{RUN}-treated")
        assert recover(record.file.parent).how == "running"
        check(out, server)
        told = command.squall("recover", cwd=tmp_path)
        assert told.code == 0
        assert "it is running; not touched" in told.out
        assert len(trial.proxies_on(server)) == 1


def test_a_start_over_leftovers_is_refused_with_the_mend(tmp_path: Path, server: str) -> None:
    """One sentence that names what stands, and the command that works."""
    out = tmp_path / "runs"
    folder = died(out, server)
    with pytest.raises(UsageError) as refusal:
        check(out, None)
    said = str(refusal.value)
    assert f"toxic slow of squall-{RUN}-treated at {server}: is there (and 1 more)" in said
    assert said.endswith(f"squall recover {folder}")
    mended = command.squall(*said.partition("mend it with: squall ")[2].split(), cwd=tmp_path)
    assert mended.code == 0, mended.all
    check(out, server)


def test_a_dead_run_that_left_nothing_is_closed_without_a_word(tmp_path: Path, server: str) -> None:
    """As when its server has been restarted since."""
    folder = died(tmp_path / "runs", server, standing=False)
    check(tmp_path / "runs", None)
    assert wal.read(folder).closed_by == "recover"


def test_proxies_of_an_unknown_run_refuse_a_start(
    tmp_path: Path, server: str, which: trial.Server
) -> None:
    """Its folder is elsewhere; what is leased lives or ends by itself, and is let be."""
    out = tmp_path / "runs"
    proxy(server, "of-somebody-else")
    check(out, server)
    proxy(server, f"squall-{RUN}-treated")
    with pytest.raises(UsageError) as refusal:
        check(out, server + "/")
    said = str(refusal.value)
    assert f"holds proxy squall-{RUN}-treated of a run that" in said
    if which == "ours":
        post(server, f"/squall/proxies/squall-{RUN}-treated/lease", ttl_ms=60_000)
        check(out, server)
    mend = said.partition("remove it with: squall ")[2].partition(";")[0]
    mended = command.squall(*mend.split(), cwd=tmp_path)
    assert mended.code == 0, mended.all
    assert f"proxy squall-{RUN}-treated at {server}: was there" in " ".join(mended.out.split())
    assert [*trial.proxies_on(server)] == ["of-somebody-else"]
    check(out, server)


def test_a_lost_folder_is_recovered_by_the_runs_id(tmp_path: Path, server: str) -> None:
    """Only proxies that bear the id go; none there is whole too."""
    died(tmp_path / "runs", server)
    died(tmp_path / "runs", server, run_id="ffffffff")
    (told,) = recover_by_name(RUN, server)
    assert told.words.endswith("was there, with slow; removed")
    assert [*trial.proxies_on(server)] == ["squall-ffffffff-treated"]
    assert recover_by_name(RUN, server) == ()


def test_a_server_that_is_gone_is_not_whole_until_it_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can prove it; --forget closes the record and claims nothing."""
    monkeypatch.setattr(leftovers, "PATIENCE_S", 0.1)
    folder = died(tmp_path / "runs", "http://127.0.0.1:1", standing=False)
    assert recover(folder).how == "open"
    with pytest.raises(UsageError, match="cannot be asked for"):
        check(tmp_path / "runs", None)
    assert recover(folder, forget=True).how == "forgotten"
    assert wal.read(folder).closed_by == "forgotten"
    check(tmp_path / "runs", None)


def test_a_watchdog_at_work_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run is dead and the record is held: for a while that is no reason to complain."""
    monkeypatch.setattr(leftovers, "WATCHDOG_S", 0.3)
    folder = tmp_path / "runs" / f"storm-20260101T120000Z-{RUN}"
    folder.mkdir(parents=True)
    with Wal.begin(folder, RUN, born="of one that is dead"):
        assert recover(folder).how == "busy"
    assert recover(folder).how == "whole"


def test_a_run_that_died_before_any_load_has_nothing_to_judge(tmp_path: Path) -> None:
    """One clear sentence, and nobody is sent looking for another folder."""
    with begin(tmp_path / "runs") as record:
        folder = record.file.parent
    for command_name in ("judge", "report"):
        done = command.squall(command_name, str(folder), cwd=tmp_path)
        assert done.code == 2
        (line,) = done.err.splitlines()
        assert "ended before any load was offered; there is nothing to judge" in line


def test_what_is_no_run_is_a_sentence(tmp_path: Path) -> None:
    """A folder without a record, a name without a folder, an id without a run, a silent server."""
    (tmp_path / "empty").mkdir()
    for words, said in (
        (("empty",), "empty holds no faults.wal"),
        (("nowhere",), "there is no folder nowhere"),
        ((RUN,), f"runs holds no run {RUN}"),
        (("--toxiproxy", "http://127.0.0.1:1"), "needs the id of a run"),
        ((RUN, "--toxiproxy", "http://127.0.0.1:1"), "nothing listens there"),
    ):
        done = command.squall("recover", *words, cwd=tmp_path)
        assert done.code == 2, done.all
        assert said in done.err
        assert "Traceback" not in done.err


def test_the_command_says_what_it_found_in_eighty_columns(tmp_path: Path, server: str) -> None:
    """By folder, by id, or all in --out; and its help has an example."""
    died(tmp_path / "elsewhere", server)
    done = command.squall("recover", RUN, "--out", "elsewhere", cwd=tmp_path)
    assert done.code == 0, done.all
    lines = done.out.splitlines()
    assert lines[0] == f"elsewhere/storm-20260101T120000Z-{RUN}"
    assert f"proxy squall-{RUN}-treated at {server}: was there; removed" in " ".join(
        done.out.split()
    )
    assert lines[-1] == "1 run whole"
    assert max(map(len, lines)) <= 80
    nothing = command.squall("recover", "--out", "elsewhere", cwd=tmp_path)
    assert (nothing.code, nothing.out) == (0, "no run left anything behind\n")
    shown = command.squall("recover", "--help", cwd=tmp_path).out
    assert "Example: squall recover runs/" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_record_of_another_version_is_not_called_whole(tmp_path: Path) -> None:
    """What this squall cannot undo it does not claim."""
    with begin(tmp_path) as record:
        record.intend("unheard_of", place="somewhere")
        folder = record.file.parent
    assert undo.WAYS.get("unheard_of") is None
    with pytest.raises(UsageError, match="does not know how to undo"):
        check(tmp_path, None)
    assert wal.read(folder).closed_by == ""
