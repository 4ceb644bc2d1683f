"""Toxics that hold data back: latency, bandwidth, slicer."""

from __future__ import annotations

import random
import time
from collections import deque

from faults.toxiproxy.stage import MS, US, Stage

SOON_S = 0.0005  # the loop's timers count whole milliseconds: a shorter wait is carried as debt
SLICE_EVERY_S = 0.1  # a bandwidth below one piece per 100 ms cuts its pieces to that
PIECE_BYTES = 32 * 1024  # a rate is kept in pieces of at most this size, as in the original

# The original holds up to 32 MiB a link, which is 6 GiB for two hundred links that flood.
LATENCY_BYTES_MAX = 32 * 1024 * 1024
LATENCY_BYTES_FLOOR = 256 * 1024  # a link may always hold this much, whatever the others hold


class Latency(Stage):
    """Each piece leaves `latency` ± `jitter` ms after it arrived; order is kept."""

    __slots__ = ("_due_s", "_held_bytes", "_pieces", "_random")

    def begin(self) -> None:
        """Start with nothing held."""
        self._pieces: deque[tuple[bytes, float]] = deque()
        self._held_bytes = 0
        self._due_s = 0.0  # when the first held piece leaves
        self._random: random.Random | None = None

    def feed(self, piece: bytes, at_s: float) -> None:
        """Queue the piece behind those before it."""
        self._touch(len(piece))
        self._pieces.append((piece, at_s))
        self._count(len(piece))
        if len(self._pieces) == 1:
            self._next_due()
            self._pass_due()
        held_bytes = self._held_bytes
        if held_bytes > LATENCY_BYTES_FLOOR:
            budget = self.host.budget
            if held_bytes >= LATENCY_BYTES_MAX or budget.held_bytes >= budget.limit_bytes:
                self._set_full(full=True)

    def finish(self) -> None:
        """Let the end follow the last piece."""
        if not self._pieces:
            self.after.end()

    def release(self) -> None:
        """Flush without delay."""
        self._cancel()
        while self._pieces:
            self._pass_first(0.0)
        self._set_full(full=False)
        if self.ended:
            self.after.end()

    def resume(self) -> None:
        """Pass on what has become due in the meantime."""
        if self._pieces and self._timer is None:
            self._pass_due()

    def changed(self) -> None:
        """The waiting piece goes at once, the others under the new delay."""
        self._cancel()
        if self._pieces:
            self._pass_first(0.0)
            self._proceed()

    def drop(self) -> None:
        """Forget the queue."""
        self._pieces.clear()
        self._count(-self._held_bytes)
        super().drop()

    def _next_due(self) -> None:
        delay_ms = self.attributes["latency"]
        jitter_ms = self.attributes["jitter"]
        if jitter_ms > 0:
            if self._random is None:
                self._random = self.rng()
            delay_ms += self._random.randrange(2 * jitter_ms) - jitter_ms
        self._due_s = self._pieces[0][1] + delay_ms * MS

    def _pass_due(self) -> None:
        self._timer = None
        while self._pieces:
            if self.host.stalled:  # what is late already may wait here, where it is counted
                return
            now_s = time.monotonic()
            if now_s < self._due_s:
                self._wait(self._due_s - now_s, self._pass_due)
                return
            self._pass_first(self._due_s)
            if self._pieces:
                self._next_due()
        self._proceed()

    def _pass_first(self, at_least_s: float) -> None:
        piece, at_s = self._pieces.popleft()
        self._count(-len(piece))
        self.after.feed(piece, max(at_s, at_least_s))

    def _count(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        self.host.budget.held_bytes += size_bytes

    def _proceed(self) -> None:
        if self._held_bytes <= LATENCY_BYTES_FLOOR:
            self._set_full(full=False)
        if self._pieces:
            self._next_due()
            self._pass_due()
        elif self.ended:
            self.after.end()


class Bandwidth(Stage):
    """At most `rate` kilobytes (of 1000 bytes) per second; 0 lets nothing through."""

    __slots__ = ("_debt_s", "_due_s", "_pieces", "_rest")

    def begin(self) -> None:
        """Start with nothing held and no time owed."""
        self._pieces: deque[tuple[bytes, float]] = deque()
        self._rest: tuple[bytes, float] | None = None
        self._debt_s = 0.0  # time owed for the bytes of the piece in hand
        self._due_s = 0.0

    def feed(self, piece: bytes, at_s: float) -> None:
        """Queue the piece, in parts that keep the flow even."""
        self._touch(len(piece))
        if len(piece) <= PIECE_BYTES:
            self._pieces.append((piece, at_s))
        else:
            starts = range(0, len(piece), PIECE_BYTES)
            self._pieces.extend((piece[start : start + PIECE_BYTES], at_s) for start in starts)
        if self._rest is None:
            self._advance()

    def finish(self) -> None:
        """Let the end follow the last piece."""
        if self._rest is None:
            self.after.end()

    def release(self) -> None:
        """Pass on all at once."""
        self._pass_rest()
        while self._pieces:
            self.after.feed(*self._pieces.popleft())
        self._set_full(full=False)
        if self.ended:
            self.after.end()

    def changed(self) -> None:
        """The piece in hand goes at once, the others at the new rate."""
        if self._rest is not None:
            self._pass_rest()
            self._advance()

    def drop(self) -> None:
        """Forget what is held."""
        self._pieces.clear()
        self._rest = None
        super().drop()

    def _pass_rest(self) -> None:
        self._cancel()
        self._debt_s = 0.0
        if self._rest is not None:
            rest, self._rest = self._rest, None
            self.after.feed(*rest)

    def _advance(self) -> None:
        """Pass pieces until one must wait, or none is left."""
        rate = self.attributes["rate"]
        while self._pieces:
            self._rest = self._pieces.popleft()
            if rate <= 0:
                self._set_full(full=True)
                return
            size_bytes = len(self._rest[0])
            self._debt_s += size_bytes / (rate * 1000)
            now_s = time.monotonic()
            if size_bytes > rate * 100:
                self._due_s = now_s
                self._slice_later()
                return
            if self._debt_s >= SOON_S:
                self._due_s = now_s + self._debt_s
                self._set_full(full=True)
                self._wait(self._debt_s, self._pass_when_due)
                return
            rest, self._rest = self._rest, None
            self.after.feed(*rest)
        self._set_full(full=False)
        if self.ended:
            self.after.end()

    def _slice_later(self) -> None:
        self._due_s += SLICE_EVERY_S
        self._set_full(full=True)
        self._wait(self._due_s - time.monotonic(), self._pass_slice)

    def _pass_slice(self) -> None:
        assert self._rest is not None
        piece, at_s = self._rest
        cut = self.attributes["rate"] * 100
        self._debt_s -= SLICE_EVERY_S
        self._rest = (piece[cut:], at_s)
        self.after.feed(piece[:cut], at_s)
        if self._rest is None:  # feeding may end the connection, which drops what is held
            return
        if len(self._rest[0]) > cut:
            self._slice_later()
        else:
            self._due_s += max(self._debt_s, 0.0)
            self._wait(self._due_s - time.monotonic(), self._pass_when_due)

    def _pass_when_due(self) -> None:
        now_s = time.monotonic()
        if now_s < self._due_s:
            self._wait(self._due_s - now_s, self._pass_when_due)
            return
        self._timer = None
        # The lateness is given back at the next piece, as credit.
        self._debt_s = max(self._due_s - now_s, -SLICE_EVERY_S)
        if self._rest is not None:
            rest, self._rest = self._rest, None
            self.after.feed(*rest)
        self._advance()


class Slicer(Stage):
    """Cuts pieces to `average_size` ± `size_variation` bytes, `delay` µs after each."""

    __slots__ = ("_cut_bytes", "_due_s", "_pieces", "_random", "_spans")

    def begin(self) -> None:
        """Start with nothing held."""
        self._pieces: deque[tuple[bytes, float]] = deque()
        self._spans: list[tuple[int, int]] = []  # of the first piece, still to be cut; next is last
        self._cut_bytes = 0  # how much of the first piece has gone out
        self._due_s = 0.0
        self._random: random.Random | None = None

    def feed(self, piece: bytes, at_s: float) -> None:
        """Queue the piece for cutting."""
        self._touch(len(piece))
        self._pieces.append((piece, at_s))
        if self._timer is None:
            self._due_s = max(self._due_s, time.monotonic())
            self._pass_due()

    def finish(self) -> None:
        """Let the end follow the last slice."""
        if not self._pieces:
            self.after.end()

    def release(self) -> None:
        """Pass on the uncut rest."""
        self._cancel()
        while self._pieces:
            piece, at_s = self._pieces.popleft()
            uncut = piece[self._cut_bytes :]
            self._cut_bytes = 0
            self._spans.clear()
            self.after.feed(uncut, at_s)
        self._set_full(full=False)
        if self.ended:
            self.after.end()

    def changed(self) -> None:
        """What is held goes uncut."""
        if self._pieces:
            self.release()

    def drop(self) -> None:
        """Forget what is held."""
        self._pieces.clear()
        self._spans.clear()
        super().drop()

    def next_slice(self) -> bytes:
        """The next slice of the first piece: halves until one is small enough."""
        piece = self._pieces[0][0]
        spans = self._spans or [(0, len(piece))]
        average = self.attributes["average_size"]
        variation = self.attributes["size_variation"]
        start, stop = spans.pop()
        while stop - start - average > variation:
            middle = start + (stop - start) // 2
            if variation > 0:
                if self._random is None:
                    self._random = self.rng()
                middle += self._random.randrange(2 * variation) - variation
            spans.append((middle, stop))
            stop = middle
        self._spans = spans
        self._cut_bytes = stop
        if not spans:
            self._pieces.popleft()
            self._cut_bytes = 0
        return piece[start:stop]

    def _pass_due(self) -> None:
        """Pass one slice; the next goes in a later turn of the loop, so in a write of its own."""
        self._timer = None
        delay_s = self.attributes["delay"] * US
        wait_s = 0.0
        if delay_s > 0:
            now_s = time.monotonic()
            wait_s = self._due_s - now_s
            if wait_s < SOON_S:
                self._due_s = max(self._due_s, now_s - SLICE_EVERY_S) + delay_s
        if wait_s < SOON_S and self._pieces:
            at_s = self._pieces[0][1]
            self.after.feed(self.next_slice(), at_s)
        if self._pieces:
            self._set_full(full=True)
            if self._due_s - time.monotonic() >= SOON_S:
                self._wait(self._due_s - time.monotonic(), self._pass_due)
            else:
                self._timer = self.host.loop.call_soon(self._pass_due)
            return
        self._set_full(full=False)
        if self.ended:
            self.after.end()
