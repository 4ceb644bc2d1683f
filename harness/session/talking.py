"""A call that is more than one request and one reply: rounds of input, progress, cancels, tasks.

Whatever it takes, to the journal it is one attempt: sent when the first request was, done when the
last reply was. Everything here is bounded by the call's deadline and by a count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import anyio
from pydantic_core import to_json

from harness.clock import NS_PER_MS, NS_PER_S, Clock
from harness.outcome import EndedBy, Outcome, Reason
from harness.session.inputs import ended, fulfil
from harness.session.tasks import COURTESY_NS, ServerTask, is_task
from harness.wire.inbox import Progress
from harness.wire.jsonrpc import decode
from harness.wire.reply import Reply
from harness.wire.speaker import Speaker

ROUNDS_MAX: Final = 10  # what the official clients allow too
STATE_ONLY_NS: Final = 50 * NS_PER_MS  # before a request that brings nothing but its state back
LINGER_S: Final = 0.25  # how long a reply to a cancelled request is listened for
TASK_KEPT_MS: Final = 60_000  # how long a task shall be kept beyond its call's deadline
INTERACTIVE: Final = frozenset({"tools/call", "prompts/get", "resources/read"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Talk:
    """What a step asks for beyond its reply."""

    progress: bool = False
    patience_ns: int = 0  # progress puts the deadline off, up to so long after the start
    cancel_after_ns: int | None = None
    task: bool = False
    subscription: Literal["", "subscribe", "unsubscribe"] = ""


PLAIN: Final = Talk()


@dataclass(eq=False, kw_only=True)
class Conversation:
    """One logical call; `hold` is all of it, `finish` what is left after its first reply."""

    client: Speaker
    clock: Clock
    method: str
    params: bytes
    name: str
    deadline_ns: int
    talk: Talk = PLAIN
    lose_reply: bool = False
    progress: Progress | None = None
    _began_ns: int = 0
    _call_id: int = 0
    _task: ServerTask | None = None

    async def hold(self) -> Reply:
        """Ask, and see to it that the call ends as the step wants it to."""
        self._began_ns = self.clock.now_ns()
        if self.talk.task and self.client.era == "legacy":
            left_ms = max(0, self.deadline_ns - self._began_ns) // NS_PER_MS
            self.params = b'%b,"task":{"ttl":%d}}' % (self.params[:-1], left_ms + TASK_KEPT_MS)
        if self.talk.cancel_after_ns is None and not self.talk.patience_ns:
            return await self._whole()
        return await self._watched()

    async def finish(self, first: Reply) -> Reply:
        """Go on from a reply that is not the last word, until one is."""
        reply, sent_bytes, got_bytes, rounds = first, first.request_bytes, first.reply_bytes, 0
        asked_for_task = self.talk.task and self.client.era == "legacy"
        while isinstance(reply.result, dict):
            if self.method == "tools/call" and is_task(reply.result, asked=asked_for_task):
                self._task = ServerTask(
                    self.client, self.clock, self._request, self.method, self.deadline_ns
                )
                reply = await self._task.follow(reply, reply.result)
                break
            late = reply.outcome is Outcome.TIMEOUT
            if late or reply.result.get("resultType") != "input_required":
                break
            rounds += 1
            answered = await self._answer(reply, reply.result, rounds)
            if isinstance(answered, Reply):
                reply = answered
                break
            self.client.inbox.counts["rounds"] += 1
            if self.progress is not None:
                self.progress.begin_again()
            reply = await self._request(self.method, answered, self.name)
            sent_bytes += reply.request_bytes
            got_bytes += reply.reply_bytes
        if reply is not first:
            reply.sent_ns, reply.first_ns = first.sent_ns, first.first_ns
            reply.request_bytes, reply.reply_bytes = sent_bytes, got_bytes
        return reply

    async def _whole(self) -> Reply:
        self._call_id = self.client.next_id
        first = await self.client.request(
            self.method,
            self.params,
            name=self.name,
            deadline_ns=self.deadline_ns,
            lose_reply=self.lose_reply,
        )
        return await self.finish(first)

    async def _request(self, method: str, params: bytes, name: str) -> Reply:
        self._call_id = self.client.next_id
        return await self.client.request(method, params, name=name, deadline_ns=self.deadline_ns)

    async def _answer(self, asked: Reply, result: dict[str, Any], rounds: int) -> bytes | Reply:
        """The parameters of the next round, or what the call ends as when there is none."""
        requests, state = result.get("inputRequests"), result.get("requestState")
        if self.method not in INTERACTIVE:
            words = f"input asked for {self.method}, which cannot carry it"
            return ended(asked, Outcome.PROTOCOL_ERROR, Reason.INPUT_MALFORMED, words)
        if rounds > ROUNDS_MAX:
            words = f"the server asked for input {ROUNDS_MAX} times and never finished"
            return ended(asked, Outcome.PROTOCOL_ERROR, Reason.INPUT_ENDLESS, words)
        if not isinstance(state, str | None) or (not requests and state is None):
            words = "expected inputRequests, or a requestState that is text"
            return ended(asked, Outcome.PROTOCOL_ERROR, Reason.INPUT_MALFORMED, words)
        params = decode(self.params)
        if requests:
            responses = await fulfil(self.client.inbox, self.clock, asked, requests)
            if isinstance(responses, Reply):
                return responses
            params["inputResponses"] = responses
        else:
            await self.clock.sleep_until(self.clock.now_ns() + STATE_ONLY_NS)
        if state is not None:
            params["requestState"] = state
        return to_json(params)

    # --- an end before the reply ---------------------------------------------------------------

    async def _watched(self) -> Reply:
        """The call, unless it is called off first: on purpose, or since it has gone quiet."""
        held: list[Reply] = []
        done = anyio.Event()
        quiet_ns = self.deadline_ns - self._began_ns
        if self.talk.patience_ns:
            self.deadline_ns = self._began_ns + self.talk.patience_ns

        async def run() -> None:
            held.append(await self._whole())
            done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            in_time = await self._wait(done, quiet_ns)
            if not in_time:
                await self._call_off(done)
            group.cancel_scope.cancel()
        if in_time:
            return held[0]
        if self.talk.cancel_after_ns is None:
            reply = Reply(Outcome.HANG, Reason.HANG, ended_by=EndedBy.DEADLINE)
        else:
            reply = Reply(Outcome.ABANDONED, Reason.CANCELLED, ended_by=EndedBy.CLIENT)
            reply.done_ns = self.clock.now_ns()
        reply.sent_ns = self._began_ns
        return reply

    async def _wait(self, done: anyio.Event, quiet_ns: int) -> bool:
        """Whether the call ended before it was to be called off."""
        while not done.is_set():
            now_ns = self.clock.now_ns()
            if self.talk.cancel_after_ns is not None:
                until_ns = self._began_ns + self.talk.cancel_after_ns
            else:
                last_ns = self.progress.last_ns if self.progress is not None else 0
                until_ns = max(last_ns, self._began_ns) + quiet_ns
            if until_ns <= now_ns:
                return False
            with anyio.move_on_after((until_ns - now_ns) / NS_PER_S):
                await done.wait()
        return True

    async def _call_off(self, done: anyio.Event) -> None:
        """Tell the server; where closing the stream tells it, whoever called closes it."""
        counts = self.client.inbox.counts
        if self._task is not None and self._task.id:
            await self._task.cancel()
        elif self.client.cancels_by_close:
            counts["cancelled:closed"] += 1
        else:
            told = to_json({"requestId": self._call_id, "reason": "the agent needs it no longer"})
            limit_ns = self.clock.now_ns() + COURTESY_NS
            await self.client.notify("notifications/cancelled", told, deadline_ns=limit_ns)
            with anyio.move_on_after(LINGER_S):
                await done.wait()
            counts["cancelled:answered" if done.is_set() else "cancelled:quiet"] += 1
