"""The dependency's ledger in SQLite: every request, every execution, and its connections."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Final

from harness.errors import RigError
from harness.rig import ledger


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request as the dependency saw it; times are the system's monotonic clock's."""

    at_ns: int
    done_ns: int
    connection: int
    operation: str
    key: str  # the logical call's: a header's, or the nonce that the request carried
    trace: str  # of `traceparent`
    subject: str  # whom the caller said it acts for, or whose token it was
    credential: str  # none, own, expired, caller, other
    audience: str
    status: int  # 0: none was sent
    executed: int  # whether it took effect, or what was asked for was found
    answered: int  # whether the whole answer left
    rows: int  # -1 where there are none to count
    total: int  # rows that there are for what was asked, whatever was sent; -1 as above
    retry_after_s: int  # -1 where nothing was said
    programme: str  # the kind of programme that struck it


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """Its connections in one second."""

    at_ns: int
    open: int
    busy: int
    opened: int  # since the beginning
    busy_max: int  # within this second
    refused: int  # requests, since the beginning, for want of a place


_KINDS: Final = {"int": "INTEGER", "str": "TEXT"}


def _schema(table: str, record: type[Request | Pool]) -> str:
    columns = (f"{one.name} {_KINDS[str(one.type)]} NOT NULL" for one in fields(record))
    return f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(columns)})"


def _insert(table: str, record: type[Request | Pool]) -> str:
    return f"INSERT INTO {table} VALUES ({', '.join('?' * len(fields(record)))})"  # noqa: S608 - names of ours


_REQUEST: Final = _insert("requests", Request)
_POOL: Final = _insert("pool", Pool)


class Recorder:
    """Writes the ledger, which outlives this process, but not the machine."""

    def __init__(self, path: Path) -> None:
        """Open a ledger at `path`, or go on with the one that is there."""
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=ledger.BUSY_S)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")
        for schema in (ledger.SCHEMA, _schema("requests", Request), _schema("pool", Pool)):
            self._connection.execute(schema)

    def request(self, request: Request) -> None:
        """Write one request down."""
        self._connection.execute(_REQUEST, astuple(request))

    def pool(self, pool: Pool) -> None:
        """Write the connections of one second down."""
        self._connection.execute(_POOL, astuple(pool))

    def execution(self, *, at_ns: int, tool: str, key: str, subject: str, client: str) -> None:
        """Write one effect down, as every ledger does."""
        self._connection.execute(
            "INSERT INTO executions (at_ns, tool, key, subject, client) VALUES (?, ?, ?, ?, ?)",
            (at_ns, tool, key, subject, client),
        )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def requests(path: Path) -> Iterator[Request]:
    """Yield every request in the order in which they came.

    Raises:
        RigError: the file is missing or is no such ledger.
    """
    names = [one.name for one in fields(Request)]
    for row in _rows(path, f"SELECT {', '.join(names)} FROM requests ORDER BY at_ns, rowid"):  # noqa: S608 - names of ours
        yield Request(**dict(zip(names, row, strict=True)))


def pools(path: Path) -> Iterator[Pool]:
    """Yield its connections, second by second.

    Raises:
        RigError: the file is missing or is no such ledger.
    """
    names = [one.name for one in fields(Pool)]
    for row in _rows(path, f"SELECT {', '.join(names)} FROM pool ORDER BY at_ns"):  # noqa: S608 - names of ours
        yield Pool(**dict(zip(names, row, strict=True)))


def _rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    if not path.is_file():
        raise RigError(f"expected a ledger at {path}, found no file; was the dependency started?")
    try:
        with closing(sqlite3.connect(path, timeout=ledger.BUSY_S)) as connection:
            rows: list[tuple[Any, ...]] = connection.execute(query).fetchall()
            return rows
    except sqlite3.Error as error:
        raise RigError(f"expected a dependency's ledger at {path}, got: {error}") from error
