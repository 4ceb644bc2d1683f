"""The one stream of an HTTP+SSE session: it brings the endpoint, then every message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, Protocol
from urllib.parse import urljoin, urlsplit

from harness.clock import NS_PER_S
from harness.errors import TargetError
from harness.outcome import Reason
from harness.wire.arrival import REFUSAL_STATUS, Arrival, decode_event
from harness.wire.connection import Connection
from harness.wire.deadlines import NEVER_NS, Sweep
from harness.wire.endpoint import Endpoint, address_of
from harness.wire.limits import Limits
from harness.wire.pool import Pool, Unconnected, dial

NO_CALL: Final = -1
BATCH_MAX: Final = 1000


class Listens(Protocol):
    """Who gets what the stream brings."""

    def take_message(self, message: Any, size_bytes: int, now_ns: int) -> None:
        """Read one message.

        Raises:
            BrokenReplyError: it is no JSON-RPC.
        """
        ...

    def take_end(self, arrival: Arrival) -> None:
        """The stream is over, for the reason on the arrival."""
        ...


class _Connection(Connection):
    """A connection that also tells of the `endpoint` event, which is no message."""

    __slots__ = ("on_endpoint",)

    def __init__(
        self, owner: EventStream, loop: asyncio.AbstractEventLoop, on_endpoint: Callable[[], None]
    ) -> None:
        super().__init__(owner, loop)
        self.on_endpoint = on_endpoint

    def data_received(self, data: bytes) -> None:
        """The next segment."""
        super().data_received(data)
        if self.arrival.sse is not None and self.arrival.sse.endpoint:
            self.on_endpoint()


class EventStream:
    """Open from `open` until it breaks, or `stop`; it never comes back, for it is the session."""

    __slots__ = (
        "_connection", "_endpoint", "_greeted", "_listens", "_pool", "batches", "bytes_in",
        "bytes_out", "limits", "messages", "now_ns", "where",
    )  # fmt: skip

    def __init__(self, endpoint: Endpoint, pool: Pool, listens: Listens) -> None:
        self._endpoint = endpoint
        self._pool = pool
        self._listens = listens
        self._connection: _Connection | None = None
        self._greeted: asyncio.Future[None] | None = None
        self.limits: Limits = pool.limits
        self.now_ns = pool.now_ns
        self.batches = True
        self.bytes_in = self.bytes_out = 0
        self.messages = 0
        self.where: Endpoint | None = None  # where messages are posted, once the server has said

    @property
    def sweep(self) -> Sweep:
        """The deadline sweep of the loop."""
        return self._pool.sweep

    @property
    def up(self) -> bool:
        """Whether messages may come."""
        return self._connection is not None and self.where is not None

    @property
    def in_event(self) -> bool:
        """Whether an event has begun that is not whole yet."""
        sse = self._connection.arrival.sse if self._connection is not None else None
        return sse is not None and sse.in_event

    async def open(self, head: bytes, deadline_ns: int) -> Arrival | Unconnected | None:
        """Ask for the stream and wait for the `endpoint` event; None when it has come."""
        self.stop()
        self.where = None
        loop = asyncio.get_running_loop()
        self._greeted = greeted = loop.create_future()
        connection = _Connection(self, loop, self._read_endpoint)
        failure = await dial(connection, self._endpoint, self._pool, deadline_ns)
        if failure is not None:
            return failure
        self._connection = connection
        done = connection.send(NO_CALL, head + b"\r\n", NEVER_NS)
        done.add_done_callback(self._end)
        left_s = (deadline_ns - self.now_ns()) / NS_PER_S
        try:
            async with asyncio.timeout(max(0.0, left_s)):
                await greeted
        except TimeoutError:
            connection.fail(Reason.NO_ENDPOINT, "no endpoint event by the deadline")
        except BaseException:
            self.stop()
            raise
        return None if self.up else connection.arrival

    def stop(self, *, reset: bool = False) -> None:
        """End the stream without a word."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort(reset=reset)

    def break_off(self) -> None:
        """Cut the stream as a network would: whoever listens is told."""
        if self._connection is not None:
            self._connection.abort(reset=True)

    # --- what the connection reports -----------------------------------------------------------

    def take_event(self, arrival: Arrival, data: bytes, now_ns: int) -> None:
        """Pass a message on, each of a batch by itself.

        Raises:
            BrokenReplyError: it is no JSON, or no JSON-RPC.
        """
        if arrival.pieces is not None:
            arrival.pieces.events = 0  # a standing stream may have any number of them
        message = decode_event(data)
        if isinstance(message, list) and self.batches and len(message) <= BATCH_MAX:
            for one in message:
                self._pass_on(one, len(data) // len(message), now_ns)
        else:
            self._pass_on(message, len(data), now_ns)

    def _pass_on(self, message: Any, size_bytes: int, now_ns: int) -> None:
        self.messages += 1
        self._listens.take_message(message, size_bytes, now_ns)

    def take_freed(self, connection: Connection) -> None:
        """A standing stream is never freed: it has no reply."""

    def take_lost(self, connection: Connection) -> None:
        """The connection is gone; `_end` has seen to it, unless it never began."""

    def _read_endpoint(self) -> None:
        connection, greeted = self._connection, self._greeted
        if connection is None or greeted is None or greeted.done():
            return
        assert connection.arrival.sse is not None
        named = connection.arrival.sse.endpoint.decode("utf-8", "replace")
        try:
            self.where = same_origin(self._endpoint, named)
        except TargetError as error:
            connection.fail(Reason.FOREIGN_ENDPOINT, str(error))
        if not greeted.done():
            greeted.set_result(None)

    def _end(self, done: asyncio.Future[Arrival]) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return  # stopped by this client
        arrival = done.result()
        if not arrival.reason and arrival.head is not None:
            refused = arrival.head.status >= REFUSAL_STATUS
            if not refused:
                arrival.reason, arrival.ended_ns = Reason.WRONG_CONTENT_TYPE, self.now_ns()
                arrival.detail = "the reply to the GET is no event stream"
        connection.abort()
        if self._greeted is not None and not self._greeted.done():
            self._greeted.set_result(None)
        if self.where is not None:
            self._listens.take_end(arrival)


def same_origin(endpoint: Endpoint, named: str) -> Endpoint:
    """Where the `endpoint` event says that messages go, through the same door.

    Raises:
        TargetError: it names another origin, or is no URL.
    """
    here = urlsplit(endpoint.url)
    try:
        url = urljoin(endpoint.url, named)
        there = urlsplit(url)
    except ValueError as error:
        raise TargetError(f"the endpoint event names no URL: {named[:200]!r}") from error
    if (here.scheme, address_of(endpoint.url)) != (there.scheme, address_of(url)):
        raise TargetError(f"the endpoint event names another origin: {named[:200]!r}")
    # The Host header stays what the target is called by.
    return replace(endpoint, url=there._replace(netloc=here.netloc).geturl())
