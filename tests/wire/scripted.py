"""A server that sends exactly the bytes a test gives, in the segments it gives, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json, to_json

from harness.clock import NS_PER_S, RunClock
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.limits import Limits
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook

CLOCK = RunClock()
WAIT_S = 10
ECHO = b'{"name":"echo","arguments":{}}'
CONTENT: dict[str, Any] = {"content": [{"type": "text", "text": "hi"}]}
SESSION = "session-1"


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    raw_head: bytes
    body: bytes

    @property
    def message(self) -> Any:
        """The JSON of the body."""
        return from_json(self.body)


class Peer:
    """The server's end of one connection."""

    def __init__(
        self, server: ScriptedServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer

    async def request(self) -> Request:
        """The next request; also kept in the server's list."""
        raw_head = await self._reader.readuntil(b"\r\n\r\n")
        first, *lines = raw_head.decode("latin-1").split("\r\n")[:-2]
        method, path, _ = first.split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        body = await self._reader.readexactly(int(headers.get("content-length", "0")))
        request = Request(method=method, path=path, headers=headers, raw_head=raw_head, body=body)
        self._server.requests.append(request)
        return request

    async def read(self, size_bytes: int) -> bytes:
        """At most so many bytes of whatever comes."""
        return await self._reader.read(size_bytes)

    async def send(self, *segments: bytes) -> None:
        """Send each segment so that the client reads it alone."""
        for segment in segments:
            if self._writer.transport.is_closing():
                raise ConnectionResetError
            self._writer.write(segment)
            await self._writer.drain()
            # Both ends share one loop: a few turns of it let the client read before the next.
            for _ in range(4):
                await asyncio.sleep(0)

    def end(self) -> None:
        """Close in order, after what was sent."""
        self._writer.close()

    def reset(self) -> None:
        """Close with an RST."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def stall(self) -> None:
        """Read nothing more, for as long as the server stands."""
        self._reader._transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.Event().wait()

    async def gone(self) -> str:
        """How the client left: `end` or `reset`; what it still sent is thrown away."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            return "reset"
        return "end"


Serve = Callable[[Peer], Awaitable[None]]


class ScriptedServer:
    """Runs a script for each connection it accepts."""

    def __init__(self, serve: Serve | Sequence[Serve]) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.requests: list[Request] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.port}/mcp"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        serve = self._serve
        if isinstance(serve, Sequence):
            serve = serve[min(self.connections, len(serve)) - 1]
        with contextlib.suppress(
            asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
        ):
            await serve(Peer(self, reader, writer))
            await reader.read()  # stay until the client leaves
        writer.close()

    async def stop(self) -> None:
        """End every script."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def serving(serve: Serve | Sequence[Serve]) -> AsyncIterator[ScriptedServer]:
    """A server that runs `serve` for each connection; of a list, one for each in turn."""
    server = ScriptedServer(serve)
    listener = await asyncio.start_server(server._accept, "127.0.0.1", 0, limit=64 * 1024 * 1024)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()


@contextlib.asynccontextmanager
async def connected(
    url: str,
    *,
    era: Literal["auto", "legacy", "modern"] = "legacy",
    limits: Limits | None = None,
    schemas: SchemaBook | None = None,
    listen: bool = False,
    resume: bool = True,
) -> AsyncIterator[WireClient]:
    """A client of `url` whose sockets are closed at the end; nothing is opened yet."""
    client = WireClient(
        Endpoint.from_url(url),
        era=era,
        now_ns=CLOCK.now_ns,
        limits=limits or Limits(),
        schemas=schemas or SchemaBook(),
        listen=listen,
        resume=resume,
    )
    try:
        yield client
    finally:
        client.forget_session()
        client.drop_connections()
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Wait for something that no event tells of; the caller bounds the wait."""
    while not condition():  # noqa: ASYNC110 - it happens inside the client, which has no event
        await asyncio.sleep(0.001)


def within(seconds: float) -> int:
    """The deadline so far from now."""
    return CLOCK.now_ns() + int(seconds * NS_PER_S)


async def call(client: WireClient, *, seconds: float = WAIT_S, **options: Any) -> Reply:
    """One call of the tool `echo`."""
    return await client.request(
        "tools/call", ECHO, name="echo", deadline_ns=within(seconds), **options
    )


def response(call_id: Any, result: Any = CONTENT) -> bytes:
    """A JSON-RPC result."""
    return to_json({"jsonrpc": "2.0", "id": call_id, "result": result})


def error(call_id: Any, code: int, message: str = "no", **more: Any) -> bytes:
    """A JSON-RPC error."""
    content = {"code": code, "message": message, **more}
    return to_json({"jsonrpc": "2.0", "id": call_id, "error": content})


def http(
    body: bytes = b"",
    *,
    status: str = "200 OK",
    kind: str = "application/json",
    headers: tuple[str, ...] = (),
) -> bytes:
    """A whole HTTP reply with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    if body:
        lines.append(f"Content-Type: {kind}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def event(data: bytes, *, id: str = "", line_end: bytes = b"\r\n") -> bytes:  # noqa: A002  the field's own name
    """One server-sent event."""
    lines = [b"event: message", b"data: " + data]
    if id:
        lines.insert(0, b"id: " + id.encode())
    return line_end.join([*lines, b"", b""])


STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"


def chunk(payload: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def answering(make: Callable[[Request], bytes | tuple[bytes, ...]]) -> Serve:
    """A script that answers every request of a connection with the segments that `make` gives."""

    async def serve(peer: Peer) -> None:
        while True:
            made = make(await peer.request())
            await peer.send(*((made,) if isinstance(made, bytes) else made))

    return serve


INITIALIZE_RESULT: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "scripted", "version": "1"},
}


def legacy_reply(request: Request) -> bytes:
    """What a small, right server of the handshake era says."""
    session = f"Mcp-Session-Id: {SESSION}"
    if request.method == "DELETE":
        return http()
    if request.method == "GET":
        return http(status="405 Method Not Allowed")
    message = request.message
    if "id" not in message:
        return http(status="202 Accepted")
    if message["method"] == "initialize":
        return http(response(message["id"], INITIALIZE_RESULT), headers=(session,))
    if request.headers.get("mcp-session-id") != SESSION:
        return http(error("server-error", -32600, "Session not found"), status="404 Not Found")
    return http(response(message["id"]))
