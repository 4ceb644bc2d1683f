"""One keep-alive HTTP/1.1 connection, which carries one exchange at a time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol, cast

from harness.clock import NS_PER_S
from harness.outcome import Reason
from harness.trust import tls_failure
from harness.wire.arrival import Arrival, KnownHead, Pieces
from harness.wire.deadlines import EXACT_NS, NEVER_NS, Sweep
from harness.wire.http import BrokenReplyError
from harness.wire.jsonrpc import CallId
from harness.wire.limits import KIB, Limits
from harness.wire.salvage import Salvage

LARGE_BYTES: Final = 64 * KIB  # above this a request is written in slices, under back-pressure
SLICE_BYTES: Final = 256 * KIB
AT_REST: Final = Arrival(0)  # of every connection that carries nothing; never written to
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Stage(IntEnum):
    """Where a connection stands."""

    IDLE = 0  # may take an exchange
    BUSY = 1  # a request is out, its reply is not whole
    DRAIN = 2  # the reply is known and given, its stream has not ended
    CLOSED = 3


# Names for the hot path: a member of an enumeration costs three look-ups each time.
_IDLE, _BUSY, _CLOSED = Stage.IDLE, Stage.BUSY, Stage.CLOSED


class Owner(Protocol):
    """Who a connection reports to, and who reads the events of its streams."""

    limits: Limits
    now_ns: Callable[[], int]
    bytes_in: int
    bytes_out: int

    @property
    def sweep(self) -> Sweep:
        """The deadline sweep of the loop."""
        ...

    def take_event(self, arrival: Arrival, data: bytes, now_ns: int) -> None:
        """Read one event, as `arrival.EventTaker` says."""
        ...

    def take_freed(self, connection: Connection) -> None:
        """A draining stream ended after all: the connection is idle again."""
        ...

    def take_lost(self, connection: Connection) -> None:
        """The connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """Sends one request at a time; what came of it is in `arrival` once its future has resolved."""

    __slots__ = (
        "_done", "_drain", "_known_head", "_loop", "_owner", "_paused", "_salvage", "_sending",
        "_timers", "arrival", "expires_ns", "stage", "transport",
    )  # fmt: skip

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self.transport: asyncio.Transport | None = None
        self._done: asyncio.Future[Arrival] | None = None
        self._drain: asyncio.Future[None] | None = None
        self._timers: list[asyncio.TimerHandle] | None = None
        self._salvage: Salvage | None = None
        self._known_head = KnownHead()
        self._paused = False
        self._sending = False
        self.arrival = AT_REST
        self.expires_ns = NEVER_NS
        self.stage = Stage.CLOSED

    # --- the client's side -------------------------------------------------------------------

    def send(self, call_id: CallId, request: bytes, expires_ns: int) -> asyncio.Future[Arrival]:
        """Write a request whole and give the future of its reply; stamped right before."""
        transport, owner = self.transport, self._owner
        assert transport is not None
        self.arrival = arrival = Arrival(call_id)
        self.stage = _BUSY
        self.expires_ns = expires_ns
        self._done = done = self._loop.create_future()
        owner.bytes_out += len(request)
        arrival.sent_ns = now_ns = owner.now_ns()
        transport.write(request)
        if expires_ns - now_ns < EXACT_NS:
            self._call_later(expires_ns - now_ns, self.expire)
        return done

    async def send_large(
        self, call_id: CallId, request: bytes, expires_ns: int
    ) -> asyncio.Future[Arrival]:
        """Write a large request in slices, as fast as the peer takes them and no faster.

        Stops early when the peer has answered or gone.
        """
        transport = self.transport
        assert transport is not None
        if transport.get_extra_info("ssl_object") is None:  # what is left under TLS is a riddle
            if self._salvage is not None:  # of the large request before this one
                self._salvage.close()
            self._salvage = Salvage(transport.get_extra_info("socket").fileno())
        self._sending = True
        done = self.send(call_id, request[:SLICE_BYTES], expires_ns)
        sent_bytes = SLICE_BYTES
        while True:
            if self._paused:
                self._drain = self._loop.create_future()
                await self._drain
            if sent_bytes >= len(request):
                break
            if self.stage is not _BUSY or transport.is_closing():
                return done
            piece = request[sent_bytes : sent_bytes + SLICE_BYTES]
            self._owner.bytes_out += len(piece)
            transport.write(piece)
            sent_bytes += SLICE_BYTES
        self._sending = False
        return done

    def vanish_later(self, after_ns: int) -> None:
        """Leave without a word `after_ns` from now, unless the reply is there before."""
        self._call_later(after_ns, lambda: self.fail(Reason.VANISHED, ""))

    def settle(self) -> None:
        """Give the reply out though its stream is still open."""
        if self.stage is _BUSY and self.arrival.message is not None:
            self.stage = Stage.DRAIN
            self._resolve()

    def expire(self) -> None:
        """The time for the exchange, or for the end of its stream, is over."""
        self.expires_ns = NEVER_NS
        if self.stage is not _IDLE:
            self.fail(Reason.HANG, "")

    def fail(self, reason: Reason, detail: str) -> None:
        """End the exchange for `reason` and the connection with it; a reply at hand stands."""
        arrival = self.arrival
        if self.stage is _BUSY and arrival.message is None and not arrival.reason:
            arrival.reason, arrival.detail = reason, detail
            arrival.ended_ns = self._owner.now_ns()
        self.abort()

    def abort(self, *, reset: bool = False) -> None:
        """Close at once; with `reset` the peer gets an RST instead of an orderly end."""
        transport = self.transport
        if self._salvage is not None:
            self._salvage.close()
            self._salvage = None
        if self.stage is _BUSY and self.arrival.message is None and not self.arrival.reason:
            self.arrival.reason = Reason.RESET
            self.arrival.ended_ns = self._owner.now_ns()
        self.stage = Stage.CLOSED
        if transport is not None and not transport.is_closing():
            if reset:
                raw = transport.get_extra_info("socket")
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()
        self._resolve()

    def usable(self) -> bool:
        """Whether the connection may take another exchange."""
        transport = self.transport
        return self.stage is _IDLE and transport is not None and not transport.is_closing()

    # --- the loop's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up."""
        self.transport = cast("asyncio.Transport", transport)
        self.stage = Stage.IDLE
        self._owner.sweep.watch(self)

    def data_received(self, data: bytes) -> None:
        """The next segment; stamped first, read after."""
        owner = self._owner
        now_ns = owner.now_ns()
        owner.bytes_in += len(data)
        arrival = self.arrival
        try:
            if self.stage is _BUSY and arrival.first_ns < 0:
                known = self._known_head
                if arrival.take_whole(data, now_ns, known):
                    done = self._done
                    if self._timers is None and known.head.keep_alive and not self._sending:
                        # The hot path: what `_finish` does, for the plainest of calls.
                        self.stage = _IDLE
                        if done is not None and not done.done():
                            done.set_result(arrival)
                        self._done = None
                        return
                    self._finish(arrival)
                    return
                arrival.pieces = Pieces(arrival, owner.limits, owner)
                self._read_piece(arrival, data, now_ns, known)
                return
            self._read_piece(arrival, data, now_ns)
        except BrokenReplyError as error:
            self._break(error)

    def eof_received(self) -> None:
        """The peer ends its side; there is nothing more to come and nothing to say."""
        self._read_end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; what the peer said before it went is still read."""
        if self._salvage is not None:
            self._salvage.read(self.data_received)
        self._read_end(exc)
        self._owner.sweep.forget(self)
        self.transport = None
        self._owner.take_lost(self)

    def pause_writing(self) -> None:
        """The peer takes no more for now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The peer takes more again."""
        self._paused = False
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

    # --- inside ------------------------------------------------------------------------------

    def _call_later(self, after_ns: int, call: Callable[[], None]) -> None:
        handle = self._loop.call_later(max(0, after_ns) / NS_PER_S, call)
        if self._timers is None:
            self._timers = []
        self._timers.append(handle)

    def _read_piece(
        self, arrival: Arrival, data: bytes, now_ns: int, first: KnownHead | None = None
    ) -> None:
        pieces = arrival.pieces
        stage = self.stage
        if pieces is None or stage is _IDLE or stage is _CLOSED:
            # Bytes nobody asked for: whatever they are, the next reply would be misread.
            self.abort()
            return
        arrival.reply_bytes += len(data)
        if pieces.feed(data, now_ns) if first is None else pieces.begin(data, now_ns, first):
            self._finish(arrival, reusable=not pieces.behind)
        elif arrival.done_ns == now_ns:
            # The reply is here and its stream still open; most end within the millisecond.
            self._owner.sweep.linger(self)

    def _finish(self, arrival: Arrival, *, reusable: bool = True) -> None:
        head = arrival.head
        drained = self.stage is Stage.DRAIN
        if reusable and head is not None and head.keep_alive and not self._sending:
            self.stage = _IDLE
            self._resolve()
            if drained:
                self._owner.take_freed(self)
        else:
            self.stage = _IDLE
            self.abort()

    def _break(self, error: BrokenReplyError) -> None:
        arrival = self.arrival
        if self.stage is _BUSY and error.reason is Reason.STREAM_ENDED:
            # A clean end, only without the response: the connection is as good as before.
            arrival.reason = error.reason
            arrival.ended_ns = self._owner.now_ns()
            self._finish(arrival)
        elif self.stage is _BUSY and arrival.message is None and arrival.done_ns < 0:
            self.fail(error.reason, error.detail)
        else:
            self.abort()

    def _read_end(self, exc: Exception | None) -> None:
        if self.stage is _IDLE:
            # Perhaps before the first request: whoever holds the connection must learn why.
            self.arrival = Arrival(0)
            self.arrival.reason = Reason.CLOSED_EARLY if exc is None else Reason.RESET
            failure = None if exc is None else tls_failure(exc)
            if failure is not None:
                self.arrival.reason, self.arrival.detail = failure
        elif self.stage is _BUSY and self.arrival.message is None and not self.arrival.reason:
            arrival, pieces = self.arrival, self.arrival.pieces
            arrival.ended_ns = self._owner.now_ns()
            if pieces is not None and pieces.until_close and exc is None:
                if pieces.sse is None:
                    arrival.done_ns = arrival.ended_ns
                    self.stage = _IDLE
                else:
                    arrival.reason = Reason.STREAM_ENDED
            elif exc is None:
                arrival.reason = Reason.CLOSED_EARLY
            else:
                broken_pipe = self._sending or isinstance(exc, BrokenPipeError)
                arrival.reason = Reason.SEND_FAILED if broken_pipe else Reason.RESET
                # TLS 1.3: a server tells what it thinks of our certificate after the handshake.
                arrival.reason, arrival.detail = tls_failure(exc) or (arrival.reason, "")
        self.abort()

    def _resolve(self) -> None:
        done, timers = self._done, self._timers
        if done is not None and not done.done():
            done.set_result(self.arrival)
        self._done = None
        if timers is not None:
            for handle in timers:
                handle.cancel()
            self._timers = None
        if self._salvage is not None and self.stage is _IDLE:
            self._salvage.close()
            self._salvage = None
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)
