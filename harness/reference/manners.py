"""Sound servers that are unlike the hardened one: slow, quick to refuse, or with few rows to give.

None of it is a flaw, so nothing may be found in them: they keep squall from false alarms.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict, deque
from typing import Any, Final

import anyio
import pydantic_core
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, InputRequiredResult

from harness.reference.documents import Corpus, Document, Row
from harness.reference.guard import Application, Message, Receive, Scope, Send

SLOW_S: Final = 0.3  # of every call, in vain
SPARSE_ROWS: Final = 2
BODY_LIMIT_BYTES: Final = 256 * 1024
BIG_LIMIT_BYTES: Final = 64 * 1024
CALLS_PER_S: Final = 12  # of one session; more are told to come again
RARELY: Final = 250  # one call in so many is refused, whoever makes it
SESSIONS_MAX: Final = 20_000


class SlowServer(MCPServer):
    """slow: every call takes its time, and is answered right; one that is called off ends."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Wait, then call a tool."""
        await anyio.sleep(SLOW_S)
        return await super().call_tool(name, arguments, context)


class SparseDocuments:
    """sparse: there are one or two documents for anything that is asked, and no more."""

    def __init__(self, documents: Corpus) -> None:
        """Take the first of these."""
        self._documents = documents

    def close(self) -> None:
        """Give everything back."""
        self._documents.close()

    async def search(self, query: str, limit: int) -> list[Row]:
        """One or two rows, always the same ones for a query."""
        found = await self._documents.search(query, limit)
        return found[: 1 + sum(query.encode("utf-8", "replace")) % SPARSE_ROWS]

    async def fetch(self, number: int) -> Document | None:
        """The document with this number, if there is one."""
        return await self._documents.fetch(number)


class Refusing:
    """refusing: 413 for what is long, 403 for what is much, 429 for what is often."""

    def __init__(self, app: Application) -> None:
        """Stand in front of an application."""
        self._app = app
        self._count = 0
        self._lately: OrderedDict[str, deque[float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a tool's call before anything is done for it, or pass it on."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        first = await receive()
        body = bytes(first.get("body", b""))
        refused = None if first.get("more_body") else self._refuse(scope, body)
        if refused is not None:
            await _answer(refused, send)
            return
        pending = [first]

        async def replay() -> Message:
            return pending.pop() if pending else await receive()

        await self._app(scope, replay, send)

    def _refuse(self, scope: Scope, body: bytes) -> int | None:
        """Say with which status this is refused; None when it is not."""
        if len(body) > BODY_LIMIT_BYTES:
            return 413
        params = _called(body)
        if params is None:
            return None
        self._count += 1
        arguments = params.get("arguments")
        size = arguments.get("size_bytes", 0) if isinstance(arguments, dict) else 0
        if isinstance(size, int) and size > BIG_LIMIT_BYTES:
            return 403
        return 429 if self._is_often(scope) or self._count % RARELY == 0 else None

    def _is_often(self, scope: Scope) -> bool:
        """Whether this session has called more than it may in the last second."""
        session = dict(scope["headers"]).get(b"mcp-session-id", b"").decode("latin-1")
        lately = self._lately.setdefault(session or str(scope.get("client")), deque())
        self._lately.move_to_end(session or str(scope.get("client")))
        if len(self._lately) > SESSIONS_MAX:
            self._lately.popitem(last=False)
        now_s = time.monotonic()
        while lately and lately[0] < now_s - 1:
            lately.popleft()
        if len(lately) >= CALLS_PER_S:
            return True
        lately.append(now_s)
        return False


def _called(body: bytes) -> dict[str, Any] | None:
    """The params of a tool's call; None for every other message."""
    try:
        message = pydantic_core.from_json(body)
    except ValueError:
        return None
    if not isinstance(message, dict) or message.get("method") != "tools/call":
        return None
    params = message.get("params")
    return params if isinstance(params, dict) else {}


async def _answer(status: int, send: Send) -> None:
    said = {413: "the request is too large", 403: "that is not allowed", 429: "not so often"}
    body = json.dumps({"error": said[status]}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if status == 429:  # noqa: PLR2004
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
