"""Tools of the bundled server that ask their caller something, or tell it of a change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import anyio
from mcp.server import MCPServer
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.elicitation import AcceptedElicitation, ElicitationResult
from mcp.server.extension import Extension
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.resolve import Elicit, ListRoots, Resolve, Sample
from mcp.server.session import ServerSession
from mcp.types import (
    CallToolRequestParams,
    CreateMessageResult,
    EmptyResult,
    ListRootsResult,
    SamplingMessage,
    SubscribeRequestParams,
    TextContent,
    ToolAnnotations,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

ANSWER_S = 30.0  # how long a caller may think before its call is given up
TEXT_LIMIT = 16 * 1024  # characters of what is asked
TOKENS_MAX = 256
SUBSCRIBERS_MAX = 20_000  # sessions that hear of the board; the oldest gives way
BOARD = "squall://board"

ASKS = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True
)
WRITES = ToolAnnotations(
    read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False
)


class Summary(TypedDict):
    """What the caller's model made of a text."""

    label: str
    summary: str
    model: str


class Consent(BaseModel):
    """The form that a caller's user fills in."""

    sure: bool = Field(True, description="whether to go on")
    reason: str = Field("none given", max_length=200)
    priority: Literal["low", "high"] = "low"


class Consented(TypedDict):
    """What the caller's user did with the form."""

    label: str
    action: str
    reason: str


class Roots(TypedDict):
    """The folders that the caller names."""

    label: str
    roots: list[str]


class Touched(TypedDict):
    """How often the board has been written on."""

    label: str
    version: int


class Asking(Extension):
    """Gives up a call whose caller does not answer what it is asked."""

    identifier = "io.squall/asking"

    async def intercept_tool_call(
        self,
        params: CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        """Bound the time of a call that asks; the others are none of its business."""
        if params.name not in {"summarize", "confirm", "roots"}:
            return await call_next(ctx)
        try:
            with anyio.fail_after(ANSWER_S):
                return await call_next(ctx)
        except TimeoutError:
            raise ToolError(f"the caller gave no answer within {ANSWER_S:g} s") from None


class Board:
    """A resource that changes, and the legacy sessions that want to hear of it."""

    def __init__(self) -> None:
        """Begin with an empty board."""
        self.version = 0
        self.label = ""
        self._subscribers: dict[ServerSession, None] = {}

    def subscribe(self, session: ServerSession) -> None:
        """Tell `session` of changes from now on."""
        if len(self._subscribers) >= SUBSCRIBERS_MAX:
            del self._subscribers[next(iter(self._subscribers))]
        self._subscribers[session] = None

    def unsubscribe(self, session: ServerSession) -> None:
        """Tell it no longer; one that was never told is no error."""
        self._subscribers.pop(session, None)

    def subscribers(self) -> Iterator[ServerSession]:
        """Those who hear of it now."""
        return iter(tuple(self._subscribers))


def ask_model(text: str) -> Sample:
    """Ask the model to sum a text up."""
    if len(text) > TEXT_LIMIT:
        raise ToolError(f"a text may have {TEXT_LIMIT} characters")
    content = TextContent(type="text", text=text)
    return Sample([SamplingMessage(role="user", content=content)], max_tokens=TOKENS_MAX)


def ask_user(question: str) -> Elicit[Consent]:
    """Ask the user to fill in the form."""
    return Elicit(question[:TEXT_LIMIT], Consent)


def ask_roots() -> ListRoots:
    """Ask the client for its folders."""
    return ListRoots()


def add_asking(server: MCPServer) -> None:
    """Add the tools that ask."""

    @server.tool(annotations=ASKS)
    async def summarize(
        text: str, said: Annotated[CreateMessageResult, Resolve(ask_model)], label: str = ""
    ) -> Summary:
        """Let the caller's own model sum a text up."""
        del text
        content = said.content
        summary = content.text if isinstance(content, TextContent) else ""
        return Summary(label=label, summary=summary[:TEXT_LIMIT], model=said.model[:200])

    @server.tool(annotations=ASKS)
    async def confirm(
        question: str,
        consent: Annotated[ElicitationResult[Consent], Resolve(ask_user)],
        label: str = "",
    ) -> Consented:
        """Ask the caller's user to confirm something, and say what came of it."""
        del question
        reason = consent.data.reason if isinstance(consent, AcceptedElicitation) else ""
        return Consented(label=label, action=consent.action, reason=reason)

    @server.tool(annotations=ASKS)
    async def roots(
        named: Annotated[ListRootsResult, Resolve(ask_roots)], label: str = ""
    ) -> Roots:
        """Name the folders that the caller lets its servers see."""
        return Roots(label=label, roots=[str(root.uri) for root in named.roots[:100]])


def add_board(server: MCPServer) -> None:
    """Add the resource that changes, the tool that changes it, and its subscriptions."""
    board = Board()

    @server.resource(BOARD, mime_type="text/plain")
    def read_board() -> str:
        return f"version {board.version}: {board.label}"

    @server.tool(annotations=WRITES)
    async def touch(ctx: Context[Any, Any], label: str = "") -> Touched:
        """Write on the board, and tell whoever listens."""
        board.version += 1
        board.label = label[:TEXT_LIMIT]
        version = board.version
        await ctx.notify_resource_updated(BOARD)
        for session in board.subscribers():
            try:
                with anyio.fail_after(1):
                    await session.send_resource_updated(BOARD)
            except (TimeoutError, anyio.ClosedResourceError, anyio.BrokenResourceError):
                board.unsubscribe(session)
        return Touched(label=label, version=version)

    async def subscribe(
        ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams
    ) -> EmptyResult:
        if str(params.uri) == BOARD:
            board.subscribe(ctx.session)
        return EmptyResult()

    async def unsubscribe(
        ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams
    ) -> EmptyResult:
        if str(params.uri) == BOARD:
            board.unsubscribe(ctx.session)
        return EmptyResult()

    low = server._lowlevel_server  # noqa: SLF001 - the SDK's high level has no door for these two
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)
