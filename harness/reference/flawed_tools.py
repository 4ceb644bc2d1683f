"""Flawed ways of calling tools, one switch each: what they hold meanwhile, and how they fail."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any, Final

import anyio
from anyio.abc import ByteStream
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, InputRequiredResult, TextContent

from harness.flaws import Flaw, Flaws
from harness.reference.downstream import BusyError

CONNECTIONS: Final = 4
FAILED_S: Final = 0.25  # until somebody rolls the shared transaction back
POOLED: Final = frozenset({
    "search", "fetch", "append_note", "read_notes", "remember", "recall",
})  # fmt: skip
FLAWS: Final = frozenset({
    Flaw.POOL_HELD_ACROSS_AWAIT, Flaw.RATELIMIT_IN_PAYLOAD, Flaw.ERROR_BREAKS_SCHEMA,
    Flaw.SCHEMA_LIES, Flaw.POOL_LEAK_ON_CANCEL, Flaw.TRANSACTION_LEFT_FAILED,
})  # fmt: skip


class FlawedServer(MCPServer):
    """An MCP server with some of these flaws switched on."""

    def __init__(
        self, name: str, *, flaws: Flaws, store: tuple[str, int] | None = None, **more: Any
    ) -> None:
        """Give tools the usual server; `store` is where its dependency is, if it has one."""
        super().__init__(name, **more)
        self._store = store
        self._lines: set[ByteStream] = set()
        self._flaws = flaws
        self._pool = anyio.CapacityLimiter(CONNECTIONS)
        self._failed_until = 0.0

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Call a tool."""
        async with AsyncExitStack() as held:
            if Flaw.POOL_HELD_ACROSS_AWAIT in self._flaws and name in POOLED:
                await held.enter_async_context(self._pool)
            line = await self._taken(name)
            if Flaw.SCHEMA_LIES in self._flaws and name == "search":
                self._believe(name)
            self._stand_in_line()
            try:
                result = await super().call_tool(name, arguments, context)
            except ToolError as error:
                self._failed_until = anyio.current_time() + FAILED_S
                return self._disguised(name, error)
            await self._give_back(line)
            return result

    async def _taken(self, name: str) -> ByteStream | None:
        """pool-leak-on-cancel: a line to the dependency, for as long as the call lasts."""
        leaks = Flaw.POOL_LEAK_ON_CANCEL in self._flaws and name == "schedule_note"
        if not leaks or self._store is None:
            return None
        line = await anyio.connect_tcp(*self._store)
        self._lines.add(line)
        return line

    async def _give_back(self, line: ByteStream | None) -> None:
        """pool-leak-on-cancel: nobody comes here but a call that went well."""
        if line is not None:
            self._lines.discard(line)
            await line.aclose()

    def _stand_in_line(self) -> None:
        """transaction-left-failed: whoever comes after an error is refused for it."""
        failed = anyio.current_time() < self._failed_until
        if failed and Flaw.TRANSACTION_LEFT_FAILED in self._flaws:
            raise ToolError("current transaction is aborted, commands are ignored until its end")

    def _believe(self, name: str) -> None:
        """schema-lies: the schema is published, and what goes out is not held against it."""
        tool = self._tool_manager.get_tool(name)
        if tool is not None:
            tool.fn_metadata.output_model = dict[str, Any]

    def _disguised(self, name: str, error: ToolError) -> CallToolResult:
        """ratelimit-in-payload, error-breaks-schema: what is answered in an error's place."""
        if Flaw.RATELIMIT_IN_PAYLOAD in self._flaws and name == "search" and _is_busy(error):
            row = {"id": "error", "title": "rate_limited", "snippet": str(error)}
            return _result(str(row), {"result": [row]})
        if Flaw.ERROR_BREAKS_SCHEMA in self._flaws:
            return _result(str(error), {"error": str(error)}, is_error=True)
        raise error


def _result(text: str, structured: dict[str, Any], *, is_error: bool = False) -> CallToolResult:
    content = [TextContent(type="text", text=text)]
    return CallToolResult(content=content, structured_content=structured, is_error=is_error)


def _is_busy(error: BaseException | None) -> bool:
    return error is not None and (isinstance(error, BusyError) or _is_busy(error.__cause__))
