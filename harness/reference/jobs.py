"""Jobs of the bundled server: calls that become tasks, by the modern era's extension.

The official SDK has no way to serve the tasks of 2025-11-25; there a job is a call like others.

A job is over when its time is: nothing runs meanwhile, so nothing can be left behind.
"""

from __future__ import annotations

import json
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import anyio
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding, ToolBinding
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolRequestParams, RequestParams, ToolAnnotations
from pydantic import Field
from typing_extensions import TypedDict

from harness.reference.callers import Caller, caller_of

TASKS: Final = "io.modelcontextprotocol/tasks"
CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
MODERN: Final = "2026-07-28"
JOBS_MAX: Final = 20_000  # kept; the oldest gives way
JOB_MAX_S: Final = 120.0
KEPT_MS: Final = 10 * 60 * 1000
POLL_MS: Final = 100
WAITS: Final = ToolAnnotations(
    read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False
)
UNKNOWN: Final = -32602


class Done(TypedDict):
    """What a job has come to; the label comes back as it was given."""

    label: str
    seconds: float


class TaskParams(RequestParams):
    """Which task it is about."""

    task_id: Annotated[str, Field(max_length=64)]
    input_responses: dict[str, Any] | None = None


@dataclass(slots=True)
class Job:
    """One job: whose, for how long, and since when."""

    identity: str
    caller: Caller
    label: str
    seconds: float
    created: float
    cancelled: bool = False

    @property
    def status(self) -> str:
        """How it stands now."""
        if self.cancelled:
            return "cancelled"
        return "completed" if self.left_s <= 0 else "working"

    @property
    def left_s(self) -> float:
        """How long it still takes."""
        return self.created + self.seconds - time.time()


class Jobs(Extension):
    """The tool `job`, and the methods by which its tasks are asked after."""

    identifier = TASKS

    def __init__(self) -> None:
        """Begin without a job."""
        self._jobs: OrderedDict[str, Job] = OrderedDict()

    def tools(self) -> Sequence[ToolBinding]:
        """The one tool whose calls may become tasks."""
        return (ToolBinding(job, kwargs={"annotations": WAITS}),)

    def methods(self) -> Sequence[MethodBinding]:
        """What a caller may ask of a task."""
        return (
            MethodBinding("tasks/get", TaskParams, self._get, frozenset({MODERN})),
            MethodBinding("tasks/cancel", TaskParams, self._cancel, frozenset({MODERN})),
            MethodBinding("tasks/update", TaskParams, self._update, frozenset({MODERN})),
        )

    async def intercept_tool_call(
        self,
        params: CallToolRequestParams,
        ctx: ServerRequestContext[Any, Any],
        call_next: CallNext,
    ) -> HandlerResult:
        """Make a task of a job where the caller can deal with one."""
        if params.name != "job" or not _takes_task(ctx):
            return await call_next(ctx)
        arguments = params.arguments or {}
        seconds, label = arguments.get("seconds"), arguments.get("label", "")
        if not isinstance(seconds, int | float) or not 0 <= seconds <= JOB_MAX_S:
            return await call_next(ctx)  # which says what is wrong with it
        if len(self._jobs) >= JOBS_MAX:
            self._jobs.popitem(last=False)
        made = Job(
            identity=secrets.token_urlsafe(24),
            caller=caller_of(ctx.request),
            label=str(label)[:1024],
            seconds=seconds,
            created=time.time(),
        )
        self._jobs[made.identity] = made
        return {"resultType": "task", **_described(made)}

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> HandlerResult:
        found = self._find(ctx, params)
        described = _described(found)
        if found.status == "completed":
            described["result"] = _outcome(found)
        return described

    async def _cancel(
        self, ctx: ServerRequestContext[Any, Any], params: TaskParams
    ) -> HandlerResult:
        found = self._find(ctx, params)
        found.cancelled = found.cancelled or found.status == "working"
        return {}

    async def _update(
        self, ctx: ServerRequestContext[Any, Any], params: TaskParams
    ) -> HandlerResult:
        self._find(ctx, params)  # a job asks nothing, so there is nothing to take
        return {}

    def _find(self, ctx: ServerRequestContext[Any, Any], params: TaskParams) -> Job:
        found = self._jobs.get(params.task_id)
        if found is None or found.caller != caller_of(ctx.request):
            raise MCPError(UNKNOWN, "there is no such task for this caller")
        return found


async def job(seconds: Annotated[float, Field(ge=0, le=JOB_MAX_S)], label: str = "") -> Done:
    """Take a while; a caller that can have a task is given one, the others wait."""
    if len(label) > 1024:  # noqa: PLR2004 - a label, not a letter
        raise ToolError("a label may have 1024 characters")
    await anyio.sleep(seconds)
    return Done(label=label, seconds=seconds)


def _takes_task(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether the caller declared, with this very request, that it can deal with a task."""
    if ctx.protocol_version < MODERN:
        return False
    declared: Any = dict(ctx.meta or {}).get(CAPABILITIES)
    extensions = declared.get("extensions") if isinstance(declared, dict) else None
    return isinstance(extensions, dict) and TASKS in extensions


def _described(found: Job) -> dict[str, Any]:
    created = datetime.fromtimestamp(found.created, UTC).isoformat()
    now = datetime.now(UTC).isoformat()
    return {
        "taskId": found.identity,
        "status": found.status,
        "createdAt": created,
        "lastUpdatedAt": now,
        "ttlMs": KEPT_MS,
        "pollIntervalMs": POLL_MS,
    }


def _outcome(found: Job) -> dict[str, Any]:
    """What the plain call would have answered."""
    content = {"label": found.label, "seconds": found.seconds}
    text = json.dumps(content)
    return {"content": [{"type": "text", "text": text}], "structuredContent": content}
