"""The database behind `search` and `fetch`, and its pool."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator

import anyio
import pytest

from harness.reference import documents
from harness.reference.documents import DatabaseError, Documents

pytestmark = pytest.mark.anyio


@pytest.fixture
def corpus() -> Iterator[Documents]:
    """A corpus of its own."""
    made = Documents(flaws=frozenset())
    yield made
    made.close()


@pytest.mark.parametrize("limit", [1, 3, 4, 10, 50, 1000])
async def test_a_search_finds_something_and_not_too_much(corpus: Documents, limit: int) -> None:
    """Between three rows and the limit, for any query, and each only once."""
    for query in ("", "Document", "7", "%", "_", "'; DROP TABLE documents; --", "é" * 1000):
        rows = await corpus.search(query, limit)
        assert 3 <= len(rows) <= max(3, min(limit, documents.ROWS_MAX))
        assert len({row["id"] for row in rows}) == len(rows)


async def test_a_pattern_beyond_the_limit_is_the_databases_error(corpus: Documents) -> None:
    """Up to the limit it answers, above it it refuses, and the connection is whole afterwards."""
    longest = documents.PATTERN_LIMIT_BYTES - len("%%")
    assert await corpus.search("q" * longest, 10)
    for _ in range(documents.CONNECTIONS + 1):
        with pytest.raises(DatabaseError, match="too complex"):
            await corpus.search("q" * (longest + 1), 10)
    assert await corpus.search("q", 10)


async def test_an_exhausted_pool_is_an_error_after_a_bounded_wait(
    corpus: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever gets no connection is told so; when one comes free, all goes on."""
    monkeypatch.setattr(documents, "WAIT_S", 0.1)
    release = threading.Event()

    def rest(_: sqlite3.Connection) -> None:
        release.wait(10)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            for _ in range(documents.CONNECTIONS):
                group.start_soon(corpus._ask, rest)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(DatabaseError, match=r"all 4 database connections were busy"):
                await corpus.fetch(1)
            release.set()
        assert await corpus.fetch(1)
