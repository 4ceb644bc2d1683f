"""One keep-alive HTTP/1.1 connection, which carries one exchange at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Any, Final, Protocol, cast

from harness.clock import NS_PER_S
from harness.outcome import Reason
from harness.wire.deadlines import EXACT_NS, NEVER_NS, Sweep
from harness.wire.http import (
    CACHED_HEAD_BYTES,
    Body,
    ChunkedBody,
    Head,
    HttpViolationError,
    Kind,
    LengthBody,
    OpenBody,
    parse_head,
    parse_small_head,
)
from harness.wire.limits import KIB, Limits
from harness.wire.reply import NO_TIME
from harness.wire.sse import SseParser

LARGE_BYTES: Final = 64 * KIB  # above this a request is written in slices, under back-pressure
SLICE_BYTES: Final = 256 * KIB
SALVAGE_BYTES_MAX: Final = 1024 * KIB
INTERIM_HEADS_MAX: Final = 16
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_SUCCESS = 200
_REDIRECT = 300


class Stage(IntEnum):
    """Where a connection stands."""

    IDLE = 0  # may take an exchange
    HEAD = 1  # a request is out, its head has not come
    BODY = 2
    DRAIN = 3  # the reply is known and given, its stream has not ended
    CLOSED = 4


class Owner(Protocol):
    """Who a connection reports to."""

    limits: Limits
    @property
    def sweep(self) -> Sweep:
        """The deadline sweep of the loop."""
        ...

    now_ns: Callable[[], int]
    bytes_in: int
    bytes_out: int

    def take_event(self, connection: Connection, data: bytes, now_ns: int) -> None:
        """A whole event came on the connection's stream."""
        ...

    def take_freed(self, connection: Connection) -> None:
        """A draining stream ended after all: the connection is idle again."""
        ...

    def take_lost(self, connection: Connection) -> None:
        """The connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """The exchange in hand is read from the attributes once `done` has resolved.

    `reason` is NONE when the reply is whole, else why it is not; `head` is None when none came.
    A JSON reply lies in `body`; of a stream, `message` is what its owner took for the reply.
    """

    __slots__ = (
        "_drain", "_exact", "_framer", "_interim_heads", "_owner", "_paused", "_pending",
        "_salvage", "_sending", "_transport", "body", "call_id", "detail", "done", "done_ns",
        "expires_ns", "first_ns", "head", "message", "events", "other_ids", "reason",
        "reply_bytes", "sent_ns", "sse", "stage", "ended_ns", "endless", "_vanish",
    )  # fmt: skip

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._drain: asyncio.Future[None] | None = None
        self._exact: asyncio.TimerHandle | None = None
        self._vanish: asyncio.TimerHandle | None = None
        self._salvage: socket.socket | None = None
        self._paused = False
        self.stage = Stage.CLOSED
        self.expires_ns = NEVER_NS
        self.done: asyncio.Future[None] | None = None
        self.endless = (
            False  # a listening stream: it has no reply and may have any number of events
        )
        self._reset(0)

    def _reset(self, call_id: int) -> None:
        self.call_id = call_id
        self._pending = b""
        self._framer: Body | None = None
        self._interim_heads = 0
        self._sending = False
        self.head: Head | None = None
        self.body: bytes | bytearray = b""
        self.sse: SseParser | None = None
        self.message: dict[str, Any] | None = None
        self.events = 0
        self.other_ids = 0
        self.reason = Reason.NONE
        self.detail = ""
        self.sent_ns = self.first_ns = self.done_ns = self.ended_ns = NO_TIME
        self.reply_bytes = 0

    # --- the client's side -------------------------------------------------------------------

    def begin(self, call_id: int, expires_ns: int) -> asyncio.Future[None]:
        """Take an exchange in hand; what is returned resolves when it is over, one way or other."""
        assert self.stage is Stage.IDLE
        self._reset(call_id)
        self.stage = Stage.HEAD
        self.expires_ns = expires_ns
        self.done = done = asyncio.get_running_loop().create_future()
        if expires_ns - self._owner.now_ns() < EXACT_NS:
            self._arm(expires_ns)
        return done

    def _arm(self, expires_ns: int) -> None:
        delay_s = max(0.0, (expires_ns - self._owner.now_ns()) / NS_PER_S)
        self._exact = asyncio.get_running_loop().call_later(delay_s, self.expire)

    def write(self, request: bytes) -> None:
        """Send a small request whole; the stamp is taken right before."""
        owner = self._owner
        owner.bytes_out += len(request)
        transport = cast("asyncio.Transport", self._transport)
        self.sent_ns = owner.now_ns()
        transport.write(request)

    async def write_large(self, head: bytes, body: bytes) -> None:
        """Send a large request in slices, as fast as the peer takes them and no faster.

        Stops early when the peer has answered or gone.
        """
        transport = cast("asyncio.Transport", self._transport)
        # The peer may answer and reset while we still send; a second descriptor keeps what it
        # said readable after the loop has closed the first.
        raw = transport.get_extra_info("socket")
        self._salvage = socket.socket(fileno=os.dup(raw.fileno()))
        self._salvage.setblocking(False)
        self._sending = True
        self.write(head)
        for start in range(0, len(body), SLICE_BYTES):
            if self.stage is not Stage.HEAD or self.reason:
                return
            piece = body[start : start + SLICE_BYTES]
            self._owner.bytes_out += len(piece)
            transport.write(piece)
            if self._paused:
                self._drain = asyncio.get_running_loop().create_future()
                await self._drain
        self._sending = False

    def vanish_later(self, after_ns: int) -> None:
        """Leave without a word `after_ns` from now, unless the reply is there before."""
        loop = asyncio.get_running_loop()
        self._vanish = loop.call_later(after_ns / NS_PER_S, self.fail, Reason.VANISHED, "")

    def settle(self) -> None:
        """Give the reply out though its stream is still open."""
        if self.done is not None and self.message is not None and self.stage is Stage.BODY:
            self.stage = Stage.DRAIN
            self._resolve()

    def expire(self) -> None:
        """The time for the exchange, or for the end of its stream, is over."""
        self.expires_ns = NEVER_NS
        if self.stage is not Stage.IDLE:
            self.fail(Reason.HANG, "")

    def fail(self, reason: Reason, detail: str) -> None:
        """End the exchange for `reason` and the connection with it."""
        if self.message is None and not self.reason:
            self.reason, self.detail = reason, detail
        self.abort()
        self._resolve()

    def abort(self, *, reset: bool = False) -> None:
        """Close at once; with `reset` the peer gets an RST instead of an orderly end."""
        transport = self._transport
        self._close_salvage()
        self.stage = Stage.CLOSED
        if transport is None or transport.is_closing():
            return
        if reset:
            raw = transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()

    @property
    def partial(self) -> bool:
        """Whether some of a reply is here but not all of it; comments and bare heads do not count."""
        in_event = self.sse is not None and self.sse.in_event
        return bool(self._pending or self.body or in_event)

    @property
    def usable(self) -> bool:
        """Whether the connection may take another exchange."""
        transport = self._transport
        return self.stage is Stage.IDLE and transport is not None and not transport.is_closing()

    # --- the loop's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up."""
        self._transport = cast("asyncio.Transport", transport)
        self.stage = Stage.IDLE
        self._owner.sweep.watch(self)

    def data_received(self, data: bytes) -> None:
        """The next segment; stamped first, read after."""
        owner = self._owner
        now_ns = owner.now_ns()
        owner.bytes_in += len(data)
        self.reply_bytes += len(data)
        if self.first_ns < 0:
            self.first_ns = now_ns
            if self.stage is Stage.HEAD and data.startswith(b"HTTP/1.1 200"):
                end = data.find(b"\r\n\r\n", 0, CACHED_HEAD_BYTES)
                if end > 0:
                    try:
                        head = parse_small_head(data[:end])
                    except HttpViolationError as error:
                        self._violate(error)
                        return
                    # The hot path: a whole reply in one segment.
                    if head.whole and head.length == len(data) - end - 4 and not self._sending:
                        self.head = head
                        self.body = data[end + 4 :]
                        self.done_ns = now_ns
                        self._end_exchange(head)
                        return
        try:
            self._receive(data, now_ns)
        except HttpViolationError as error:
            self._violate(error)

    def eof_received(self) -> None:
        """The peer ends its side; there is nothing more to come and nothing to say."""
        self._end_stream(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; what the peer said before it went is still read."""
        if self._salvage is not None:
            self._read_salvage()
        self._end_stream(exc)
        self.stage = Stage.CLOSED
        self._transport = None
        self._owner.sweep.forget(self)
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)
        self._owner.take_lost(self)

    def pause_writing(self) -> None:
        """The peer takes no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The peer takes more again."""
        self._paused = False
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    # --- reading -----------------------------------------------------------------------------

    def _receive(self, data: bytes, now_ns: int) -> None:
        while data:
            if self.stage is Stage.HEAD:
                data = self._read_head(data)
            elif self.stage in (Stage.BODY, Stage.DRAIN):
                data = self._read_body(data, now_ns)
            else:
                # Bytes nobody asked for: whatever they are, the next reply would be misread.
                self.abort()
                return
            if self.stage is Stage.BODY and self._framer is not None and self._framer.done:
                self._end_body(now_ns)
            elif self.stage is Stage.DRAIN and self._framer is not None and self._framer.done:
                self._free()

    def _read_head(self, data: bytes) -> bytes:
        pending = self._pending + data
        if not pending.startswith(b"HTTP/"[: len(pending)]):
            raise HttpViolationError(Reason.MALFORMED_HTTP, "the reply does not begin with HTTP/")
        limit = self._owner.limits.header_bytes
        end = pending.find(b"\r\n\r\n")
        if end > limit or (end < 0 and len(pending) > limit):
            raise HttpViolationError(Reason.HEADER_TOO_LARGE, f"the head is over {limit} bytes")
        if end < 0:
            if b"\n\n" in pending:
                raise HttpViolationError(Reason.MALFORMED_HTTP, "the head's lines end in bare LF")
            self._pending = pending
            return b""
        self._pending = b""
        raw = pending[:end]
        head = parse_small_head(raw) if len(raw) <= CACHED_HEAD_BYTES else parse_head(raw)
        if head.status >= _SUCCESS:
            self._start_body(head)
        else:
            self._interim_heads += 1
            if self._interim_heads > INTERIM_HEADS_MAX or head.status == 101:  # noqa: PLR2004
                raise HttpViolationError(Reason.MALFORMED_HTTP, "interim replies without end")
        return pending[end + 4 :]

    def _start_body(self, head: Head) -> None:
        self.head = head
        self.stage = Stage.BODY
        limits = self._owner.limits
        streamed = head.kind is Kind.SSE and head.status < _REDIRECT
        if head.encoded:
            raise HttpViolationError(Reason.ENCODED, "a content coding that was not asked for")
        if head.bodiless:
            self._framer = LengthBody(0)
        elif head.chunked:
            self._framer = ChunkedBody(limits.header_bytes)
        elif head.length >= 0:
            if head.length > limits.body_bytes and not streamed:
                raise HttpViolationError(
                    Reason.BODY_TOO_LARGE, f"a body of {head.length} bytes was announced"
                )
            self._framer = LengthBody(head.length)
        else:
            self._framer = OpenBody()
        if streamed:
            self.sse = SseParser(limits.event_bytes)
        if self._framer.done:
            self._end_body(self._owner.now_ns())

    def _read_body(self, data: bytes, now_ns: int) -> bytes:
        framer = self._framer
        assert framer is not None
        payload = framer.feed(data)
        if self.sse is not None:
            for event in self.sse.feed(payload):
                self.events += 1
                if self.events > self._owner.limits.events_max and not self.endless:
                    raise HttpViolationError(
                        Reason.ENDLESS_STREAM, f"over {self.events - 1} events and no end"
                    )
                self._owner.take_event(self, event, now_ns)
                if self.stage is Stage.CLOSED:
                    return b""
            if self.message is not None and not framer.done and self.done_ns == now_ns:
                self._owner.sweep.linger(self)
        elif payload:
            if isinstance(self.body, bytes):
                self.body = bytearray()
            self.body += payload
            limit = self._owner.limits.body_bytes
            if len(self.body) > limit:
                raise HttpViolationError(Reason.BODY_TOO_LARGE, f"the body is over {limit} bytes")
        return framer.rest

    def _end_body(self, now_ns: int) -> None:
        head = self.head
        assert head is not None
        if self.sse is None:
            self.done_ns = now_ns
        elif self.message is None:
            self.reason = Reason.STREAM_ENDED
            self.ended_ns = now_ns
        self._end_exchange(head)

    def _end_exchange(self, head: Head) -> None:
        if head.keep_alive and not self._sending:
            self.stage = Stage.IDLE
            if self._salvage is not None:
                self._close_salvage()
        else:
            self.abort()
        self.expires_ns = NEVER_NS
        self._resolve()

    def _free(self) -> None:
        head = self.head
        assert head is not None
        self.expires_ns = NEVER_NS
        if head.keep_alive and not self._sending:
            self.stage = Stage.IDLE
            self._owner.take_freed(self)
        else:
            self.abort()

    def _violate(self, error: HttpViolationError) -> None:
        if self.first_ns >= 0:
            self.ended_ns = self._owner.now_ns()
        self.fail(error.reason, error.detail)

    def _end_stream(self, exc: Exception | None) -> None:
        if self.done is None or self.done.done():
            if self.stage is not Stage.CLOSED:
                self.abort()
            return
        self.ended_ns = self._owner.now_ns()
        if self.message is None and not self.reason:
            self._name_the_end(exc)
        self.abort()
        self._resolve()

    def _name_the_end(self, exc: Exception | None) -> None:
        if isinstance(self._framer, OpenBody) and exc is None:
            if self.sse is None:
                self.done_ns = self.ended_ns
            else:
                self.reason = Reason.STREAM_ENDED
        elif isinstance(exc, (ConnectionResetError, BrokenPipeError)):
            sending = self._sending or isinstance(exc, BrokenPipeError)
            self.reason = Reason.SEND_FAILED if sending else Reason.RESET
        elif exc is not None:
            self.reason = Reason.SEND_FAILED if self._sending else Reason.RESET
            self.detail = type(exc).__name__
        else:
            self.reason = Reason.CLOSED_EARLY

    def _resolve(self) -> None:
        if self._exact is not None:
            self._exact.cancel()
            self._exact = None
        if self._vanish is not None:
            self._vanish.cancel()
            self._vanish = None
        done = self.done
        if done is not None and not done.done():
            done.set_result(None)
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    def _read_salvage(self) -> None:
        salvage = self._salvage
        assert salvage is not None
        received = 0
        with contextlib.suppress(OSError):
            while received < SALVAGE_BYTES_MAX and self.stage in (Stage.HEAD, Stage.BODY):
                data = salvage.recv(LARGE_BYTES)
                if not data:
                    break
                received += len(data)
                self.data_received(data)
        self._close_salvage()

    def _close_salvage(self) -> None:
        if self._salvage is not None:
            self._salvage.close()
            self._salvage = None
