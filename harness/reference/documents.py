"""The documents that `search` and `fetch` read, in an SQLite database behind a small pool."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
from collections.abc import Callable
from typing import Protocol, TypeVar

import anyio
from anyio import to_thread
from typing_extensions import TypedDict

from harness.flaws import Flaw, Flaws

DOCUMENTS = 211  # a prime, so that every stride visits every document
ROWS_MIN = 3
ROWS_MAX = 50
CONNECTIONS = 4
WAIT_S = 2.0  # how long a call may wait for a connection
PATTERN_LIMIT_BYTES = 32 * 1024  # what the database accepts as a pattern

Answer = TypeVar("Answer")


class Row(TypedDict):
    """One hit; the snippet carries the query back."""

    id: str
    title: str
    snippet: str


class Document(TypedDict):
    """One whole document."""

    id: str
    title: str
    text: str


class DatabaseError(Exception):
    """The database did not answer the question; the message is the cause."""


class Corpus(Protocol):
    """Documents, wherever they are kept."""

    def close(self) -> None:
        """Give everything back."""

    async def search(self, query: str, limit: int) -> list[Row]:
        """Rows that depend on nothing but the query, which each carries in its snippet.

        Raises:
            DatabaseError: there is no answer.
        """

    async def fetch(self, number: int) -> Document | None:
        """The document with this number, if there is one.

        Raises:
            DatabaseError: there is no answer.
        """


class Documents:
    """A read-only corpus that is the same in every process."""

    def __init__(self, *, flaws: Flaws) -> None:
        """Fill a database in memory; `close` frees it."""
        self._inline = Flaw.SYNC_BLOCKS_LOOP in flaws
        self._slots = anyio.CapacityLimiter(CONNECTIONS)
        name = f"documents-{secrets.token_hex(4)}"
        self._free = [_connect(name) for _ in range(CONNECTIONS)]
        _fill(self._free[0])

    def close(self) -> None:
        """Give back every connection."""
        for connection in self._free:
            connection.close()

    async def search(self, query: str, limit: int) -> list[Row]:
        """Between 3 and `limit` rows that depend on nothing but the query.

        Raises:
            DatabaseError: the query is more than the database takes, or no connection came free.
        """
        rows = await self._ask(lambda connection: _search(connection, query, limit))
        return [
            Row(id=f"doc-{number}", title=title, snippet=f"{title}: {query}")
            for number, title in rows
        ]

    async def fetch(self, number: int) -> Document | None:
        """The document with this number, if there is one.

        Raises:
            DatabaseError: no connection came free.
        """
        row = await self._ask(
            lambda connection: connection.execute(
                "SELECT title, text FROM documents WHERE number = ?", (number,)
            ).fetchone()
        )
        if row is None:
            return None
        return Document(id=f"doc-{number}", title=row[0], text=row[1])

    async def _ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        try:
            with anyio.fail_after(WAIT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise DatabaseError(
                f"all {CONNECTIONS} database connections were busy for {WAIT_S:g} s"
            ) from None
        try:
            connection = self._free.pop()
            try:
                if self._inline:
                    return question(connection)
                return await to_thread.run_sync(question, connection)
            except sqlite3.Error as error:
                raise DatabaseError(f"the database refused the query: {error}") from error
            finally:
                self._free.append(connection)
        finally:
            self._slots.release()


def _connect(name: str) -> sqlite3.Connection:
    # Shared by its name within this process, and gone with it: nothing is left on a disk.
    connection = sqlite3.connect(
        f"file:{name}?mode=memory&cache=shared", uri=True, check_same_thread=False
    )
    # The default of a build may differ; the limit is part of what this server promises.
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_LIMIT_BYTES)
    return connection


def _fill(connection: sqlite3.Connection) -> None:
    with connection:
        connection.execute("CREATE TABLE documents (number INTEGER PRIMARY KEY, title, text)")
        connection.executemany(
            "INSERT INTO documents VALUES (?, ?, ?)",
            (
                (number, f"Document {number}", f"Document {number} says {number * number}. " * 8)
                for number in range(DOCUMENTS)
            ),
        )


def _search(connection: sqlite3.Connection, query: str, limit: int) -> list[tuple[int, str]]:
    """The documents that a digest of the query picks, and those whose title contains it."""
    mark = int.from_bytes(hashlib.sha256(query.encode()).digest()[:8])
    limit = min(max(limit, ROWS_MIN), ROWS_MAX)
    wanted = ROWS_MIN + mark % (limit - ROWS_MIN + 1)
    start, stride = mark % DOCUMENTS, 1 + mark // DOCUMENTS % (DOCUMENTS - 1)
    picked = {(start + step * stride) % DOCUMENTS for step in range(wanted)}
    marks = ",".join("?" * len(picked))
    # A sum, not an OR: the pattern is looked at for every row, so a bad one always shows.
    return connection.execute(
        f"SELECT number, title FROM documents WHERE (number IN ({marks})) + (title LIKE ?) > 0 "  # noqa: S608 - question marks only
        "ORDER BY number IN (" + marks + ") DESC, number LIMIT ?",
        (*picked, f"%{query}%", *picked, wanted),
    ).fetchall()
