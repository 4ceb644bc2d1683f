"""An MCP server whose capacity is known: so many slots, each taken for a fixed time by every call.

Run as `python -m tests.capacity.slots PORT SLOTS SERVICE_MS [FAIL_ABOVE]`. A slot is free again at
the moment it should be, however late the timer rings, so the capacity is slots by service time,
exactly. With a fourth figure, calls that find more than that many waiting are refused.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import sys
from typing import Any

TOOL = {"name": "work", "inputSchema": {"type": "object"}}
INITIALIZED: dict[str, Any] = {
    "protocolVersion": "2025-11-25",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "slots", "version": "1"},
}


class Slots:
    """Answers every call when a slot has been taken for it as long as it takes."""

    def __init__(self, slots: int, service_s: float, waiting_max: float) -> None:
        self._free_s = [0.0] * slots
        self._service_s = service_s
        self._waiting_max = waiting_max
        self._waiting = 0

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer what comes over one connection, one request after the other."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
                body = await reader.readexactly(int(length or b"0"))
                writer.write(await self._answer(head, body))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, head: bytes, body: bytes) -> bytes:
        if not head.startswith(b"post"):
            return b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n"
        message = json.loads(body)
        match message["method"]:
            case "initialize":
                return _reply(message, INITIALIZED)
            case "tools/list":
                return _reply(message, {"tools": [TOOL]})
            case "tools/call":
                return await self._work(message)
            case _ if "id" in message:
                error = {"code": -32601, "message": "no such method"}
                return _http({"jsonrpc": "2.0", "id": message["id"], "error": error})
        return b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"

    async def _work(self, message: dict[str, Any]) -> bytes:
        if self._waiting > self._waiting_max:
            return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
        loop = asyncio.get_running_loop()
        done_s = max(loop.time(), heapq.heappop(self._free_s)) + self._service_s
        heapq.heappush(self._free_s, done_s)
        self._waiting += 1
        await asyncio.sleep(done_s - loop.time())
        self._waiting -= 1
        return _reply(message, {"content": [{"type": "text", "text": "done"}]})


def _reply(message: dict[str, Any], result: dict[str, Any]) -> bytes:
    return _http({"jsonrpc": "2.0", "id": message["id"], "result": result})


def _http(body: dict[str, Any]) -> bytes:
    text = json.dumps(body).encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % len(text) + text


async def main() -> None:
    """Serve until killed."""
    port, slots, service_ms, *rest = map(float, sys.argv[1:])
    serve = Slots(int(slots), service_ms / 1000, rest[0] if rest else float("inf"))
    server = await asyncio.start_server(serve.connection, "127.0.0.1", int(port))
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
