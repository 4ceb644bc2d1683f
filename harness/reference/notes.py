"""The effects of the bundled server: notes, each written once, and a ledger that counts them."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import anyio
from anyio import to_thread

from harness.reference.flaws import Flaw, Flaws
from harness.rig import ledger

_STORED = """
CREATE TABLE IF NOT EXISTS stored (
    client TEXT NOT NULL,
    subject TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (client, subject, idempotency_key)
) WITHOUT ROWID
"""


class Notes:
    """Appends notes; an effect and the memory of its idempotency key are one transaction."""

    def __init__(self, path: Path, *, flaws: Flaws) -> None:
        """Open the ledger at `path`, which may already hold the effects of an earlier life."""
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

    def close(self) -> None:
        """Close the ledger; every effect is already in it."""
        self._connection.close()

    async def append(self, *, text: str, client: str, subject: str, idempotency_key: str) -> int:
        """Write a note and return its number; a key that is known returns the first one's."""
        return await to_thread.run_sync(
            self._append, text, client, subject, idempotency_key, limiter=self._turn
        )

    def _append(self, text: str, client: str, subject: str, idempotency_key: str) -> int:
        identity = (client, subject, idempotency_key)
        keyed = self._deduplicate and idempotency_key != ""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            if keyed:
                row = self._connection.execute(
                    "SELECT sequence FROM stored "
                    "WHERE client = ? AND subject = ? AND idempotency_key = ?",
                    identity,
                ).fetchone()
                if row is not None:
                    return int(row[0])
            cursor = self._connection.execute(
                "INSERT INTO executions (at_ns, tool, key, subject, client) VALUES (?, ?, ?, ?, ?)",
                (time.monotonic_ns(), "append_note", text, subject, client),
            )
            sequence = cursor.lastrowid or 0
            if keyed:
                self._connection.execute(
                    "INSERT INTO stored VALUES (?, ?, ?, ?)", (*identity, sequence)
                )
            return sequence
        finally:
            self._connection.execute("COMMIT")
