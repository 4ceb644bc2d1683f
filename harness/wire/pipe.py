"""One server process's standard input and output, for everybody who speaks through them."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable
from typing import Any, Final, cast

from harness.clock import NS_PER_S
from harness.outcome import Reason
from harness.wire.deadlines import EXACT_NS, NEVER_NS, running_sweep
from harness.wire.exchange import Exchange
from harness.wire.jsonrpc import CallId, Sort, decode, sort_message
from harness.wire.limits import Limits
from harness.wire.lines import HEAD_BYTES, Lines, Oversized
from harness.wire.outlet import Outlet

LAST_WORDS_S: Final = 0.2  # from a process's end to its output's, and the other way round
GIVEN_UP_MAX: Final = 10_000
SAMPLE_CHARACTERS: Final = 200
_ID: Final = re.compile(rb'"id"\s*:\s*(\d{1,18})\b')


class Pipe(asyncio.Protocol):
    """Sends requests by their ids and gives each its own reply; also counts what it carried.

    It is the protocol of the reading end; `outlet` is that of the writing end. `lost` is empty
    while the server can be spoken to, and then says what became of it.
    """

    def __init__(self, now_ns: Callable[[], int], limits: Limits) -> None:
        self._now_ns = now_ns
        self._loop = asyncio.get_running_loop()
        self._lines = Lines(limits.body_bytes)
        self._begun_ns = 0  # when the line that has begun did so
        self._transport: asyncio.ReadTransport | None = None
        self._pending: dict[CallId, Exchange] = {}
        self._untaken: set[Exchange] = set()  # of messages that ask for no reply
        self._given_up: dict[CallId, None] = {}
        self._next_id = 1
        self._status: int | None = None
        self._ended_ns = -1
        self._last_words: asyncio.TimerHandle | None = None
        self._rate: float | None = None  # bytes a second; None: as fast as they come
        self._breath: asyncio.TimerHandle | None = None
        self.outlet = Outlet(now_ns, self._take_end)
        self.on_request: Callable[[dict[str, Any]], None] = lambda _: None
        self.hearers: set[Callable[[dict[str, Any]], None]] = set()  # of notifications
        self.on_lost: Callable[[], None] = lambda: None
        self.batches = False
        self.expires_ns = NEVER_NS
        self.lost = ""
        self.bytes_in = self.messages = self.foreign_messages = 0
        self.duplicate_replies = self.unknown_ids = self.noise_lines = 0
        self.noise = ""  # the first of them, cut short

    # --- what is sent --------------------------------------------------------------------------

    @property
    def upcoming_id(self) -> int:
        """The id of the next request, if nothing is awaited before it is made."""
        return self._next_id

    def next_id(self) -> int:
        """An id that no request on this pipe has had."""
        self._next_id += 1
        return self._next_id - 1

    def send(self, call_id: CallId, line: bytes, expires_ns: int) -> Exchange:
        """Send a message, call id 0 for one without a reply; its `done` resolves by `expires_ns`.

        The line ends with a line feed.
        """
        exchange = Exchange(call_id, line, expires_ns, self._loop)
        if self.lost:
            exchange.fail(Reason.PROCESS_DIED, self.lost, self._now_ns())
            return exchange
        if call_id:
            self._pending[call_id] = exchange
        else:
            self._untaken.add(exchange)
            exchange.done.add_done_callback(lambda _: self._untaken.discard(exchange))
        self.expires_ns = min(self.expires_ns, expires_ns)
        self.outlet.send(exchange)
        left_ns = expires_ns - self._now_ns()
        if left_ns < EXACT_NS:
            timer = self._loop.call_later(max(0, left_ns) / NS_PER_S, self.expire)
            exchange.done.add_done_callback(lambda _: timer.cancel())
        return exchange

    def give_up(self, exchange: Exchange, reason: Reason = Reason.VANISHED) -> None:
        """Wait for this one no longer; a reply that comes all the same is no surprise."""
        call_id = exchange.arrival.call_id
        if self._pending.pop(call_id, None) is not None:
            self._given_up[call_id] = None
            if len(self._given_up) > GIVEN_UP_MAX:
                del self._given_up[next(iter(self._given_up))]
        self.outlet.drop(exchange)
        exchange.fail(reason, "", self._now_ns())

    def abandon(self) -> None:
        """Give up everything: the client goes away."""
        for exchange in [*self._pending.values(), *self._untaken]:
            self.give_up(exchange)

    def expire(self) -> None:
        """Give up whatever has waited long enough."""
        now_ns, self.expires_ns = self._now_ns(), NEVER_NS
        for exchange in [*self._pending.values(), *self._untaken]:
            if exchange.expires_ns > now_ns:
                self.expires_ns = min(self.expires_ns, exchange.expires_ns)
            elif self.outlet.taken(exchange):
                self._note_trickle(exchange)
                self.give_up(exchange, Reason.HANG)
            else:
                exchange.arrival.detail = "the server does not read its standard input"
                self.give_up(exchange, Reason.PIPE_FULL)

    def settle(self) -> None:
        """No reply on a pipe outlives its end."""

    # --- how it is read ------------------------------------------------------------------------

    def hold(self, bytes_per_s: float) -> None:
        """Read no faster than this from now on; 0 reads nothing at all."""
        self._rate = bytes_per_s
        if not bytes_per_s:
            self._pause()

    def release(self) -> None:
        """Read as fast as it comes again."""
        self._rate = None
        self._resume()

    def _pause(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._breath is not None:
            self._breath.cancel()
            self._breath = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- the loop's side -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The reading end is there."""
        self._transport = cast("asyncio.ReadTransport", transport)
        running_sweep(self._now_ns).watch(self)
        if self._rate == 0:
            self._pause()

    def data_received(self, data: bytes) -> None:
        """The next piece; stamped first, read after."""
        now_ns = self._now_ns()
        self.bytes_in += len(data)
        begun, first_ns = self._lines.begun, self._begun_ns
        for line in self._lines.feed(data):
            self._take_line(line, first_ns if begun else now_ns, now_ns)
            begun = False
        if not begun:
            self._begun_ns = now_ns
        if self._rate:
            self._pause()
            self._breath = self._loop.call_later(len(data) / self._rate, self._resume)

    def connection_lost(self, exc: Exception | None) -> None:
        """The process has closed its output."""
        del exc
        self._take_end(wait=self._status is None)

    def take_exit(self, status: int) -> None:
        """The process has ended; what it wrote before is still read."""
        self._status = status
        self._take_end(wait=self._last_words is None)

    # --- inside --------------------------------------------------------------------------------

    def _take_end(self, *, wait: bool = True) -> None:
        """One sign of the end has come: the other tells more, and is waited for a little."""
        if self.lost:
            return
        if self._ended_ns < 0:
            self._ended_ns = self._now_ns()
        if not wait:
            self._die()
        elif self._last_words is None:
            self._last_words = self._loop.call_later(LAST_WORDS_S, self._die)

    def _die(self) -> None:
        if self.lost:
            return
        if self._last_words is not None:
            self._last_words.cancel()
        self.lost = f"the server's process {describe_end(self._status)}"
        if self._status is None:
            self.lost = "the server's process closed its standard input or output, and runs on"
        running_sweep(self._now_ns).forget(self)
        for exchange in [*self._pending.values(), *self._untaken]:
            self._note_trickle(exchange)
            self.outlet.drop(exchange)
            exchange.fail(Reason.PROCESS_DIED, self.lost, self._ended_ns)
        self._pending.clear()
        self.on_lost()

    def close(self) -> None:
        """Let both ends go, and with them everybody who still waits."""
        if not self.lost:
            self._ended_ns = self._now_ns()
            self._die()
        self.outlet.close()
        if self._breath is not None:
            self._breath.cancel()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def _take_line(self, line: bytes | Oversized, first_ns: int, now_ns: int) -> None:
        if isinstance(line, Oversized):
            why = f"a line of {line.size_bytes} bytes"
            self._take_broken(line.head, Reason.BODY_TOO_LARGE, why, line.size_bytes, now_ns)
            return
        if not line:
            return
        try:
            message = decode(line)
        except ValueError as error:
            self._take_noise(line)
            head = line[:HEAD_BYTES]
            self._take_broken(head, Reason.MALFORMED_JSON, str(error), len(line), now_ns)
            return
        several = message if type(message) is list and self.batches else (message,)
        for one in several:
            self._take_message(one, len(line) + 1, first_ns, now_ns, line)

    def _take_message(
        self, message: Any, size_bytes: int, first_ns: int, now_ns: int, line: bytes
    ) -> None:
        self.messages += 1
        if type(message) is dict and "method" not in message:
            call_id = message.get("id")
            if type(call_id) is int:
                exchange = self._pending.pop(call_id, None)
                if exchange is not None:
                    exchange.answer(
                        message, size_bytes=size_bytes, first_ns=first_ns, now_ns=now_ns
                    )
                    return
        sort = sort_message(message, -1)
        if sort is Sort.BROKEN:
            self.messages -= 1
            self._take_noise(line)
            return
        self.foreign_messages += 1
        if sort is Sort.REQUEST:
            self.on_request(message)
        elif sort is Sort.NOTIFICATION:
            for hear in tuple(self.hearers):
                hear(message)
        elif sort is Sort.NAMELESS_ERROR and len(self._pending) == 1:
            # The server could not read our request, and there is only one that it can mean.
            _, exchange = self._pending.popitem()
            exchange.answer(message, size_bytes=size_bytes, first_ns=first_ns, now_ns=now_ns)
        elif sort is Sort.OTHER_ID:
            self._take_stray(message["id"])

    def _take_stray(self, call_id: object) -> None:
        if type(call_id) is int and call_id in self._given_up:
            del self._given_up[call_id]  # late, as a reply may be
        elif type(call_id) is int and 0 < call_id < self._next_id:
            self.duplicate_replies += 1
        else:
            self.unknown_ids += 1

    def _take_noise(self, line: bytes) -> None:
        self.noise_lines += 1
        if not self.noise:
            self.noise = line[:SAMPLE_CHARACTERS].decode(errors="replace")

    def _take_broken(
        self, head: bytes, reason: Reason, why: str, size_bytes: int, now_ns: int
    ) -> None:
        """End the one exchange that a line was meant to answer, if that can be told."""
        exchange = self._meant(head)
        if exchange is not None:
            del self._pending[exchange.arrival.call_id]
            exchange.arrival.reply_bytes = size_bytes
            exchange.fail(reason, why, now_ns)

    def _note_trickle(self, exchange: Exchange) -> None:
        """Remember on the exchange that some of its reply is there, if that can be told."""
        if self._lines.begun and self._meant(self._lines.head) is exchange:
            exchange.arrival.body = self._lines.head
            exchange.arrival.first_ns = self._begun_ns
            exchange.arrival.reply_bytes = self._lines.size_bytes

    def _meant(self, head: bytes) -> Exchange | None:
        """The exchange whose response begins like this; None where that cannot be told."""
        found = _ID.search(head) if head.lstrip().startswith(b"{") else None
        return self._pending.get(int(found[1])) if found is not None else None


def describe_end(status: int | None) -> str:
    """Say how a process ended, after its name."""
    if status is None:
        return "is gone"
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
