"""Writes whole lines into a pipe, one after the other, and no faster than its reader takes them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from harness.wire.exchange import Exchange
from harness.wire.limits import KIB

SLICE_BYTES: Final = 256 * KIB  # of a large line, written under back-pressure


class Outlet(asyncio.BaseProtocol):
    """The writing end of a pipe; a line that has begun is written to its end, whoever gave up."""

    def __init__(self, now_ns: Callable[[], int], on_lost: Callable[[], None]) -> None:
        self._now_ns = now_ns
        self._on_lost = on_lost
        self._transport: asyncio.WriteTransport | None = None
        self._queue: deque[Exchange] = deque()
        self._rest: memoryview | None = None  # of the line that is being written
        self._writing: Exchange | None = None
        self._paused = False
        self.bytes_out = 0

    def send(self, exchange: Exchange) -> None:
        """Write the exchange's line when its turn comes; stamped right before."""
        self._queue.append(exchange)
        if self._rest is None:
            self._pump()

    def drop(self, exchange: Exchange) -> None:
        """Write nothing of it, if nothing of it is written yet."""
        if exchange.end_at < 0 and exchange in self._queue:
            self._queue.remove(exchange)

    def taken(self, exchange: Exchange) -> bool:
        """Whether the pipe has taken the whole line."""
        if exchange.end_at < 0 or self._transport is None:
            return False
        return exchange.end_at <= self.bytes_out - self._transport.get_write_buffer_size()

    def close(self) -> None:
        """End the pipe; what the peer has not taken by now is lost."""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if transport.get_write_buffer_size():
                transport.abort()
            else:
                transport.close()

    def _pump(self) -> None:
        transport = self._transport
        while not self._paused and transport is not None and not transport.is_closing():
            if self._rest is None:
                if not self._queue:
                    return
                self._begin(self._queue.popleft())
            rest = self._rest
            assert rest is not None
            piece, self._rest = rest[:SLICE_BYTES], rest[SLICE_BYTES:] or None
            self.bytes_out += len(piece)
            transport.write(piece)
            if self._rest is None:
                self._end()

    def _begin(self, exchange: Exchange) -> None:
        self._writing = exchange
        self._rest = memoryview(exchange.line)
        exchange.end_at = self.bytes_out + len(exchange.line)
        exchange.arrival.sent_ns = self._now_ns()

    def _end(self) -> None:
        exchange, self._writing = self._writing, None
        if exchange is not None:
            exchange.line = b""
            if not exchange.arrival.call_id:
                exchange.send(self._now_ns())

    # --- the loop's side ---------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is there."""
        self._transport = cast("asyncio.WriteTransport", transport)
        self._pump()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody will ever read what is written."""
        del exc
        self._on_lost()

    def pause_writing(self) -> None:
        """The pipe is full."""
        self._paused = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._paused = False
        self._pump()
