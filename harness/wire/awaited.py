"""A request whose response comes another way than it went: over a stream that many share."""

from __future__ import annotations

import asyncio

from harness.outcome import Reason
from harness.wire.arrival import Arrival
from harness.wire.connection import Connection


class Awaited:
    """One request whose response the stream is to bring."""

    __slots__ = ("arrival", "connection", "done", "strays")

    def __init__(self, call_id: int, strays: int, loop: asyncio.AbstractEventLoop) -> None:
        self.arrival = Arrival(call_id)
        self.connection: Connection | None = None  # while its POST is under way
        self.done: asyncio.Future[Arrival] = loop.create_future()
        self.strays = strays  # how many responses to unknown ids had come when it began

    def resolve(self, arrival: Arrival) -> None:
        """Have the arrival, unless there is one already."""
        if not self.done.done():
            self.done.set_result(arrival)

    def fail(self, reason: Reason, detail: str, now_ns: int) -> None:
        """Give up; a POST that is still under way goes with it."""
        if not self.done.done():
            arrival = self.arrival
            arrival.reason, arrival.detail, arrival.ended_ns = reason, detail, now_ns
            self.done.set_result(arrival)
        if self.connection is not None:
            self.connection.abort()
