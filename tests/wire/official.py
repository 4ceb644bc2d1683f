"""The official SDK's server with the tools that tests of the wire need, on a port of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from anyio import fail_after
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.streamable_http import EventMessage, EventStore
from mcp_types import SamplingMessage, TextContent
from pydantic import BaseModel

from tests.wire.scripted import WAIT_S, until


class Events(EventStore):
    """Keeps events in order, so that a stream can be resumed."""

    def __init__(self) -> None:
        self._events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        """Number it."""
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        """Give what came later on the same stream."""
        last = int(last_event_id)
        stream_id = self._events[last - 1][0]
        for number, (of_stream, message) in enumerate(self._events[last:], start=last + 1):
            if of_stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream_id


class Colour(BaseModel):
    """A form."""

    colour: str = "red"


class Server:
    """The official SDK's server with the tools these tests need."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.started = asyncio.Event()
        self.url = ""
        self.mcp = MCPServer("real", version="1")
        self.mcp.tool()(self.echo)
        self.mcp.tool()(self.fail)
        self.mcp.tool()(self.slow)
        self.mcp.tool()(self.progress)
        self.mcp.tool()(self.leave)
        self.mcp.tool()(self.ask)

    async def echo(self, text: str) -> str:
        """Say it back."""
        return text

    async def fail(self) -> str:
        """Fail."""
        raise ValueError("as asked")

    async def slow(self) -> str:
        """Never come back."""
        self.started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "never"

    async def progress(self, ctx: Context) -> str:
        """Tell of progress first."""
        for step in range(3):
            await ctx.report_progress(step + 1, 3)
        return "done"

    async def ask(self, ctx: Context) -> str:
        """Ask the client's user, and its model, before the answer."""
        chosen = await ctx.elicit("Which colour?", Colour)
        said = await ctx.session.create_message(
            [SamplingMessage(role="user", content=TextContent(type="text", text="Name a tree"))],
            max_tokens=9,
        )
        roots = await ctx.session.list_roots()
        return f"{chosen.action} {said.content} {len(roots.roots)}"

    async def leave(self, ctx: Context) -> str:
        """Close the reply's stream before the reply."""
        await ctx.close_sse_stream()
        await asyncio.sleep(0.05)
        return "back"


@contextlib.asynccontextmanager
async def official(**options: Any) -> AsyncIterator[Server]:
    """The server, until the block ends; `options` are those of its app."""
    server = Server()
    app = server.mcp.streamable_http_app(**options)
    config = uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    runner = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"
        task = asyncio.ensure_future(runner._serve(sockets=[listener]))
        try:
            with fail_after(WAIT_S):
                await until(lambda: runner.started or task.done())
            yield server
        finally:
            runner.should_exit = True
            with fail_after(WAIT_S):
                await task
