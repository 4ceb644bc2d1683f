"""The flaw unvalidated-args: tools that index their arguments and hope for the best."""

from __future__ import annotations

import traceback
from typing import Any

from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension
from mcp.types import CallToolRequestParams, CallToolResult, TextContent

from harness.reference.documents import Corpus


class Unvalidated(Extension):
    """Answers `search` and `fetch` without holding their arguments against any schema."""

    identifier = "io.squall/unvalidated"

    def __init__(self, documents: Corpus) -> None:
        """Read the same documents as the tools that do."""
        self._documents = documents

    async def intercept_tool_call(
        self,
        params: CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        """Take the place of the two tools; the others are none of its business."""
        if params.name not in {"search", "fetch"}:
            return await call_next(ctx)
        try:
            result = await self._answer(params.name, params.arguments or {})
        except Exception:  # noqa: BLE001  - this is the flaw
            trace = TextContent(type="text", text=traceback.format_exc())
            return CallToolResult(content=[trace], is_error=True)
        return CallToolResult(content=[], structured_content=result)

    async def _answer(self, name: str, arguments: dict[str, Any]) -> Any:
        if name == "fetch":
            return await self._documents.fetch(int(arguments["id"].removeprefix("doc-")))
        query, limit = arguments["query"], arguments.get("limit", 10)
        return {"result": await self._documents.search(str(query), limit)}
