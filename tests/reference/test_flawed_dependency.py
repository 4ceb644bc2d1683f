"""Each flaw of the bundled server's ways with its dependency does what it says, alone."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import anyio
import pytest
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult

from faults.levers import Programme
from harness.flaws import Flaw
from harness.reference.breaker import FAILURES_MAX
from harness.reference.callers import Caller
from harness.reference.documents import DatabaseError
from harness.reference.downstream import StoreError, UnknownOutcomeError, on_errand
from harness.reference.flawed_dependency import (
    STORM,
    FlawedDocuments,
    FlawedDownstream,
    FlawedNotes,
)
from harness.reference.flawed_tools import CONNECTIONS, FAILED_S, FlawedServer
from harness.reference.notes import NotesError
from harness.rig import ledger
from harness.rig.dependency import control, recorded
from harness.rig.dependency.recorded import Request
from harness.scenario.marks import Marks

pytestmark = pytest.mark.anyio
BOUND_S: Final = 30
_NONCES: Final = map(Marks.of(4).nonces(1), itertools.count())
CALLER: Final = Caller(holder="h", client="c", subject="s")


@pytest.fixture(scope="module")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[control.Dependency]:
    """One dependency for all tests: each asks under nonces of its own."""
    folder = tmp_path_factory.mktemp("flawed")
    async with control.serve(ledger=folder / "s.sqlite", log=None) as dependency:
        yield dependency


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A client with its flaws, and what the dependency saw of it."""

    own: control.Dependency
    client: FlawedDownstream
    flaws: frozenset[Flaw]
    nonce: str

    async def asked(self) -> list[Request]:
        """What the ledger holds under this test's nonce."""
        await self.own.hits("")  # an answer leaves just before its line is written
        return [one for one in recorded.requests(self.own.ledger) if one.key == self.nonce]

    async def search(self, limit: int = 50) -> list[Any]:
        """Ask for rows."""
        with on_errand(CALLER, ""):
            return await FlawedDocuments(self.client, flaws=self.flaws).search(self.nonce, limit)


@asynccontextmanager
async def bench(
    own: control.Dependency, *flaws: Flaw, under: Programme | None = None
) -> AsyncIterator[Bench]:
    """A client with these flaws, while the dependency behaves so."""
    client = FlawedDownstream(own.url, flaws=frozenset(flaws))
    if under is not None:
        await own.engage("w1", under)
    try:
        with anyio.fail_after(BOUND_S):
            yield Bench(own=own, client=client, flaws=frozenset(flaws), nonce=next(_NONCES))
    finally:
        if under is not None:
            await own.disengage("w1")
        await client.close()


async def test_a_read_is_tried_twenty_times_more_at_once(own: control.Dependency) -> None:
    """Whatever Retry-After says; without the flaw it is asked once."""
    busy = Programme(kind="refuse", status=429, retry_after_s=3600)
    async with bench(own, Flaw.RETRY_STORM, under=busy) as at:
        with pytest.raises(DatabaseError):
            await at.search()
        assert len(await at.asked()) > STORM
    async with bench(own, under=busy) as at:
        with pytest.raises(DatabaseError):
            await at.search()
        assert len(await at.asked()) == 1


async def test_a_call_sleeps_as_long_as_it_is_told(own: control.Dependency) -> None:
    """And is not heard of again."""
    busy = Programme(kind="refuse", status=429, retry_after_s=3600)
    async with bench(own, Flaw.SLEEPS_ON_RETRY_AFTER, under=busy) as at:
        with anyio.move_on_after(3) as scope:
            await at.search()
        assert scope.cancelled_caught
        assert [one.status for one in await at.asked()] == [429]


async def test_a_write_whose_answer_was_lost_is_done_again(own: control.Dependency) -> None:
    """Under its key it would be one; the flaw sends it as a new one."""
    reset = Programme(kind="reset", operations="writes")
    done = []
    for flaws in ((Flaw.RETRIES_WRITES,), ()):
        async with bench(own, *flaws, under=reset) as at:
            notes = FlawedNotes(at.client, flaws=at.flaws)
            with on_errand(CALLER, ""), pytest.raises((NotesError, UnknownOutcomeError)):
                await notes.append(
                    key="k", text=at.nonce, client="c", subject="s", idempotency_key=at.nonce
                )
            await at.own.hits("")
            done.append(sum(one.key == at.nonce for one in ledger.read(at.own.ledger)))
    assert done[0] > 1
    assert done[1] == 1


async def test_the_dependency_is_waited_for_beyond_all_budgets(own: control.Dependency) -> None:
    """Three seconds are more than a call has, and it is answered after them all the same."""
    late = Programme(kind="slow", delay_s=3.0)
    async with bench(own, Flaw.NO_DOWNSTREAM_DEADLINE, under=late) as at:
        assert await at.search(limit=3)
    async with bench(own, under=late) as at:
        with pytest.raises(DatabaseError):
            await at.search(limit=3)


async def test_every_call_tries_a_dependency_that_fails(own: control.Dependency) -> None:
    """Where a breaker would have opened."""
    dead = Programme(kind="refuse", status=500)
    reached = []
    for flaws in ((Flaw.NO_BREAKER,), ()):
        async with bench(own, *flaws, under=dead) as at:
            for _ in range(2 * FAILURES_MAX):
                with pytest.raises(DatabaseError):
                    await at.search()
            reached.append(len(await at.asked()))
    assert reached[0] >= 2 * FAILURES_MAX > reached[1]


async def test_a_dependency_that_is_gone_is_looked_for_without_a_pause(
    own: control.Dependency,
) -> None:
    """Until it is back, and no longer."""
    dead = Programme(kind="refuse", status=500)
    async with bench(own, Flaw.TIGHT_RECONNECT, under=dead) as at, anyio.create_task_group() as on:
        on.start_soon(at.client.reconnect)
        with pytest.raises(DatabaseError):
            await at.search()
        while len(looks := await _looks(at)) < 20:  # noqa: ASYNC110 - nothing tells us
            await anyio.sleep(0.05)
        await at.own.disengage("w1")
        while (await _looks(at))[-1].status != 200:  # noqa: ASYNC110 - as above
            await anyio.sleep(0.05)
        on.cancel_scope.cancel()
    assert {one.status for one in looks} <= {500, 200}


async def _looks(at: Bench) -> list[Request]:
    await at.own.hits("")
    return [one for one in recorded.requests(at.own.ledger) if one.operation == "row"]


async def test_the_pages_that_came_are_taken_for_all(own: control.Dependency) -> None:
    """A part of the rows, where the hardened server says that some are missing."""
    lossy = Programme(kind="partial", operations="reads", lost="page", share=0.5)
    parts = 0
    for _ in range(40):
        async with bench(own, Flaw.PARTIAL_AS_FULL, under=lossy) as at:
            try:
                found = await at.search()
            except DatabaseError:
                continue
            parts += len(found) < (await at.asked())[0].total
    assert parts


async def test_rows_are_handed_on_as_they_come(own: control.Dependency) -> None:
    """A title that is null is one that no schema allows."""
    drifted = Programme(kind="drift", operations="reads", field="title", change="null")
    async with bench(own, Flaw.SCHEMA_LIES, under=drifted) as at:
        assert {row["title"] for row in await at.search()} == {None}
    async with bench(own, under=drifted) as at:
        with pytest.raises(DatabaseError):
            await at.search()


async def test_notes_are_read_once_a_minute(own: control.Dependency) -> None:
    """What is written meanwhile is not there."""
    for flaws, count in (((Flaw.STALE_CACHE,), 0), ((), 1)):
        async with bench(own, *flaws) as at:
            notes = FlawedNotes(at.client, flaws=at.flaws)
            with on_errand(CALLER, ""):
                assert await notes.read(at.nonce, 10) == []
                await notes.append(
                    key=at.nonce, text=at.nonce, client="c", subject="s", idempotency_key=""
                )
                assert len(await notes.read(at.nonce, 10)) == count


# --- tools ----------------------------------------------------------------------------------


def server(*flaws: Flaw, error: Exception | None = None) -> tuple[FlawedServer, list[str]]:
    """A server whose search fails with an error, or waits; and what has begun."""
    made = FlawedServer("flawed", flaws=frozenset(flaws))
    begun: list[str] = []

    @made.tool()
    async def search(query: str) -> list[dict[str, str]]:
        begun.append(query)
        if error is not None:
            raise ToolError(str(error)) from error
        await anyio.sleep(BOUND_S)
        return []

    @made.tool()
    async def recall(key: str) -> str:
        begun.append(key)
        return key

    return made, begun


async def test_an_error_carries_what_the_schema_forbids() -> None:
    """It is still an error, and its structured content is none of the tool's."""
    made, _ = server(Flaw.ERROR_BREAKS_SCHEMA, error=StoreError("the store is down"))
    result = await made.call_tool("search", {"query": "q"})
    assert isinstance(result, CallToolResult)
    assert result.is_error
    assert list(result.structured_content or {}) == ["error"]
    plain, _ = server(error=StoreError("the store is down"))
    with pytest.raises(ToolError, match="down"):
        await plain.call_tool("search", {"query": "q"})


async def test_a_call_that_fails_makes_those_after_it_fail_for_a_while() -> None:
    """Whoever makes them; the server without the flaw serves them."""
    for flaws, met in (((Flaw.TRANSACTION_LEFT_FAILED,), "aborted"), ((), "")):
        made, begun = server(*flaws)
        with pytest.raises(ToolError):
            await made.call_tool("recall", {"kee": "?"})
        if met:
            with pytest.raises(ToolError, match=met):
                await made.call_tool("recall", {"key": "a"})
            with anyio.fail_after(BOUND_S):
                await anyio.sleep(2 * FAILED_S)
        await made.call_tool("recall", {"key": "b"})
        assert begun == ["b"]


async def test_only_a_refusal_for_its_rate_becomes_a_row(own: control.Dependency) -> None:
    """And that through all the errors it was wrapped in; another failure stays an error."""
    busy = Programme(kind="refuse", status=429, retry_after_s=3600)
    async with bench(own, under=busy) as at:
        with pytest.raises(DatabaseError) as refused:
            await at.search()
    made, _ = server(Flaw.RATELIMIT_IN_PAYLOAD, error=refused.value)
    result = await made.call_tool("search", {"query": "q"})
    assert isinstance(result, CallToolResult)
    assert not result.is_error
    assert result.structured_content is not None
    assert result.structured_content["result"][0]["title"] == "rate_limited"
    made, _ = server(Flaw.RATELIMIT_IN_PAYLOAD, error=StoreError("the store is down"))
    with pytest.raises(ToolError, match="down"):
        await made.call_tool("search", {"query": "q"})


async def test_a_few_slow_calls_keep_every_other_tool_waiting() -> None:
    """The pool is held meanwhile; without the flaw the others are answered."""
    for flaws, waits in (((Flaw.POOL_HELD_ACROSS_AWAIT,), True), ((), False)):
        made, begun = server(*flaws)
        async with anyio.create_task_group() as group:
            for turn in range(CONNECTIONS):
                group.start_soon(made.call_tool, "search", {"query": f"q{turn}"})
            with anyio.fail_after(BOUND_S):
                while len(begun) < CONNECTIONS:  # noqa: ASYNC110 - nothing tells us
                    await anyio.sleep(0.01)
            with anyio.move_on_after(1) as scope:
                await made.call_tool("recall", {"key": "k"})
            assert scope.cancelled_caught == waits
            group.cancel_scope.cancel()
