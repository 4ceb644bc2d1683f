"""The effects of the bundled server: notes, each written once, and a ledger that counts them."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Protocol

import anyio
from anyio import to_thread
from mcp.server.mcpserver.exceptions import ToolError
from typing_extensions import TypedDict

from harness.flaws import Flaw, Flaws
from harness.reference.contexts import CONTEXTS_MAX, Place
from harness.rig import ledger

_STORED = """
CREATE TABLE IF NOT EXISTS stored (
    client TEXT NOT NULL,
    subject TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    note_key TEXT NOT NULL,
    text TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (client, subject, idempotency_key)
) WITHOUT ROWID
"""

_KEPT = """
CREATE TABLE IF NOT EXISTS kept (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    holder TEXT NOT NULL,
    subject TEXT NOT NULL,
    handle TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    UNIQUE (holder, subject, handle, name)
)
"""


class Note(TypedDict):
    """A note as it was written, and its number in the ledger."""

    key: str
    text: str
    sequence: int


class NotesError(ToolError):
    """The note cannot be said to be written; the message is what the caller reads."""


class Notes(Protocol):
    """Appends notes; an effect and the memory of its idempotency key are one transaction."""

    async def open(self) -> None:
        """Begin; a store that cannot be reached yet is waited for by the calls, not here."""

    async def close(self) -> None:
        """Give everything back; every effect that was answered for is kept."""

    async def check(self) -> None:
        """Return if a note could be written now.

        Raises:
            NotesError: with the reason why not.
        """

    async def append(
        self, *, key: str, text: str, client: str, subject: str, idempotency_key: str
    ) -> Note:
        """Write a note and return it; a known idempotency key returns the first one as it was.

        Raises:
            NotesError: the store did not confirm it; the message says whether it may be written.
        """


class SqliteNotes:
    """Notes in a file of this machine."""

    def __init__(self, path: Path, *, flaws: Flaws) -> None:
        """Open the ledger at `path`, which may already hold the effects of an earlier life."""
        self.path = path
        self._deduplicate = Flaw.NO_DEDUP not in flaws
        self._turn = anyio.CapacityLimiter(1)  # SQLite has one writer; wait here, not in a thread
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=ledger.BUSY_S
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A crash of this process loses nothing; only one of the machine could.
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.execute(ledger.SCHEMA)
        self._connection.execute(_STORED)
        self._connection.execute(_KEPT)

    async def open(self) -> None:
        """Nothing is left to be done."""

    async def close(self) -> None:
        """Close the ledger; every effect is already in it."""
        self._connection.close()

    async def check(self) -> None:
        """A file that was opened is there."""

    async def append(
        self, *, key: str, text: str, client: str, subject: str, idempotency_key: str
    ) -> Note:
        """Write a note and return it; a known idempotency key returns the first one as it was."""
        identity = (client, subject, idempotency_key)
        return await to_thread.run_sync(self._append, key, text, identity, limiter=self._turn)

    async def keep(self, place: Place, value: str) -> None:
        """Keep what `remember` was told, for every process that serves this file."""
        await to_thread.run_sync(self._keep, place, value, limiter=self._turn)

    def _keep(self, place: Place, value: str) -> None:
        written = self._connection.execute(
            "INSERT OR REPLACE INTO kept (holder, subject, handle, name, value) "
            "VALUES (?, ?, ?, ?, ?)",
            (*place, value),
        )
        oldest = (written.lastrowid or 0) - CONTEXTS_MAX
        self._connection.execute("DELETE FROM kept WHERE number <= ?", (oldest,))

    async def kept(self, place: Place) -> str | None:
        """What was kept there last, by whichever process."""
        return await to_thread.run_sync(self._find, place, limiter=self._turn)

    def _find(self, place: Place) -> str | None:
        row = self._connection.execute(
            "SELECT value FROM kept WHERE holder = ? AND subject = ? AND handle = ? AND name = ?",
            place,
        ).fetchone()
        return None if row is None else str(row[0])

    def _append(self, key: str, text: str, identity: tuple[str, str, str]) -> Note:
        client, subject, idempotency_key = identity
        keyed = self._deduplicate and idempotency_key != ""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            if keyed:
                row = self._connection.execute(
                    "SELECT note_key, text, sequence FROM stored "
                    "WHERE client = ? AND subject = ? AND idempotency_key = ?",
                    identity,
                ).fetchone()
                if row is not None:
                    return Note(key=row[0], text=row[1], sequence=row[2])
            cursor = self._connection.execute(
                "INSERT INTO executions (at_ns, tool, key, subject, client) VALUES (?, ?, ?, ?, ?)",
                (time.monotonic_ns(), "append_note", text, subject, client),
            )
            note = Note(key=key, text=text, sequence=cursor.lastrowid or 0)
            if keyed:
                self._connection.execute(
                    "INSERT INTO stored VALUES (?, ?, ?, ?, ?, ?)",
                    (*identity, key, text, note["sequence"]),
                )
            return note
        finally:
            self._connection.execute("COMMIT")
