from __future__ import annotations

import io
import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import journal
from harness.errors import JournalError
from harness.journal import (
    CALL_DTYPE,
    CALL_STRUCT,
    CALLS,
    JOURNAL,
    Calls,
    EffectEntry,
    FaultEntry,
    HealthEntry,
    JournalWriter,
    NoteEntry,
    RunEntry,
    SampleEntry,
    SessionEntry,
    TokenEntry,
    VitalsEntry,
    WorkerEntry,
    append_all,
    empty_calls,
)

ENTRIES: tuple[Any, ...] = (
    RunEntry(at_ns=0, edge="started"),
    SessionEntry(at_ns=1, session=3, edge="opened", era="legacy", protocol="2025-06-18", took_ns=9),
    TokenEntry(at_ns=2, session=3, edge="minted", expires_ns=10**10, serial=1),
    FaultEntry(at_ns=3, window=1, kind="tcp-down", lever="network", edge="intended"),
    EffectEntry(at_ns=4, key="n00", tool="append_note", subject="s"),
    VitalsEntry(at_ns=5, alive=True, rss_bytes=1, cpu_s=0.5),
    HealthEntry(
        at_ns=6, worker=0, lag_p50_ms=0.1, lag_p99_ms=0.2, slip_p50_ms=0, slip_p99_ms=0,
        cpu_share=0.5,
    ),
    WorkerEntry(at_ns=7, worker=1, edge="lost", why="gone"),
    SampleEntry(at_ns=8, session=3, index=4, attempt=1, text="it said: “no”"),
    NoteEntry(at_ns=9, text="a remark"),
)  # fmt: skip


def _calls(count: int, *, first: int = 0, session: int = 0, worker: int = 0) -> Calls:
    made = empty_calls(count)
    made["session"], made["worker"] = session, worker
    made["index"] = np.arange(first, first + count)
    made["due_ns"] = made["index"].astype(np.int64) * 10**9
    made["done_ns"] = made["due_ns"] + 1
    made["attempt"] = made["last"] = 1
    return made


def _write(folder: Path, calls: Calls, entries: tuple[Any, ...] = (), worker: int = 0) -> None:
    with JournalWriter(folder, worker=worker) as writer:
        writer.buffer.extend(calls.tobytes())
        append_all(writer, entries)


# --- entries --------------------------------------------------------------------------------


def test_every_kind_of_entry_comes_back_as_it_was(tmp_path: Path) -> None:
    """One JSON object a line, in the order of time."""
    _write(tmp_path, _calls(0), tuple(reversed(ENTRIES)))
    assert journal.read(tmp_path).entries == ENTRIES
    lines = (tmp_path / JOURNAL).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["type"] for line in lines] == [
        entry.type for entry in reversed(ENTRIES)
    ]
    assert journal.read(tmp_path).of(NoteEntry) == (ENTRIES[-1],)


def test_a_synced_entry_is_on_disk_when_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very file is synced, after all that was written before."""
    seen: list[tuple[int, list[str]]] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        lines = (tmp_path / JOURNAL).read_text().splitlines()
        seen.append((os.fstat(descriptor).st_ino, lines))

    monkeypatch.setattr(os, "fsync", note)
    with JournalWriter(tmp_path) as writer:
        writer.append(ENTRIES[0])
        assert seen == []
        writer.append(ENTRIES[3], sync=True)
        ((inode, lines),) = seen
    assert inode == (tmp_path / JOURNAL).stat().st_ino
    assert [json.loads(line) for line in lines] == [asdict(ENTRIES[0]), asdict(ENTRIES[3])]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_that_a_crash_cut_short_is_counted_and_no_more(tmp_path: Path, cut: int) -> None:
    """Even in the middle of a character; whatever stands before it is read."""
    _write(tmp_path, _calls(0), ENTRIES[:-2])
    line = json.dumps(asdict(NoteEntry(at_ns=99, text="né “ü”")), ensure_ascii=False).encode()
    with (tmp_path / JOURNAL).open("ab") as stream:
        stream.write(line[:-cut])
    read = journal.read(tmp_path)
    assert read.entries == ENTRIES[:-2]
    assert read.damaged_lines == 1


def test_a_whole_journal_has_no_damaged_line(tmp_path: Path) -> None:
    """The count is worth something only because it is 0 otherwise."""
    _write(tmp_path, _calls(2), ENTRIES)
    assert journal.read(tmp_path).damaged_lines == 0


@pytest.mark.parametrize("text", ["a\u2028b", "a\x85b\x0cc\x1cd", "line\nfeed\r\n", "tab\t\x00"])
def test_no_text_of_a_server_breaks_a_line(tmp_path: Path, text: str) -> None:
    """Unicode has more ends of lines than a journal may have."""
    sample = SampleEntry(at_ns=1, session=0, index=0, attempt=1, text=text)
    _write(tmp_path, _calls(0), (sample, ENTRIES[-1]))
    read = journal.read(tmp_path)
    assert read.entries == (sample, ENTRIES[-1])
    assert read.damaged_lines == 0


def test_what_is_no_character_does_not_end_a_run(tmp_path: Path) -> None:
    """A lone surrogate, as the system gives for an odd file name, is written as a question mark."""
    _write(tmp_path, _calls(0), (NoteEntry(at_ns=1, text="cannot read /tmp/\udcff"),))
    (entry,) = journal.read(tmp_path).entries
    assert entry.text == "cannot read /tmp/?"


# --- calls ----------------------------------------------------------------------------------


def test_the_record_of_the_hot_path_is_the_one_that_numpy_reads() -> None:
    """The packed struct and the column types are one layout, column by column."""
    assert CALL_STRUCT.size == CALL_DTYPE.itemsize
    names = CALL_DTYPE.names or ()
    values = tuple(range(1, len(names) + 1))
    (row,) = np.frombuffer(CALL_STRUCT.pack(*values), dtype=CALL_DTYPE)
    assert tuple(int(row[name]) for name in names) == values


def test_numpy_reads_the_calls_in_one_line(tmp_path: Path) -> None:
    """No squall is needed to look into a run."""
    calls = _calls(5)
    _write(tmp_path, calls)
    read = np.load(tmp_path / CALLS)
    assert read.dtype == CALL_DTYPE
    assert read.tobytes() == calls.tobytes()


class _Watched(io.FileIO):
    """A file that is looked at after every write of the system's, each of which may fall short."""

    def __init__(self, file: Path, seen: list[int], piece_bytes: int) -> None:
        super().__init__(file, "r+")
        self._path, self._seen, self._piece = file, seen, piece_bytes

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        if self.tell() > 0:  # the header is one page, which the system writes whole
            view = view[: self._piece]
        written = super().write(view)
        self._seen.append(len(np.load(self._path)))
        return written


@pytest.mark.parametrize("piece_bytes", [1, 37, CALL_STRUCT.size, 4096])
def test_numpy_reads_the_calls_at_any_moment_of_the_writing(
    tmp_path: Path, piece_bytes: int
) -> None:
    """After every single write to the file, torn ones too, all records counted so far are whole."""
    seen: list[int] = []
    written = empty_calls()
    with JournalWriter(tmp_path) as writer:
        assert writer._records is not None
        writer._records.close()
        writer._records = io.BufferedRandom(_Watched(tmp_path / CALLS, seen, piece_bytes))
        for batch in (1, 3, 9, 0, 90):
            calls = _calls(batch, first=len(written))
            written = np.concatenate([written, calls])
            writer.buffer.extend(calls.tobytes())
            writer.flush()
            assert np.load(tmp_path / CALLS).tobytes() == written.tobytes()
            assert writer.calls_written == len(written)
    assert seen == sorted(seen), "a record that was there once stays"
    assert set(seen) == {0, 1, 4, 13, 103}


def test_a_torn_write_costs_the_torn_record_only(tmp_path: Path) -> None:
    """Bytes beyond what the header counts are not read."""
    _write(tmp_path, _calls(4))
    with (tmp_path / CALLS).open("ab") as stream:
        stream.write(_calls(2).tobytes()[:-7])
    assert len(np.load(tmp_path / CALLS)) == 4
    assert len(journal.read(tmp_path).calls) == 4


class _Full(io.FileIO):
    """A disk that is full for a while, in the middle of a record."""

    room_bytes = 0

    def write(self, data: Any, /) -> int:
        if self.room_bytes <= 0:
            raise OSError(28, "No space left on device")
        written = super().write(memoryview(data)[: self.room_bytes])
        self.room_bytes -= written
        return written


def test_a_disk_that_was_full_for_a_while_shifts_no_record(tmp_path: Path) -> None:
    """What could not be written is written again, in its place."""
    disk = _Full(tmp_path / CALLS, "w+")
    with JournalWriter(tmp_path) as writer:
        assert writer._records is not None
        writer._records.close()
        writer._records = io.BufferedRandom(disk)
        calls = _calls(400)
        disk.room_bytes = 100 * CALL_STRUCT.size + 11
        writer.buffer.extend(calls.tobytes())
        with pytest.raises(OSError, match="No space"):
            writer.flush()
        disk.room_bytes = 10**9
        writer.flush()
    assert np.load(tmp_path / CALLS).tobytes() == calls.tobytes()


def test_calls_are_sorted_by_session_index_and_attempt(tmp_path: Path) -> None:
    """Whatever order they ended in."""
    calls = empty_calls(4)
    calls["session"], calls["index"], calls["attempt"] = [1, 0, 0, 0], [0, 2, 1, 1], [1, 1, 2, 1]
    _write(tmp_path, calls)
    read = journal.read(tmp_path).calls
    assert [journal.call_id(call) for call in read] == ["s0.1.1", "s0.1.2", "s0.2.1", "s1.0.1"]


# --- what is refused ------------------------------------------------------------------------


def test_a_folder_without_a_journal_is_refused_with_its_name(tmp_path: Path) -> None:
    """The message says what to name instead."""
    with pytest.raises(JournalError, match=re.escape(f"{tmp_path} holds no journal.jsonl")):
        journal.read(tmp_path)


def test_calls_of_another_version_are_refused(tmp_path: Path) -> None:
    """A column more or less is no reason to guess."""
    _write(tmp_path, _calls(1))
    np.save(tmp_path / CALLS, np.zeros(3, dtype=[*CALL_DTYPE.descr, ("mood", "u1")]))
    with pytest.raises(JournalError, match="another version of squall"):
        journal.read(tmp_path)


@pytest.mark.parametrize("content", [b"no numpy", b"\x93NUMPY\x01\x00", b"\x80\x04N."])
def test_a_file_that_holds_no_calls_is_refused(tmp_path: Path, content: bytes) -> None:
    """Nothing in a run folder is ever unpickled."""
    _write(tmp_path, _calls(1))
    (tmp_path / CALLS).write_bytes(content)
    with pytest.raises(JournalError, match="not a squall call file"):
        journal.read(tmp_path)


def test_a_run_that_died_before_its_first_call_is_read(tmp_path: Path) -> None:
    """No calls, and what was written before."""
    _write(tmp_path, _calls(0), ENTRIES[:1])
    for leave in ("empty", "absent"):
        (tmp_path / CALLS).write_bytes(b"") if leave == "empty" else (tmp_path / CALLS).unlink()
        read = journal.read(tmp_path)
        assert read.entries == ENTRIES[:1]
        assert len(read.calls) == 0


# --- workers --------------------------------------------------------------------------------


def _two_workers(folder: Path) -> None:
    _write(folder, _calls(0), ENTRIES[:1])
    for worker in (1, 2):
        _write(folder, _calls(6, session=worker, worker=worker), ENTRIES[worker::2], worker)


def _everything(folder: Path) -> tuple[tuple[Any, ...], bytes]:
    read = journal.read(folder)
    return read.entries, read.calls.tobytes()


def test_a_merge_of_segments_is_what_one_writer_would_have_left(tmp_path: Path) -> None:
    """The same entries and the same records, bit for bit, and no segment remains."""
    one, many = tmp_path / "one", tmp_path / "many"
    one.mkdir()
    many.mkdir()
    calls = np.concatenate([_calls(6, session=worker, worker=worker) for worker in (1, 2)])
    _write(one, calls, (ENTRIES[0], *ENTRIES[1::2], *ENTRIES[2::2]))
    _two_workers(many)
    assert _everything(many) == _everything(one), "read without merging"
    journal.merge(many)
    assert _everything(many) == _everything(one)
    assert sorted(file.name for file in many.iterdir()) == [CALLS, JOURNAL]
    assert (many / CALLS).read_bytes() == (one / CALLS).read_bytes()


def test_a_merge_happens_once(tmp_path: Path) -> None:
    """A second one finds nothing to fold in, and one without workers changes no byte."""
    _two_workers(tmp_path)
    journal.merge(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    journal.merge(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


class _KilledError(Exception):
    """The process ends here."""


def test_a_merge_that_is_killed_at_any_step_neither_loses_nor_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change of the folder is a moment to die at; the next reader has the whole run."""
    originals = {name: getattr(Path, name) for name in ("replace", "unlink", "touch")}
    whole: tuple[tuple[Any, ...], bytes] | None = None
    for last in range(12):
        folder = tmp_path / str(last)
        folder.mkdir()
        _two_workers(folder)
        whole = whole or _everything(folder)
        steps = 0

        def step(name: str, path: Path, *rest: Any, until: int = last, **words: Any) -> Any:
            nonlocal steps
            if steps == until:
                raise _KilledError
            steps += 1
            return originals[name](path, *rest, **words)

        with monkeypatch.context() as patched:
            for name in originals:
                patched.setattr(
                    Path, name, lambda path, *rest, n=name, **words: step(n, path, *rest, **words)
                )
            try:
                journal.merge(folder)
            except _KilledError:
                pass
            else:
                assert last > 7
        assert _everything(folder) == whole
        journal.merge(folder)
        assert _everything(folder) == whole
        assert sorted(file.name for file in folder.iterdir()) == [CALLS, JOURNAL]
