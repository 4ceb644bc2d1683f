"""The tools of the bundled server."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field
from typing_extensions import TypedDict

from faults.process import OWNER_VARIABLE
from harness.flaws import Flaw, Flaws
from harness.reference.asking import Asking, add_asking, add_board
from harness.reference.callers import Caller, caller_of
from harness.reference.contexts import Contexts
from harness.reference.documents import ROWS_MAX, Corpus, DatabaseError, Document, Row
from harness.reference.downstream import on_errand
from harness.reference.feed import add_feed
from harness.reference.flawed_sessions import state_security
from harness.reference.flawed_tools import FLAWS as TOOL_FLAWS
from harness.reference.flawed_tools import FlawedServer
from harness.reference.jobs import Jobs
from harness.reference.manners import SlowServer
from harness.reference.notes import Note, Notes, SqliteNotes
from harness.reference.offers import add_offers
from harness.reference.records import Records, add_records
from harness.reference.remote import RemoteNotes
from harness.reference.spans import ResultSize, wanted
from harness.reference.unvalidated import Unvalidated

SLOW_MAX_S = 120.0
PROGRESS_STEPS = 10
BIG_MAX_BYTES = 8 * 1024 * 1024
CUT_BYTES = 64 * 1024  # what the flaw truncates-silently leaves of one
VALUE_LIMIT_BYTES = 16 * 1024
WORDS = "a large result is a page that nobody asked for; "

READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
APPENDS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
REMEMBERS = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)

Limit = Annotated[int, Field(ge=1, le=ROWS_MAX)]


class Memory(TypedDict):
    """A remembered value and the handle under which it can be asked for again."""

    key: str
    value: str
    session: str


class Rest(TypedDict):
    """How long a slow call was asked to take; the label comes back as it was given."""

    label: str
    seconds: float


class Bulk(TypedDict):
    """A large text; the label comes back as it was given."""

    label: str
    text: str


def build(
    *,
    documents: Corpus,
    notes: Notes,
    flaws: Flaws,
    manner: str = "",
    contexts: Contexts | None = None,
) -> MCPServer:
    """An MCP server with every tool, over one database and one ledger.

    What is remembered stays in this process where no `contexts` say otherwise.
    """
    made: Callable[..., MCPServer] = SlowServer if manner == "slow" else MCPServer
    if flaws & TOOL_FLAWS:
        store = notes.address if isinstance(notes, RemoteNotes) else None
        made = partial(FlawedServer, flaws=flaws, store=store)
    server: MCPServer = made(
        "squall-reference",
        version="1.0",
        instructions="A bundled server to practise on.",
        log_level="WARNING",
        middleware=(ResultSize(),) if wanted() else (),
        extensions=(
            Asking(),
            Jobs(),
            *((Unvalidated(documents),) if Flaw.UNVALIDATED_ARGS in flaws else ()),
        ),
        request_state_security=state_security(flaws),
    )
    _add_reading(server, documents, notes, flaws)
    _add_writing(server, notes)
    _add_scheduling(server, notes)
    _add_memory(server, contexts or Contexts(flaws=flaws))
    _add_load(server, flaws)
    add_asking(server)
    add_board(server)
    add_records(server, Records(flaws=flaws))
    add_feed(server)
    add_offers(server, flaws)
    return server


def _add_reading(server: MCPServer, documents: Corpus, notes: Notes, flaws: Flaws) -> None:
    here: Path | None = None
    if Flaw.CWD_RELATIVE in flaws and isinstance(notes, SqliteNotes):
        here = Path(notes.path.name)  # from wherever it was started

    @server.tool(annotations=READS)
    async def search(query: str, ctx: Context[Any, Any], limit: Limit = 10) -> list[Row]:
        """Find documents: between 3 and `limit` of them, each with the query in its snippet."""
        if Flaw.LAZY_ENV in flaws and not os.environ.get(OWNER_VARIABLE):
            raise ToolError(f"{OWNER_VARIABLE} is not set")
        if here is not None and not here.exists():
            raise ToolError(f"{here}: no such file or directory")
        try:
            with _errand(ctx):
                return await documents.search(query, limit)
        except DatabaseError as error:
            if Flaw.EMPTY_ON_ERROR in flaws:
                return []
            raise ToolError(str(error)) from error

    @server.tool(annotations=READS)
    async def fetch(
        id: str,  # noqa: A002 - the name that clients know
        ctx: Context[Any, Any],
    ) -> Document:
        """One document by the id that `search` gave."""
        number = id.removeprefix("doc-")
        try:
            with _errand(ctx):
                document = await documents.fetch(int(number)) if number.isdecimal() else None
        except (DatabaseError, ValueError) as error:
            raise ToolError(str(error)) from error
        if document is None:
            raise ToolError(f"there is no document {id[:80]!r}")
        return document


def _add_writing(server: MCPServer, notes: Notes) -> None:
    @server.tool(annotations=APPENDS)
    async def append_note(
        key: str, text: str, ctx: Context[Any, Any], idempotency_key: str = ""
    ) -> Note:
        """Write a note; a repeated `idempotency_key` returns the first note again."""
        caller = _caller(ctx)
        with _errand(ctx):
            return await notes.append(
                key=key,
                text=text,
                client=caller.client,
                subject=caller.subject,
                idempotency_key=idempotency_key,
            )

    if not isinstance(notes, RemoteNotes):
        return

    @server.tool(annotations=READS)
    async def read_notes(key: str, ctx: Context[Any, Any], limit: Limit = 10) -> list[Note]:
        """The last notes under a key, as they stand."""
        with _errand(ctx):
            return await notes.read(key, limit)


def _add_scheduling(server: MCPServer, notes: Notes) -> None:
    @server.tool(annotations=APPENDS)
    async def schedule_note(
        text: str,
        seconds: Annotated[float, Field(ge=0, le=SLOW_MAX_S)],
        ctx: Context[Any, Any],
        idempotency_key: str = "",
    ) -> Note:
        """Work for a while, then write a note; called off before that, write none."""
        caller = _caller(ctx)
        await anyio.sleep(seconds)
        with _errand(ctx):
            return await notes.append(
                key="scheduled",
                text=text,
                client=caller.client,
                subject=caller.subject,
                idempotency_key=idempotency_key,
            )


def _add_memory(server: MCPServer, contexts: Contexts) -> None:
    @server.tool(annotations=REMEMBERS)
    async def remember(key: str, value: str, ctx: Context[Any, Any], session: str = "") -> Memory:
        """Keep a value for this caller under a handle of its own choice."""
        if len(value) > VALUE_LIMIT_BYTES:
            raise ToolError(f"a remembered value may have {VALUE_LIMIT_BYTES} characters")
        await contexts.put(_caller(ctx), session, key, value)
        return Memory(key=key, value=value, session=session)

    @server.tool(annotations=READS)
    async def recall(key: str, ctx: Context[Any, Any], session: str = "") -> Memory:
        """The value that was kept under this handle and key."""
        value = await contexts.get(_caller(ctx), session, key)
        if value is None:
            raise ToolError(f"nothing is remembered under {key[:80]!r} for this caller and handle")
        return Memory(key=key, value=value, session=session)


def _add_load(server: MCPServer, flaws: Flaws) -> None:
    @server.tool(annotations=READS)
    async def slow(
        seconds: Annotated[float, Field(ge=0, le=SLOW_MAX_S)],
        ctx: Context[Any, Any],
        label: str = "",
    ) -> Rest:
        """Take a while, and say how far it is."""
        if Flaw.SYNC_BLOCKS_LOOP in flaws:
            time.sleep(seconds)  # noqa: ASYNC251 - this is the flaw
            return Rest(label=label, seconds=seconds)
        for step in range(PROGRESS_STEPS):
            await anyio.sleep(seconds / PROGRESS_STEPS)
            if Flaw.NO_KEEPALIVE not in flaws:
                await ctx.report_progress(step + 1, PROGRESS_STEPS)
        return Rest(label=label, seconds=seconds)

    @server.tool(annotations=READS)
    async def big(size_bytes: Annotated[int, Field(ge=0)], label: str = "") -> Bulk:
        """A result of about `size_bytes` on the wire; above 8 MiB an error that says so."""
        if Flaw.TRUNCATES_SILENTLY in flaws:
            size_bytes = min(size_bytes, CUT_BYTES)
        if size_bytes > BIG_MAX_BYTES and Flaw.UNBOUNDED_RESULT not in flaws:
            raise ToolError(
                f"a result of {size_bytes} bytes is more than the {BIG_MAX_BYTES} that one may "
                "have; ask for less"
            )
        # Every result is sent twice, as text and as structured content.
        length = size_bytes // 2
        return Bulk(label=label, text=(WORDS * (length // len(WORDS) + 1))[:length])


def _errand(ctx: Context[Any, Any]) -> AbstractContextManager[None]:
    """What is asked of a dependency inside is asked for this call."""
    trace = (ctx.request_context.meta or {}).get("traceparent", "")
    return on_errand(_caller(ctx), trace if isinstance(trace, str) else "")


def _caller(ctx: Context[Any, Any]) -> Caller:
    return caller_of(ctx.request_context.request)
