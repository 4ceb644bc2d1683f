"""One message on its way through a pipe, and what has come of it."""

from __future__ import annotations

import asyncio

from harness.outcome import Reason
from harness.wire.arrival import Arrival
from harness.wire.http import Head
from harness.wire.jsonrpc import CallId

# A pipe has no heads; this one says that a reply came, and nothing else.
_PIPED = Head()


async def first_of(event: asyncio.Event, done: asyncio.Future[Arrival], limit_s: float) -> None:
    """Return when either has come, or the time is over."""
    waiting: asyncio.Future[object] = asyncio.ensure_future(event.wait())
    try:
        await asyncio.wait(
            (waiting, asyncio.ensure_future(asyncio.shield(done))),
            timeout=limit_s,
            return_when=asyncio.FIRST_COMPLETED,
        )
    finally:
        waiting.cancel()


class Exchange:
    """One message, and the future of its reply; of a notification, the future of its being sent."""

    __slots__ = ("arrival", "done", "end_at", "expires_ns", "line")

    def __init__(
        self, call_id: CallId, line: bytes, expires_ns: int, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.arrival = Arrival(call_id)
        self.done: asyncio.Future[Arrival] = loop.create_future()
        self.expires_ns = expires_ns
        self.line = line
        self.end_at = -1  # where its last byte stands in all that was ever written; -1: not begun

    def answer(self, message: object, *, size_bytes: int, first_ns: int, now_ns: int) -> None:
        """The response has come."""
        arrival = self.arrival
        arrival.head = _PIPED
        arrival.message = message  # type: ignore[assignment]  # judged by whoever reads it
        arrival.reply_bytes = size_bytes
        arrival.first_ns, arrival.done_ns = first_ns, now_ns
        self._resolve()

    def fail(self, reason: Reason, detail: str, now_ns: int) -> None:
        """No response that could be read will come."""
        arrival = self.arrival
        if not self.done.done():
            arrival.reason, arrival.detail, arrival.ended_ns = reason, detail, now_ns
        self._resolve()

    def send(self, now_ns: int) -> None:
        """Nothing is to come back: handed over is done."""
        self.arrival.head = _PIPED
        self.arrival.done_ns = now_ns
        self._resolve()

    def _resolve(self) -> None:
        self.line = b""
        if not self.done.done():
            self.done.set_result(self.arrival)
