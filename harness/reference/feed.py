"""A tool that says much while it works: what a slow reader makes a server wait for."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from pydantic import Field
from typing_extensions import TypedDict

PIECE = "still working on the report; " * 2048  # about 60 KB
FEED_MAX_BYTES = 64 * 1024 * 1024

READS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)


class Fed(TypedDict):
    """How much was said on the way; the label comes back as it was given."""

    label: str
    pieces: int


def add_feed(server: MCPServer) -> None:
    """Add the tool."""

    @server.tool(annotations=READS)
    async def feed(
        size_bytes: Annotated[int, Field(ge=0, le=FEED_MAX_BYTES)],
        ctx: Context[Any, Any],
        label: str = "",
    ) -> Fed:
        """Report progress in long words until so many bytes have been said."""
        pieces = size_bytes // len(PIECE) + 1
        for number in range(pieces):
            await ctx.report_progress(number + 1, pieces, PIECE)
        return Fed(label=label, pieces=pieces)
