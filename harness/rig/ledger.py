"""The ledger of effects: one row per real execution, written by the target, read after the run."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harness.errors import RigError

SCHEMA = """
CREATE TABLE IF NOT EXISTS executions (
    at_ns INTEGER NOT NULL,  -- the system's monotonic clock
    tool TEXT NOT NULL,
    key TEXT NOT NULL,       -- what the caller can recognise: append_note's text
    subject TEXT NOT NULL,
    client TEXT NOT NULL
)
"""
BUSY_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Execution:
    """One effect that really took place."""

    at_ns: int  # the system's monotonic clock, not run time
    tool: str
    key: str
    subject: str
    client: str


def read(path: Path) -> tuple[Execution, ...]:
    """Every execution in the order in which they took place.

    Raises:
        RigError: the file is missing or is not a ledger.
    """
    if not path.is_file():
        raise RigError(f"expected a ledger at {path}, found no file; was the target started?")
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_S)) as connection:
            rows = connection.execute(
                "SELECT at_ns, tool, key, subject, client FROM executions ORDER BY at_ns, rowid"
            ).fetchall()
    except sqlite3.Error as error:
        raise RigError(f"expected a ledger at {path}, got: {error}") from error
    return tuple(
        Execution(at_ns=at_ns, tool=tool, key=key, subject=subject, client=client)
        for at_ns, tool, key, subject, client in rows
    )
