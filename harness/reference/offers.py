"""A tool that comes and goes while sessions are under way, and who is told of it."""

from __future__ import annotations

from functools import partial
from typing import Any, Final
from weakref import WeakSet

import anyio
from mcp.server import MCPServer, NotificationOptions
from mcp.server.connection import Connection
from mcp.server.context import ServerRequestContext
from mcp.server.mcpserver import Context
from mcp.types import ListToolsResult, PaginatedRequestParams, ToolAnnotations
from typing_extensions import TypedDict

from harness.flaws import Flaw, Flaws

MODERN_VERSION_MIN: Final = "2026-07-28"
PROMISED_MS: Final = 60_000  # what the flaw list-untold says that its list is good for
TELL_S: Final = 1.0

WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)
READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


class Published(TypedDict):
    """Whether the further tool is there now."""

    label: str
    offered: bool


class Bulletin(TypedDict):
    """What the further tool says; the label comes back as it was given."""

    label: str


def add_offers(server: MCPServer, flaws: Flaws) -> None:
    """Add the tool that changes what is offered, and list the tools as that allows."""
    listeners: WeakSet[Connection] = WeakSet()  # of the handshake era: whoever has listed
    low = server._lowlevel_server  # noqa: SLF001 - the SDK's high level has no door for these
    offered = turn = 0

    async def bulletin(label: str = "") -> Bulletin:
        """What is new; here today, and gone tomorrow."""
        return Bulletin(label=label)

    @server.tool(annotations=WRITES)
    async def publish(ctx: Context[Any, Any], label: str = "") -> Published:
        """Offer a further tool, or take it away again, and tell whoever listens."""
        nonlocal offered
        offered = 1 - offered
        now = bool(offered)
        if now:
            server.add_tool(bulletin, annotations=READS)
        else:
            server.remove_tool("bulletin")
        if Flaw.LIST_UNTOLD not in flaws:
            await ctx.notify_tools_changed()
            await _tell(listeners)
        return Published(label=label, offered=now)

    async def list_tools(
        ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams
    ) -> ListToolsResult:
        nonlocal turn
        del params
        connection = ctx.session._connection  # noqa: SLF001 - what outlives this request
        if connection.protocol_version < MODERN_VERSION_MIN:
            listeners.add(connection)
        tools = await server.list_tools()
        if Flaw.LIST_UNSTABLE in flaws:
            turn = (turn + 1) % len(tools)
            tools = tools[turn:] + tools[:turn]
        if Flaw.LIST_UNTOLD in flaws:
            return ListToolsResult(tools=tools, ttl_ms=PROMISED_MS)
        return ListToolsResult(tools=tools)

    low.add_request_handler("tools/list", PaginatedRequestParams, list_tools)
    says = NotificationOptions(tools_changed=True)
    # Replaced, since the SDK's own way to serve never says which notifications there are.
    low.create_initialization_options = partial(  # type: ignore[method-assign]
        low.create_initialization_options, says
    )


async def _tell(listeners: WeakSet[Connection]) -> None:
    """Tell every session of the handshake era; one that is gone is no error."""
    for connection in tuple(listeners):
        try:
            with anyio.fail_after(TELL_S):
                await connection.send_tool_list_changed()
        except (TimeoutError, anyio.ClosedResourceError, anyio.BrokenResourceError):
            listeners.discard(connection)
