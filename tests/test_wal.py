"""What must be undone is on disk before it is done, and readable whatever happens to its writer."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import wal
from harness.errors import RigError
from harness.wal import HeldError, Wal
from tests import command


@contextmanager
def full_disk(size_bytes: int) -> Iterator[None]:
    """Files may not grow beyond this size for as long as the block lasts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_what_is_meant_and_what_is_done_can_be_read_back(tmp_path: Path) -> None:
    """Whose run it is, what is left in order, and who closed it."""
    with Wal.begin(tmp_path, "1a2b3c4d", born="then") as record:
        one = record.intend("delete_proxy", server="http://h:1", name="p")
        two = record.intend("remove_toxic", server="http://h:1", proxy="p", name="t")
        record.done(two)
        read = wal.read(tmp_path)
        assert (read.run_id, read.pid, read.born) == ("1a2b3c4d", os.getpid(), "then")
        assert [each.number for each in read.left] == [one]
        assert read.left == record.left
        assert read.left[0].what == {"server": "http://h:1", "name": "p"}
        assert read.closed_by == ""
        record.done(one)
        record.close("run")
    read = wal.read(tmp_path)
    assert (read.left, read.closed_by) == ((), "run")
    assert read.intents[1].undo == "remove_toxic"


def test_an_intent_is_synced_before_anybody_may_act_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the call returns, the file has been synced with the line in it."""
    synced: list[str] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.append((tmp_path / wal.FILE).read_text())

    with Wal.begin(tmp_path, "1a2b3c4d") as record:
        monkeypatch.setattr(os, "fsync", note)
        record.intend("delete_proxy", server="http://h:1", name="p")
    assert len(synced) == 1
    assert '"undo":"delete_proxy"' in synced[0]
    assert synced[0].endswith("\n")


def test_a_full_disk_refuses_the_intent_and_leaves_the_record_whole(tmp_path: Path) -> None:
    """No half line stays; done and closed are still said, for the latter has its room."""
    with Wal.begin(tmp_path, "1a2b3c4d") as record:
        first = record.intend("delete_proxy", server="http://h:1", name="p")
        before = (tmp_path / wal.FILE).read_bytes()
        with full_disk(len(before) + 10):
            with pytest.raises(RigError, match=r"cannot be written.*nothing is broken"):
                record.intend("delete_proxy", server="http://h:1", name="q")
            assert (tmp_path / wal.FILE).read_bytes() == before
            record.done(first)
            assert record.left == ()
            record.close("run")
        assert wal.read(tmp_path).closed_by == "run"
        assert [each.number for each in wal.read(tmp_path).intents] == [first]


def test_a_line_that_broke_off_does_not_spoil_the_next(tmp_path: Path) -> None:
    """Whoever takes the record over finds what was whole, and writes behind it."""
    with Wal.begin(tmp_path, "1a2b3c4d") as record:
        record.intend("delete_proxy", server="http://h:1", name="p")
    with (tmp_path / wal.FILE).open("ab") as file:
        file.write(b'{"intent":2,"undo":"delete_pr')
    with Wal.resume(tmp_path) as record:
        (left,) = record.left
        assert left.what["name"] == "p"
        assert record.run_id == "1a2b3c4d"
        record.done(left.number)
        assert record.intend("enable_proxy", server="http://h:1", name="p") == 2
    assert [each.undo for each in wal.read(tmp_path).left] == ["enable_proxy"]


def test_a_living_holder_is_known_and_a_dead_one_is_not(tmp_path: Path) -> None:
    """The lock ends with the process, by whatever signal; its number proves nothing."""
    text = (
        "import sys, time; from pathlib import Path; from harness.wal import Wal\n"
        "with Wal.begin(Path(sys.argv[1]), '1a2b3c4d'): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(command.ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert wal.is_held(tmp_path)
        with pytest.raises(HeldError):
            Wal.resume(tmp_path)
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=20)
    assert not wal.is_held(tmp_path)
    with Wal.resume(tmp_path):
        assert wal.is_held(tmp_path)


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    """A process that squall starts and that outlives it must not pass for a living run."""
    with Wal.begin(tmp_path, "1a2b3c4d"):
        child = subprocess.Popen(["sleep", "60"])
    try:
        assert not wal.is_held(tmp_path)
    finally:
        child.kill()
        child.wait(timeout=20)


def test_a_folder_without_a_record_says_so(tmp_path: Path) -> None:
    """Reading and taking over both tell that there is none; nobody holds it."""
    with pytest.raises(FileNotFoundError):
        wal.read(tmp_path)
    with pytest.raises(FileNotFoundError):
        Wal.resume(tmp_path)
    assert not wal.is_held(tmp_path)


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """As where the folder is none."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RigError, match=r"faults\.wal in .* cannot be opened: Not a dir"):
        Wal.begin(tmp_path / "file", "1a2b3c4d")


def test_many_threads_may_write_at_once(tmp_path: Path) -> None:
    """Every line whole, every number once."""
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - only here

    with Wal.begin(tmp_path, "1a2b3c4d") as record, ThreadPoolExecutor(8) as pool:
        names = [f"p{number}" for number in range(40)]
        numbers = list(pool.map(lambda name: record.intend("delete_proxy", name=name), names))
    assert sorted(numbers) == list(range(1, 41))
    read = wal.read(tmp_path)
    assert {each.number: each.what["name"] for each in read.left} == dict(
        zip(numbers, names, strict=True)
    )
