"""Appends to a run folder, and never lets a credential into it."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from harness.journal.calls import CALL_STRUCT, HEADER_BYTES, NEVER_NS, header_of
from harness.journal.lines import WORDLESS, line_of
from harness.journal.segments import CALLS, JOURNAL
from harness.redaction import redact


@dataclass(eq=False)
class JournalWriter:
    """Appends to one segment of a run folder; the run's own files when `worker` is 0.

    Used as a context manager: leaving it flushes and closes both files. No credential passes: what
    looks like one is hidden, and so is what `secrets_of` gives for an entry's session.

    With `on_failure`, a full disk is told to it once, and what comes later is dropped: whoever
    writes has more urgent things to do than to write, such as healing.
    """

    folder: Path
    worker: int = 0
    calls_written: int = 0
    secrets_of: Callable[[int], Iterable[str]] | None = None
    on_entry: Callable[[Any], None] | None = None  # hears of each, besides
    on_failure: Callable[[OSError], None] | None = None
    failure: OSError | None = None
    _buffer: bytearray = field(default_factory=bytearray)
    _lines: io.TextIOWrapper | None = None
    _records: io.BufferedRandom | None = None

    def __enter__(self) -> Self:
        stem = f"worker-{self.worker}" if self.worker else ""
        lines = self.folder / (f"{stem}.jsonl" if stem else JOURNAL)
        records = self.folder / (f"{stem}.npy" if stem else CALLS)
        # What is no character, as in a file name of the system's, must not end a run.
        self._lines = lines.open("a", encoding="utf-8", errors="replace")
        self._records = records.open("w+b")
        self._records.write(header_of(0))
        self._records.flush()
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        assert self._lines is not None
        assert self._records is not None
        for file in (self._lines, self._records):
            try:
                file.close()  # what could not be written before is tried once more
            except OSError as error:
                self._fail(error)

    @property
    def buffer(self) -> bytearray:
        """Where the hot path packs finished calls with `CALL_STRUCT`; drained by `flush`."""
        return self._buffer

    def append(self, entry: Any, *, sync: bool = False) -> None:
        """Write one entry; with `sync` it is on disk when this returns."""
        assert self._lines is not None
        if self.on_entry is not None:
            self.on_entry(entry)
        if self.failure is not None:
            return
        line = line_of(entry)
        if not isinstance(entry, WORDLESS):
            session = getattr(entry, "session", NEVER_NS)
            line = redact(line, self.secrets_of(session) if self.secrets_of else ())
        try:
            self._lines.write(line)
            if sync:
                self._lines.flush()
                os.fsync(self._lines.fileno())
        except OSError as error:
            self._fail(error)

    def flush(self) -> None:
        """Hand everything to the system; called about once a second and at the end."""
        if self.failure is not None:
            self._buffer.clear()
            return
        try:
            self._flush()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        if self.on_failure is None:
            raise error
        if self.failure is None:
            self.failure = error
            self.on_failure(error)

    def _flush(self) -> None:
        assert self._lines is not None
        assert self._records is not None
        self._lines.flush()
        if self._buffer:
            # Not at the end of the file: a full disk may have left part of a record there.
            self._records.seek(HEADER_BYTES + self.calls_written * CALL_STRUCT.size)
            self._records.write(self._buffer)
            self.calls_written += len(self._buffer) // CALL_STRUCT.size
            self._buffer.clear()
            self._records.seek(0)
            self._records.write(header_of(self.calls_written))
            self._records.flush()


def append_all(writer: JournalWriter, entries: Iterable[Any]) -> None:
    """Write several entries."""
    for entry in entries:
        writer.append(entry)
