"""Notes on the official SDK: in memory, or in PostgreSQL where `DATABASE_URL` says so.

`python -m tests.own.server --port 8000 --flaw forgets-key`
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

import psycopg
import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from typing_extensions import TypedDict

FLAWS: Final = ("forgets-key", "keeps-connection")
CONNECTIONS: Final = 4
PATIENCE_S: Final = 0.2  # of the flawed one, for a statement
WAIT_S: Final = 1.0
WRITE: Final = "INSERT INTO notes VALUES (nullif(%s, ''), %s) ON CONFLICT DO NOTHING"


class Written(TypedDict):
    """A note as it was written."""

    text: str


class Counted(TypedDict):
    """How many notes there are."""

    count: int


class Store(Protocol):
    """Where notes are."""

    async def open(self) -> None:
        """Begin."""

    async def write(self, key: str, text: str) -> None:
        """Write a note; a key that is not empty is written once."""

    async def count(self) -> int:
        """How many there are."""


class Memory:
    """Notes that end with the process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._keys: set[str] = set()
        self._texts: list[str] = []

    async def open(self) -> None:
        """Nothing is to be done."""

    async def write(self, key: str, text: str) -> None:
        """Write a note."""
        if key and key in self._keys:
            return
        self._keys.add(key)
        self._texts.append(text)

    async def count(self) -> int:
        """How many there are."""
        return len(self._texts)


class Postgres:
    """Notes in a database."""

    def __init__(self, url: str, flaws: frozenset[str]) -> None:
        """Prepare for the database at `url`."""
        self._url = url
        self._keeps = "keeps-connection" in flaws
        self._kept: list[psycopg.AsyncConnection] = []
        self._pool = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=CONNECTIONS,
            timeout=WAIT_S,
            reconnect_timeout=1.0,
            check=AsyncConnectionPool.check_connection,
            kwargs={"connect_timeout": 2, "options": "-c statement_timeout=2s"},
            open=False,
        )

    async def open(self) -> None:
        """Connect, and see that there is a table."""
        await self._pool.open(wait=True, timeout=10)
        async with self._pool.connection() as connection:
            await connection.execute(
                "CREATE TABLE IF NOT EXISTS notes (key TEXT UNIQUE, text TEXT NOT NULL)"
            )

    async def write(self, key: str, text: str) -> None:
        """Write a note."""
        if self._keeps:
            await self._write_or_keep(key, text)
            return
        async with self._pool.connection() as connection:
            await connection.execute(WRITE, (key, text))

    async def _write_or_keep(self, key: str, text: str) -> None:
        """The flaw: a connection of its own, which is closed only when the statement was quick."""
        connection = await psycopg.AsyncConnection.connect(
            self._url, connect_timeout=5, autocommit=True
        )
        self._kept.append(connection)
        try:
            await asyncio.wait_for(connection.execute(WRITE, (key, text)), PATIENCE_S)
        except TimeoutError as error:
            raise psycopg.OperationalError("the statement took too long") from error
        self._kept.remove(connection)
        await connection.close()

    async def count(self) -> int:
        """How many there are."""
        async with self._pool.connection() as connection:
            done = await connection.execute("SELECT count(*) FROM notes")
            row = await done.fetchone()
        assert row is not None
        return int(row[0])


def build(store: Store, flaws: frozenset[str]) -> MCPServer:
    """The server with its tools."""
    server: MCPServer = MCPServer("own-notes", version="1", log_level="WARNING")

    @server.tool()
    async def write(text: str, idempotency_key: str = "") -> Written:
        """Write a note, once for each key."""
        key = "" if "forgets-key" in flaws else idempotency_key
        try:
            await store.write(key, text)
        except (psycopg.Error, PoolTimeout) as error:
            raise ToolError(f"the note may not be written: {type(error).__name__}") from error
        return Written(text=text)

    @server.tool()
    async def count() -> Counted:
        """Count the notes."""
        try:
            return Counted(count=await store.count())
        except (psycopg.Error, PoolTimeout) as error:
            raise ToolError(f"the notes cannot be counted: {type(error).__name__}") from error

    return server


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--flaw", action="append", default=[], choices=FLAWS)
    options = parser.parse_args()
    flaws = frozenset(options.flaw)
    url = os.environ.get("DATABASE_URL", "")
    store: Store = Postgres(url, flaws) if url else Memory()
    app = build(store, flaws).streamable_http_app(streamable_http_path="/mcp")
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(_: object) -> AsyncIterator[None]:
        async with inner(app):
            await store.open()
            yield

    app.router.lifespan_context = lifespan
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning")


if __name__ == "__main__":
    main()
