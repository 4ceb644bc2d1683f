"""What must be undone, written down before it is done: `faults.wal` in the run folder.

One JSON object a line, each on disk before the effect it speaks of: whose run it is; then, for
every thing that must not outlive the run, how to undo it, and that it was undone. The first line
has room for who has proven everything undone, so that to say so needs no space on a full disk.
Whoever runs holds a lock on the file, which ends with the process however that dies: so anybody can
tell a run in progress from a dead one. The standard library is enough for this module, for the
watchdog has to be up at once.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import threading
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from harness.errors import RigError

FILE: Final = "faults.wal"
LINE_BYTES_MAX: Final = 64 * 1024
CLOSING_BYTES: Final = 80
BY_THE_RUN: Final = "run"
FORGOTTEN: Final = "forgotten"  # nothing is proven; somebody said to look no more


class HeldError(Exception):
    """Another process holds the record: its run, or whoever undoes it just now."""


@dataclass(frozen=True, kw_only=True)
class Intent:
    """One thing that must be undone, and how: `undo` names the way, `what` all that it needs."""

    number: int
    undo: str
    what: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Record:
    """A `faults.wal` as far as it was written."""

    run_id: str
    pid: int  # of its squall
    born: str  # when that began, in the words of `harness.rig.births`
    intents: tuple[Intent, ...]  # in the order in which they were meant
    undone: frozenset[int]
    closed_by: str  # "" while something may stand

    @property
    def left(self) -> tuple[Intent, ...]:
        """What is not known to be undone, in the order in which it was meant."""
        return tuple(one for one in self.intents if one.number not in self.undone)


class Wal:
    """The record of one run, open for appending and locked; used as a context manager.

    Leaving it gives the lock back and claims nothing: only `close` says that everything is undone.
    """

    def __init__(self, file: Path) -> None:
        """Name the file; nothing is opened."""
        self.file = file
        self.run_id = ""
        self.closed_by = ""
        self._descriptor = -1
        self._mutex = threading.Lock()
        self._number = 0
        self._left: dict[int, Intent] = {}

    @classmethod
    def begin(cls, folder: Path, run_id: str, *, born: str = "") -> Self:
        """Start the record of a run that has nothing to undo yet.

        Raises:
            RigError: when it cannot be written.
        """
        # Under another name until it is locked, or it would pass for a dead run's at its birth.
        wal = cls(folder / f"{FILE}.new")
        wal._open(os.O_CREAT | os.O_EXCL)
        wal.run_id = run_id
        wal._write(_closing("", ""))
        started = datetime.now(UTC).isoformat(timespec="seconds")
        wal._write({"run": run_id, "pid": os.getpid(), "born": born, "started": started})
        wal.file = wal.file.replace(folder / FILE)
        with suppress(OSError):  # some file systems have no folders to sync
            _sync_folder(folder)
        return wal

    @classmethod
    def resume(cls, folder: Path) -> Self:
        """Take over the record of a run that died.

        Raises:
            HeldError: its run lives, or somebody else has taken it over.
            FileNotFoundError: there is none.
            RigError: when it cannot be opened.
        """
        wal = cls(folder / FILE)
        wal._open(0)
        record = read(folder)
        wal.run_id, wal.closed_by = record.run_id, record.closed_by
        wal._number = max((one.number for one in record.intents), default=0)
        wal._left = {one.number: one for one in record.left}
        wal._end_torn_line()
        return wal

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    @property
    def left(self) -> tuple[Intent, ...]:
        """What is not known to be undone, in the order in which it was meant."""
        with self._mutex:
            return tuple(self._left.values())

    def intend(self, undo: str, **what: Any) -> int:
        """Write down how to undo what is about to be done; on disk when this returns its number.

        Blocking, and safe to call from any thread.

        Raises:
            RigError: it cannot be written; then the thing must not be done.
        """
        with self._mutex:
            intent = Intent(number=self._number + 1, undo=undo, what=what)
            self._write({"intent": intent.number, "undo": undo, **what})
            self._number = intent.number
            self._left[intent.number] = intent
            return intent.number

    def done(self, number: int) -> None:
        """Write down that it was undone; should that be lost, it will be looked at once more."""
        with self._mutex:
            if self._left.pop(number, None) is not None:
                with suppress(RigError):
                    self._write({"done": number}, sync=False)

    def tell(self, number: int, words: str) -> None:
        """Write down what was found of it; for people."""
        with self._mutex, suppress(RigError):
            self._write({"found": number, "words": words}, sync=False)

    def close(self, by: str) -> None:
        """Write down that everything is proven undone, and by whom."""
        self.closed_by = by
        text = _closing(by, datetime.now(UTC).isoformat(timespec="seconds"))
        with self._mutex, suppress(OSError):  # an open record is looked at again, and closed then
            os.pwrite(self._descriptor, text, 0)
            os.fsync(self._descriptor)

    def _open(self, flags: int) -> None:
        try:
            self._descriptor = os.open(self.file, os.O_RDWR | os.O_CLOEXEC | flags, mode=0o644)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise _unopenable(self.file, error) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._descriptor)
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                raise HeldError(str(self.file)) from None
            raise _unopenable(self.file, error) from error

    def _write(self, line: Mapping[str, Any] | bytes, *, sync: bool = True) -> None:
        text = line if isinstance(line, bytes) else _encoded(line)
        if len(text) > LINE_BYTES_MAX:
            raise RigError(f"{self.file} takes no line of {len(text)} bytes")
        end = os.fstat(self._descriptor).st_size
        at = end
        try:
            while text:  # a full disk takes a part, and refuses the rest
                written = os.pwrite(self._descriptor, text, at)
                text, at = text[written:], at + written
            if sync:
                os.fsync(self._descriptor)
        except OSError as error:
            with suppress(OSError):  # what was begun must not run into the next line
                os.ftruncate(self._descriptor, end)
            raise _unwritable(self.file, error) from error

    def _end_torn_line(self) -> None:
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            with suppress(OSError):
                os.pwrite(self._descriptor, b"\n", size)


# The record of the run that a task belongs to: whatever starts a process finds it there, so that
# nobody can forget to hand it down.
CURRENT: Final[ContextVar[Wal | None]] = ContextVar("wal", default=None)


def read(folder: Path) -> Record:
    """Read a run's record as far as it was written.

    Raises:
        FileNotFoundError: there is none.
        OSError: it cannot be read.
    """
    run_id, pid, born, closed_by = folder.name.rpartition("-")[2], 0, "", ""
    intents: list[Intent] = []
    undone: set[int] = set()
    for line in (folder / FILE).read_bytes().split(b"\n"):
        try:
            said = json.loads(line)
        except ValueError:  # cut short when its writer died; then its effect never was
            continue
        match said:
            case {"intent": int(number), "undo": str(undo)}:
                what = {key: said[key] for key in said if key not in ("intent", "undo")}
                intents.append(Intent(number=number, undo=undo, what=what))
            case {"done": int(number)}:
                undone.add(number)
            case {"closed": str(by)}:
                closed_by = by
            case {"run": str(run_id), "pid": int(pid), "born": str(born)}:
                pass
    return Record(
        run_id=run_id,
        pid=pid,
        born=born,
        intents=tuple(intents),
        undone=frozenset(undone),
        closed_by=closed_by,
    )


def is_held(folder: Path) -> bool:
    """Whether somebody lives who holds the record: its run, or whoever undoes it just now."""
    try:
        with (folder / FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _encoded(line: Mapping[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _closing(by: str, at: str) -> bytes:
    """The first line, which always has the same length."""
    return _encoded({"closed": by, "at": at})[:-1].ljust(CLOSING_BYTES - 1) + b"\n"


def _unopenable(file: Path, error: OSError) -> RigError:
    return RigError(f"{FILE} in {file.parent} cannot be opened: {error.strerror or error}")


def _unwritable(file: Path, error: OSError) -> RigError:
    return RigError(
        f"{file} cannot be written ({error.strerror or error}), and nothing is broken "
        "that cannot be written down first"
    )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
