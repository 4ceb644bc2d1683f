"""Toxics that hold data back: latency, bandwidth."""

from __future__ import annotations

import random
import time
from collections import deque

from faults.toxiproxy.path.stage import MS, Stage

SOON_S = 0.0005  # a shorter wait for bandwidth is carried over to the next piece
CREDIT_S = 0.002  # how long reading on may take before the time for it is lost
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
        self._pieces: deque[tuple[bytes | memoryview, float]] = deque()
        self._held_bytes = 0
        self._due_s = 0.0  # when the first held piece leaves
        self._random: random.Random | None = None

    def feed_view(self, piece: memoryview, at_s: float) -> None:
        """Queue the piece where it lies."""
        self.feed(piece, at_s)

    def feed(self, piece: bytes | memoryview, at_s: float) -> None:
        """Queue the piece behind those before it."""
        self._touch(len(piece))
        self._pieces.append((piece, at_s))
        self._count(len(piece))
        if len(self._pieces) == 1:
            self._next_due()
            if self._due_s > at_s:
                self._timer = self.host.alarm.at(self._due_s, self._pass_due)
            else:
                self._pass_due()
        if self._held_bytes > LATENCY_BYTES_FLOOR:
            budget = self.host.budget
            if self._held_bytes >= LATENCY_BYTES_MAX or budget.held_bytes >= budget.limit_bytes:
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
            if self._pieces:
                self._next_due()
            self._pass_due()

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
                break
            if time.monotonic() < self._due_s:
                self._timer = self.host.alarm.at(self._due_s, self._pass_due)
                break
            self._pass_first(self._due_s)
            if self._pieces:
                self._next_due()
        else:
            self._set_full(full=False)
            if self.ended:
                self.after.end()
            return
        if self._full:
            self._ease()

    def _pass_first(self, at_least_s: float) -> None:
        piece, at_s = self._pieces.popleft()
        self._count(-len(piece))
        if isinstance(piece, memoryview):
            if self.after is self.host:
                self.host.feed(piece, at_s)
                return
            piece = bytes(piece)
        self.after.feed(piece, max(at_s, at_least_s))

    def _count(self, size_bytes: int) -> None:
        self._held_bytes += size_bytes
        self.host.budget.held_bytes += size_bytes

    def _ease(self) -> None:
        """Read again once there is room, and not just for one piece."""
        budget = self.host.budget
        if self._held_bytes <= LATENCY_BYTES_FLOOR or (
            self._held_bytes <= LATENCY_BYTES_MAX // 2
            and budget.held_bytes <= budget.limit_bytes // 2
        ):
            self._set_full(full=False)


class Bandwidth(Stage):
    """At most `rate` kilobytes (of 1000 bytes) per second; 0 lets nothing through."""

    __slots__ = ("_cut_s", "_due_s", "_idle_s", "_pieces", "_rest")

    def begin(self) -> None:
        """Start with nothing held and no time owed."""
        self._pieces: deque[tuple[bytes, float]] = deque()
        self._rest: tuple[bytes, float] | None = None  # the piece in hand
        self._due_s = 0.0  # when all bytes up to the piece in hand have had their time
        self._cut_s = 0.0  # when the next part of the piece in hand leaves
        self._idle_s = 0.0  # since when nothing has been in hand

    def feed(self, piece: bytes, at_s: float) -> None:
        """Queue the piece, in parts that keep the flow even."""
        size_bytes = len(piece)
        self._touch(size_bytes)
        if size_bytes <= PIECE_BYTES or size_bytes <= self.attributes["rate"] * 1000 * SOON_S:
            self._pieces.append((piece, at_s))
        else:
            starts = range(0, size_bytes, PIECE_BYTES)
            self._pieces.extend((piece[start : start + PIECE_BYTES], at_s) for start in starts)
        if self._rest is None:
            # Silence earns nothing, but what came late only because it was not read has its time.
            earned_s = CREDIT_S if at_s - self._idle_s < CREDIT_S else 0.0
            self._due_s = max(self._due_s, at_s - earned_s)
            self._idle_s = at_s
            self._advance(at_s)

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
            self._due_s = time.monotonic()
            self._advance(self._due_s)

    def drop(self) -> None:
        """Forget what is held."""
        self._pieces.clear()
        self._rest = None
        super().drop()

    def _pass_rest(self) -> None:
        self._cancel()
        if self._rest is not None:
            rest, self._rest = self._rest, None
            self.after.feed(*rest)

    def _advance(self, now_s: float) -> None:
        """Pass pieces until one must wait, or none is left."""
        rate = self.attributes["rate"]
        while self._pieces:
            self._rest = rest = self._pieces.popleft()
            if rate <= 0:
                self._set_full(full=True)
                return
            size_bytes = len(rest[0])
            self._cut_s = self._due_s + SLICE_EVERY_S
            self._due_s += size_bytes / (rate * 1000)
            if size_bytes > rate * 100:
                self._set_full(full=True)
                self._timer = self.host.alarm.at(self._cut_s, self._pass_slice)
                return
            if self._due_s - now_s >= SOON_S:
                self._set_full(full=True)
                self._timer = self.host.alarm.at(self._due_s, self._pass_when_due)
                return
            self._rest = None
            self.after.feed(*rest)
        self._idle_s = now_s
        self._set_full(full=False)
        if self.ended:
            self.after.end()

    def _pass_slice(self) -> None:
        assert self._rest is not None
        self._timer = None
        piece, at_s = self._rest
        cut = self.attributes["rate"] * 100
        self._rest = (piece[cut:], at_s)
        self._cut_s += SLICE_EVERY_S
        self.after.feed(piece[:cut], at_s)
        if self._rest is None:  # feeding may end the connection, which drops what is held
            return
        if len(self._rest[0]) > cut:
            self._timer = self.host.alarm.at(self._cut_s, self._pass_slice)
        else:
            self._timer = self.host.alarm.at(self._due_s, self._pass_when_due)

    def _pass_when_due(self) -> None:
        self._timer = None
        now_s = time.monotonic()
        # Lateness is given back at the next pieces, but not all at once.
        self._due_s = max(self._due_s, now_s - SLICE_EVERY_S)
        if self._rest is not None:
            rest, self._rest = self._rest, None
            self.after.feed(*rest)
        self._advance(now_s)
