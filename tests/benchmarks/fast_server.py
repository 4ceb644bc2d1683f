"""A small MCP server that costs next to nothing, so that what a benchmark measures is the client.

The path chooses the reply: `/json`, `/sse` (one segment) or `/sse3` (head, event and end apart).
Run as `python -m tests.benchmarks.fast_server [PORT]`; it prints its port and serves until stdin
ends. Several may share a port.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import sys
from email.utils import formatdate
from typing import Final, cast

import uvloop

_LENGTH = re.compile(rb"\r\n[Cc]ontent-[Ll]ength: *([0-9]+)")
_ID = re.compile(rb'"id":("[^"]*"|[0-9]+)')
_METHOD = re.compile(rb'"method":"([^"]+)"')
_TEXT = b"x" * 100
_CALL = b'{"content":[{"type":"text","text":"%b"}],"isError":false}' % _TEXT
_INITIALIZE = (
    b'{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},'
    b'"serverInfo":{"name":"fast","version":"1"}}'
)
_DISCOVER = (
    b'{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"resultType":"complete"}'
)
_LIST = b'{"tools":[{"name":"echo","inputSchema":{"type":"object"}}]}'
_RESULTS: Final = {
    b"initialize": _INITIALIZE,
    b"server/discover": _DISCOVER,
    b"tools/list": _LIST,
}
_sessions = itertools.count(1)


class FastServer(asyncio.Protocol):
    """Answers each request from what is baked; echoes the JSON-RPC id."""

    date = b""

    def __init__(self) -> None:
        self._pending = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        pending = self._pending + data if self._pending else data
        while pending:
            end = pending.find(b"\r\n\r\n")
            if end < 0:
                break
            length = _LENGTH.search(pending, 0, end)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(pending) < whole:
                break
            self._answer(pending[: end + 2], pending[end + 4 : whole])
            pending = pending[whole:]
        self._pending = pending

    def _answer(self, head: bytes, body: bytes) -> None:
        transport = self._transport
        assert transport is not None
        if head.startswith(b"GET"):
            transport.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n"
            )
            return
        call_id = _ID.search(body)
        if call_id is None:
            status = b"202 Accepted" if head.startswith(b"POST") else b"200 OK"
            transport.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
            return
        named = _METHOD.search(body)
        method = named[1] if named else b""
        session = b""
        if method == b"initialize":
            session = b"Mcp-Session-Id: s%d\r\n" % next(_sessions)
        result = _RESULTS.get(method, _CALL)
        message = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (call_id[1], result)
        if head.startswith(b"POST /sse"):
            self._stream(transport, session, message, apart=head.startswith(b"POST /sse3"))
        else:
            transport.write(
                b"HTTP/1.1 200 OK\r\ndate: %b\r\nserver: fast\r\n%bcontent-length: %d\r\n"
                b"content-type: application/json\r\n\r\n%b"
                % (FastServer.date, session, len(message), message)
            )

    def _stream(
        self, transport: asyncio.Transport, session: bytes, message: bytes, *, apart: bool
    ) -> None:
        head = (
            b"HTTP/1.1 200 OK\r\ndate: %b\r\nserver: fast\r\n%bcache-control: no-store\r\n"
            b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            % (FastServer.date, session)
        )
        event = b"event: message\r\ndata: %b\r\n\r\n" % message
        chunk = b"%x\r\n%b\r\n" % (len(event), event)
        if not apart:
            transport.write(head + chunk + b"0\r\n\r\n")
            return
        # Straight to the socket: the loop would glue writes of one iteration into one segment.
        descriptor = transport.get_extra_info("socket").fileno()
        for segment in (head, chunk, b"0\r\n\r\n"):
            os.write(descriptor, segment)


async def _serve() -> None:
    loop = asyncio.get_running_loop()

    def _tick() -> None:
        FastServer.date = formatdate(usegmt=True).encode()
        loop.call_later(1, _tick)

    _tick()
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    server = await loop.create_server(FastServer, "127.0.0.1", port, backlog=16384, reuse_port=True)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - how the parent learns it
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    uvloop.run(_serve())
