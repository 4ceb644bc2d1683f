"""Serves the bundled server over standard input and output, one message a line."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import anyio
from anyio import to_thread
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp import types
from mcp.server import MCPServer
from mcp.shared.message import SessionMessage
from pydantic_core import to_json

from harness.flaws import Flaw, Flaws
from harness.reference.documents import Documents
from harness.reference.guard import BODY_LIMIT_BYTES
from harness.reference.manners import SparseDocuments
from harness.reference.notes import Notes
from harness.reference.tools import build
from harness.wire.lines import Lines, Oversized

READ_BYTES: Final = 64 * 1024
UNBOUNDED_BYTES: Final = 1 << 30
INVALID_REQUEST: Final = -32600
PARSE_ERROR: Final = -32700
_ID: Final = re.compile(rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{1,128}")')

Incoming = SessionMessage | Exception


async def serve(*, notes: Notes, flaws: Flaws, manner: str = "") -> None:
    """Serve until standard input ends."""
    documents = Documents(flaws=flaws)
    server: MCPServer = build(
        documents=SparseDocuments(documents) if manner == "sparse" else documents,
        notes=notes,
        flaws=flaws,
        manner=manner,
    )
    low = server._lowlevel_server  # noqa: SLF001  - the SDK runs its own transports alone
    await notes.open()
    try:
        async with _streams(flaws) as (incoming, outgoing):
            await low.run(incoming, outgoing, low.create_initialization_options())
    finally:
        await notes.close()
        documents.close()


@asynccontextmanager
async def _streams(
    flaws: Flaws,
) -> AsyncIterator[
    tuple[MemoryObjectReceiveStream[Incoming], MemoryObjectSendStream[SessionMessage]]
]:
    """What the SDK reads and writes, bounded, and safe from whoever prints."""
    mouth = os.dup(1)
    os.dup2(2, 1)  # nothing but messages may reach the client, whatever a library prints
    limit = UNBOUNDED_BYTES if Flaw.UNBOUNDED_REQUEST in flaws else BODY_LIMIT_BYTES
    put, incoming = anyio.create_memory_object_stream[Incoming](0)
    outgoing, take = anyio.create_memory_object_stream[SessionMessage](0)
    turn = anyio.Lock()

    async def write(line: bytes) -> None:
        async with turn:
            await to_thread.run_sync(partial(_write, mouth, line))

    async def read() -> None:
        lines = Lines(limit)
        async with put:
            while data := await to_thread.run_sync(os.read, 0, READ_BYTES, abandon_on_cancel=True):
                for line in lines.feed(data):
                    message = _parse(line)
                    if isinstance(message, bytes):
                        await write(message)
                    else:
                        await put.send(message)

    async def speak() -> None:
        async with take:
            async for one in take:
                text = one.message.model_dump_json(by_alias=True, exclude_unset=True)
                await write(text.encode() + b"\n")

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        group.start_soon(speak)
        yield incoming, outgoing
        group.cancel_scope.cancel()


def _parse(line: bytes | Oversized) -> SessionMessage | bytes:
    """The message in a line, or the line that refuses it."""
    if isinstance(line, Oversized):
        words = f"a message may have {BODY_LIMIT_BYTES} bytes, and this one has {line.size_bytes}"
        return _refusal(line.head, INVALID_REQUEST, words)
    try:
        return SessionMessage(types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return _refusal(line, PARSE_ERROR, "this line is no JSON-RPC message")


def _refusal(head: bytes, code: int, words: str) -> bytes:
    """An error that names the request, where it can be told which it is."""
    found = _ID.search(head[:512])
    error = {"code": code, "message": words}
    name = found[1] if found is not None else b"null"
    return b'{"jsonrpc":"2.0","id":%b,"error":%b}\n' % (name, to_json(error))


def _write(descriptor: int, line: bytes) -> None:
    rest = memoryview(line)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
