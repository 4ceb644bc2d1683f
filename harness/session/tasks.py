"""A call that became a task of the server's: asked after until its result is there.

Of 2025-11-25, where a client asks for a task and fetches its result with `tasks/result`, and of
the extension `io.modelcontextprotocol/tasks`, where a server makes one of its own accord.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic_core import to_json

from harness.clock import NS_PER_MS, NS_PER_S, Clock
from harness.outcome import Outcome, Reason
from harness.session.inputs import INPUTS_MAX, ended, fulfil
from harness.wire.reply import Reply
from harness.wire.shapes import misshape
from harness.wire.speaker import Speaker

COURTESY_NS: Final = NS_PER_S  # how long a message that calls something off may take
POLL_MS_MIN, POLL_MS, POLL_MS_MAX = 10, 500, 60_000
TASK_ID_MAX: Final = 1024  # characters
UNKNOWN_TASK_CODES: Final = frozenset({-32602, -32600, -32001, -32002})
OVER: Final = ("completed", "failed", "cancelled")  # a tuple: a status may be anything
REJECTIONS: Final = frozenset({401, 403, 404})  # the session's policy has to see these

Request = Callable[[str, bytes, str], Awaitable[Reply]]


class ServerTask:
    """One task, from its creation to its end."""

    def __init__(
        self, client: Speaker, clock: Clock, request: Request, method: str, deadline_ns: int
    ) -> None:
        """`request` sends within the deadline; `method` is what the task's result answers."""
        self._client = client
        self._clock = clock
        self._request = request
        self._method = method
        self._deadline_ns = deadline_ns
        self._legacy = client.era == "legacy"
        self._answered: set[str] = set()
        self.id = ""

    async def follow(self, created: Reply, result: dict[str, Any]) -> Reply:
        """What the call came to in the end; never later than the deadline and a courtesy."""
        counts = self._client.inbox.counts
        if not self._legacy and not self._client.inbox.rules.tasks:
            words = "the server made a task of it, which this client had not declared"
            return ended(created, Outcome.PROTOCOL_ERROR, Reason.UNDECLARED, words)
        task = result["task"] if self._legacy else result
        identity = task.get("taskId")
        if not isinstance(identity, str) or not 0 < len(identity) <= TASK_ID_MAX:
            return ended(created, Outcome.WRONG, Reason.RESULT_SHAPE, "a task without its taskId")
        self.id = identity
        counts["tasks:created"] += 1
        reply = created
        while True:
            over = await self._look_at(reply, task)
            if over is None:
                over = await self._wait(reply, task)
            if over is not None:
                return over
            asked = await self._ask("tasks/get")
            counts["tasks:polls"] += 1
            if asked.outcome is Outcome.OK and isinstance(asked.result, dict):
                reply, task = asked, asked.result
            elif asked.error is not None and asked.error.get("code") in UNKNOWN_TASK_CODES:
                counts["tasks:lost"] += 1
                return ended(asked, Outcome.PROTOCOL_ERROR, Reason.TASK_LOST, asked.detail)
            elif asked.outcome is Outcome.OK or asked.status in REJECTIONS:
                return asked
            else:
                counts["tasks:poll_failed"] += 1  # the task lives on: it is asked after again

    async def cancel(self) -> None:
        """Tell the server that nobody waits for it any more; what it says to that is no matter."""
        self._client.inbox.counts["tasks:cancel_sent"] += 1
        limit_ns = self._clock.now_ns() + COURTESY_NS
        params = to_json({"taskId": self.id})
        await self._client.request("tasks/cancel", params, name=self.id, deadline_ns=limit_ns)

    async def _ask(self, method: str, **more: Any) -> Reply:
        return await self._request(method, to_json({"taskId": self.id, **more}), self.id)

    async def _look_at(self, reply: Reply, task: dict[str, Any]) -> Reply | None:
        """See how the task stands; a reply when that is the end of it."""
        status = task.get("status")
        # A legacy task asks, and is answered, on the stream of its result.
        if status in OVER or (self._legacy and status == "input_required"):
            self._client.inbox.counts[f"tasks:{status}"] += 1
            return await self._settle(reply, task, str(status))
        if status == "input_required":
            return await self._update(reply, task)
        if status != "working":
            words = f"a task of the unknown status {str(status)[:40]!r}"
            return ended(reply, Outcome.WRONG, Reason.RESULT_SHAPE, words)
        return None

    async def _wait(self, reply: Reply, task: dict[str, Any]) -> Reply | None:
        """Leave the server alone for as long as it asks; a reply when there is no more time."""
        until_ns = self._clock.now_ns() + _interval_ms(task) * NS_PER_MS
        await self._clock.sleep_until(min(until_ns, self._deadline_ns))
        if until_ns < self._deadline_ns:
            return None
        await self.cancel()
        words = f"the task was still {task.get('status')} at the deadline"
        return ended(reply, Outcome.TIMEOUT, Reason.DEADLINE, words)

    async def _update(self, reply: Reply, task: dict[str, Any]) -> Reply | None:
        """Answer what the task asks and has not asked before."""
        requests = task.get("inputRequests")
        fresh: object = requests
        if isinstance(requests, dict) and requests:
            fresh = {key: one for key, one in requests.items() if key not in self._answered}
            if not fresh:
                return None
        responses = await fulfil(self._client.inbox, self._clock, reply, fresh)
        if not isinstance(responses, Reply) and len(self._answered) + len(responses) > INPUTS_MAX:
            words = "the task asked for input again and again"
            responses = ended(reply, Outcome.PROTOCOL_ERROR, Reason.INPUT_ENDLESS, words)
        if isinstance(responses, Reply):
            await self.cancel()
            return responses
        self._answered.update(responses)
        self._client.inbox.counts["rounds"] += 1
        updated = await self._ask("tasks/update", inputResponses=responses)
        return None if updated.outcome is Outcome.OK else updated

    async def _settle(self, reply: Reply, task: dict[str, Any], status: str) -> Reply:
        """What a task that is over makes of its call."""
        if status == "cancelled":
            words = f"the server cancelled the task: {task.get('statusMessage', '')}"
            return ended(reply, Outcome.TOOL_ERROR, Reason.TASK_CANCELLED, words)
        if self._legacy:
            reply = await self._ask("tasks/result")
            if reply.outcome is Outcome.OK:
                _judge(reply, self._method, reply.result)
            elif reply.error is not None:
                reply.reason = Reason.TASK_FAILED
            return reply
        if status == "failed":
            words = f"the task failed: {task.get('error', '')}"
            return ended(reply, Outcome.PROTOCOL_ERROR, Reason.TASK_FAILED, words)
        _judge(reply, self._method, task.get("result"))
        return reply


def is_task(result: dict[str, Any], *, asked: bool) -> bool:
    """Whether a result says that the call became a task; a legacy one only when `asked` for."""
    if asked and isinstance(result.get("task"), dict) and "content" not in result:
        return True
    return result.get("resultType") == "task"


def _interval_ms(task: dict[str, Any]) -> int:
    """How long the server asks to be left alone, within reason."""
    asked = task.get("pollIntervalMs", task.get("pollInterval"))
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        return POLL_MS
    return int(min(max(asked, POLL_MS_MIN), POLL_MS_MAX))


def _judge(reply: Reply, method: str, result: object) -> None:
    """Hold the result that a task has brought to what its request promised."""
    reply.result = result
    wrong = misshape(method, result)
    if wrong is not None:
        reply.outcome, reply.reason, reply.detail = Outcome.WRONG, Reason.RESULT_SHAPE, wrong
    elif isinstance(result, dict) and result.get("isError"):
        reply.outcome, reply.reason = Outcome.TOOL_ERROR, Reason.TOOL_ERROR
