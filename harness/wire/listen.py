"""A session's standing stream: what the server says unasked, without a task of its own.

In the handshake era it is a GET; in the modern one the reply of `subscriptions/listen`, which
begins with an acknowledgement and is asked for anew, under another id, whenever it ends.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from harness.clock import NS_PER_S
from harness.wire.arrival import Arrival, decode_event
from harness.wire.connection import Connection
from harness.wire.deadlines import NEVER_NS, Sweep
from harness.wire.endpoint import Endpoint
from harness.wire.inbox import ACKNOWLEDGED
from harness.wire.jsonrpc import Sort, sort_message
from harness.wire.limits import Limits
from harness.wire.pool import Pool, Unconnected, dial
from harness.wire.resume import ATTEMPTS_IN_VAIN_MAX, RETRY_MS_DEFAULT

NO_CALL: Final = -1
_OK = 200


class Listening(StrEnum):
    """What became of the standing stream."""

    OFF = "off"  # never asked for, or ended by this client
    OPEN = "open"
    BROKEN = "broken"  # waiting to reconnect
    REFUSED = "refused"  # the server offers none (405), or not to this session
    LOST = "lost"  # given up after too many attempts in vain


class Listener:
    """Keeps one GET stream open until `stop`; reconnects with `Last-Event-ID` when told to."""

    __slots__ = (
        "_acknowledged", "_connection", "_ended_well", "_endpoint", "_failures", "_last_id",
        "_make_request", "_pool", "_resume", "_retry", "_retry_ms", "_task", "bytes_in",
        "bytes_out", "counts", "limits", "messages", "now_ns", "reconnects", "state", "status",
        "sweep",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        pool: Pool,
        *,
        resume: bool,
        make_request: Callable[[bytes], tuple[int, bytes]],
        counts: Counter[str] | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._pool = pool
        self._resume = resume
        self._make_request = make_request
        self._acknowledged: asyncio.Future[Arrival | None] | None = None
        self._ended_well = False
        self.counts: Counter[str] = Counter() if counts is None else counts
        self._connection: Connection | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._failures = 0
        self._last_id = b""
        self._retry_ms = RETRY_MS_DEFAULT
        self.limits: Limits = pool.limits
        self.sweep: Sweep = pool.sweep
        self.now_ns = pool.now_ns
        self.bytes_in = self.bytes_out = 0
        self.messages = self.reconnects = 0
        self.status = 0
        self.state = Listening.OFF

    async def start(self) -> None:
        """Ask for the stream of a new session.

        Returns when the request is out, for many servers answer only with the first event.
        """
        self._last_id = b""
        self._failures = 0
        await self._ask()

    def take_over(self, before: Listener) -> None:
        """Count on from the stream that this one takes the place of."""
        self.bytes_in, self.bytes_out = before.bytes_in, before.bytes_out
        self.messages, self.reconnects = before.messages, before.reconnects

    async def listen(self) -> asyncio.Future[Arrival | None]:
        """Ask for the modern era's stream; resolves when it is acknowledged, or has ended."""
        self._acknowledged = asyncio.get_running_loop().create_future()
        await self.start()
        if self.state is Listening.BROKEN:  # not even a connection
            self._acknowledged.set_result(Arrival(0))
        return self._acknowledged

    async def _ask(self) -> None:
        connection = Connection(self, asyncio.get_running_loop())
        limit_ns = self.now_ns() + int(self.limits.connect_s * NS_PER_S)
        failure = await dial(connection, self._endpoint, self._pool, limit_ns)
        if isinstance(failure, Unconnected):
            self._fall_back()
            return
        self._connection = connection
        self.state = Listening.OPEN
        call_id, request = self._make_request(self._last_id)
        self._ended_well = False
        self.counts["listen:asked"] += 1
        done = connection.send(call_id, request, NEVER_NS)
        done.add_done_callback(self._end)

    def drop(self, *, reset: bool) -> None:
        """Close the stream's connection; the stream itself comes back if it may."""
        if self._connection is not None:
            self._connection.abort(reset=reset)

    def stop(self) -> None:
        """End the stream for good."""
        connection, self._connection = self._connection, None
        self.state = Listening.OFF
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if connection is not None:
            connection.abort()

    # --- what the connection reports -----------------------------------------------------------

    def take_event(self, arrival: Arrival, data: bytes, now_ns: int) -> None:
        """Count a message; answer it when the server asks something.

        Raises:
            BrokenReplyError: the event is no JSON.
        """
        del now_ns
        self.messages += 1
        self._failures = 0
        if arrival.pieces is not None:
            arrival.pieces.events = 0  # a standing stream may have any number of them
        message = decode_event(data)
        sort = sort_message(message, arrival.call_id)
        if sort is Sort.REQUEST:
            self._pool.on_server_request(message)
        elif sort is Sort.NOTIFICATION:
            if self._acknowledged is not None and not self._acknowledged.done():
                if message["method"] != ACKNOWLEDGED:
                    self.counts["listen:unacknowledged"] += 1
                self._acknowledged.set_result(None)
            self._pool.on_notification(message)
        elif sort is Sort.RESULT:
            self._ended_well = True

    def take_freed(self, connection: Connection) -> None:
        """A standing stream is never freed: it has no reply."""

    def take_lost(self, connection: Connection) -> None:
        """The connection is gone; `_end` has seen to it, unless it never began."""

    def _end(self, done: asyncio.Future[Arrival]) -> None:
        connection, self._connection = self._connection, None
        if connection is None or self.state is Listening.OFF:
            return
        arrival = done.result()
        if arrival.head is not None:
            self.status = arrival.head.status
        if arrival.sse is not None:
            self._last_id = arrival.sse.last_id or self._last_id
            if arrival.sse.retry_ms >= 0:
                self._retry_ms = arrival.sse.retry_ms
        connection.abort()
        if self._acknowledged is not None and not self._acknowledged.done():
            self._acknowledged.set_result(arrival)
        if arrival.head is not None and arrival.sse is None:
            self.state = Listening.REFUSED
            self.counts["listen:refused"] += 1
        else:
            self.counts["listen:ended" if self._ended_well else "listen:dropped"] += 1
            self._fall_back()

    def _fall_back(self) -> None:
        self._failures += 1
        if not self._resume or self._failures > ATTEMPTS_IN_VAIN_MAX:
            self.state = Listening.LOST
            self.counts["listen:lost"] += 1
            return
        self.state = Listening.BROKEN
        loop = asyncio.get_running_loop()
        self._retry = loop.call_later(self._retry_ms / 1000, self._reconnect)

    def _reconnect(self) -> None:
        self._retry = None
        self.reconnects += 1
        self._task = asyncio.get_running_loop().create_task(self._ask())
        self._task.add_done_callback(self._forget_task)

    def _forget_task(self, task: asyncio.Task[None]) -> None:
        if self._task is task:
            self._task = None
