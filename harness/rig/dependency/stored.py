"""What the dependency keeps: rows that never change, notes and cells, each with its history.

A replica that lags shows the state of an earlier moment, so everything remembers when it came.
"""

from __future__ import annotations

import hashlib
import time
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

ROWS: Final = 211  # a prime, so that every stride visits every row
ROWS_MIN: Final = 3
LIMIT_MAX: Final = 50
PAGE_ROWS: Final = 10
MATCH_LIMIT_BYTES: Final = 32 * 1024
TEXT_LIMIT_BYTES: Final = 4 * 1024 * 1024
NOTES_MAX: Final = 1_000_000
CELLS_MAX: Final = 100_000
HISTORY_MAX: Final = 64  # earlier values of a cell that a lagging replica may show
NS_PER_S: Final = 1_000_000_000


class FullError(Exception):
    """There is no room for more."""


class ConflictError(Exception):
    """The cell has changed since; the version it has now."""

    def __init__(self, version: int) -> None:
        """Say which version stands."""
        super().__init__(f"the cell is at version {version}")
        self.version = version


@dataclass(frozen=True, kw_only=True, slots=True)
class Note:
    """A note as it was written."""

    at_ns: int
    sequence: int
    key: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One value of a cell; version 0 is a cell that nobody has written."""

    at_ns: int
    version: int
    value: object


NOTHING: Final = Cell(at_ns=0, version=0, value=None)


class Stored:
    """Everything that is kept, in memory: it is gone with its process."""

    def __init__(self) -> None:
        """Begin with rows alone."""
        self._notes: dict[str, list[Note]] = {}
        self._repeated: dict[tuple[str, str], Note] = {}
        self._cells: dict[str, list[Cell]] = {}
        self._written_ns: list[int] = []  # when each write came; its place is its position

    def row(self, number: int) -> dict[str, str] | None:
        """The row of this number, if there is one."""
        if not 0 <= number < ROWS:
            return None
        title = f"Document {number}"
        text = f"{title} says {number * number}. " * 8
        return {"id": f"doc-{number}", "title": title, "text": text}

    def rows(self, match: str, limit: int) -> list[dict[str, str]]:
        """Between 3 and `limit` rows that depend on nothing but `match`, which they carry."""
        mark = int.from_bytes(hashlib.sha256(match.encode()).digest()[:8])
        limit = min(max(limit, ROWS_MIN), LIMIT_MAX)
        wanted = ROWS_MIN + mark % (limit - ROWS_MIN + 1)
        start, stride = mark % ROWS, 1 + mark // ROWS % (ROWS - 1)
        numbers = sorted((start + step * stride) % ROWS for step in range(wanted))
        return [
            {"id": f"doc-{n}", "title": f"Document {n}", "snippet": f"Document {n}: {match}"}
            for n in numbers
        ]

    def append(
        self, *, key: str, text: str, idempotency_key: str, holder: str
    ) -> tuple[Note, bool]:
        """A note and whether it is new; `holder` is whose idempotency keys these are.

        Raises:
            FullError: there are too many notes.
        """
        known = self._repeated.get((holder, idempotency_key)) if idempotency_key else None
        if known is not None:
            return known, False
        if len(self._written_ns) >= NOTES_MAX:
            raise FullError(f"there are {NOTES_MAX} writes, and room for no more")
        at_ns = self._advance()
        note = Note(at_ns=at_ns, sequence=self.position(), key=key, text=text)
        self._notes.setdefault(key, []).append(note)
        if idempotency_key:
            self._repeated[holder, idempotency_key] = note
        return note, True

    def notes(self, key: str, *, until_ns: int) -> list[Note]:
        """The notes under a key that were there at a moment, in the order of their writing."""
        found = self._notes.get(key, [])
        return found[: bisect_right(found, until_ns, key=lambda note: note.at_ns)]

    def cell(self, name: str, *, until_ns: int) -> Cell:
        """The value that a cell had at a moment."""
        values = self._cells.get(name, [])
        at = bisect_right(values, until_ns, key=lambda cell: cell.at_ns)
        return values[at - 1] if at else NOTHING

    def put(self, name: str, value: object, version: int | None) -> Cell:
        """Give a cell a value; `version` is the one it must have, None whatever it has.

        Raises:
            ConflictError: it has another.
            FullError: there are too many cells.
        """
        values = self._cells.get(name, [])
        stands = values[-1].version if values else 0
        if version is not None and version != stands:
            raise ConflictError(stands)
        if name not in self._cells and len(self._cells) >= CELLS_MAX:
            raise FullError(f"there are {CELLS_MAX} cells, and room for no more")
        fresh = Cell(at_ns=self._advance(), version=stands + 1, value=value)
        self._cells.setdefault(name, values).append(fresh)
        del values[:-HISTORY_MAX]
        return fresh

    def position(self, *, until_ns: int | None = None) -> int:
        """How many writes there were up to a moment; now when it is None."""
        if until_ns is None:
            return len(self._written_ns)
        return bisect_right(self._written_ns, until_ns)

    def _advance(self) -> int:
        at_ns = time.monotonic_ns()
        self._written_ns.append(at_ns)
        return at_ns
