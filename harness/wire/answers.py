"""Answers to what a server asks, on their way: a few at once, each a task of its client's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic_core import to_json

from harness.clock import NS_PER_S
from harness.outcome import Outcome
from harness.wire.answering import PING
from harness.wire.inbox import Inbox
from harness.wire.reply import Reply

ANSWERS_MAX: Final = 8  # answers to server requests under way at once, per client


class Answers:
    """One client's; `post` sends an encoded message and gives the receipt."""

    __slots__ = ("_now_ns", "_post", "_tasks")

    def __init__(
        self, post: Callable[[bytes], Awaitable[Reply]], now_ns: Callable[[], int]
    ) -> None:
        self._post = post
        self._now_ns = now_ns
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, request: dict[str, Any], inbox: Inbox) -> None:
        """Answer by the inbox's rules, or drop the request when too many are under way."""
        if len(self._tasks) >= ANSWERS_MAX:
            inbox.drop_request()
            return
        task = asyncio.get_running_loop().create_task(self._send(request, inbox))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def cancel(self) -> None:
        """Answer nothing any more."""
        for task in self._tasks:
            task.cancel()

    async def _send(self, request: dict[str, Any], inbox: Inbox) -> None:
        began_ns = self._now_ns()
        body = to_json(inbox.answer(request))
        if inbox.rules.after_ns and request.get("method") != PING:
            await asyncio.sleep(inbox.rules.after_ns / NS_PER_S)
        receipt = await self._post(body)
        inbox.note_sent(self._now_ns() - began_ns, well=receipt.outcome is Outcome.OK)
