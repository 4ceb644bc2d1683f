"""Toxics that hold data back: latency, bandwidth, slicer."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator

from faults.toxiproxy.stage import MS, US, Stage

SOON_S = 0.0005  # the loop's timers count whole milliseconds: a shorter wait is carried as debt
SLICE_EVERY_S = 0.1  # a bandwidth below one piece per 100 ms cuts its pieces to that
LATENCY_PIECES_MAX = 1024


class Latency(Stage):
    """Each piece leaves `latency` ± `jitter` ms after it arrived; order is kept."""

    __slots__ = ("_due_s", "_pieces", "_random")

    def begin(self) -> None:
        """Start with nothing held."""
        self._pieces: deque[tuple[bytes, float]] = deque()
        self._due_s = 0.0  # when the first held piece leaves
        self._random: random.Random | None = None

    def feed(self, piece: bytes, at_s: float) -> None:
        """Queue the piece behind those before it."""
        self._touch(len(piece))
        self._pieces.append((piece, at_s))
        if self._timer is None:
            self._next_due()
            self._pass_due()
        if len(self._pieces) >= LATENCY_PIECES_MAX:
            self._set_full(full=True)

    def finish(self) -> None:
        """Let the end follow the last piece."""
        if not self._pieces:
            self.after.end()

    def release(self) -> None:
        """Flush without delay."""
        self._cancel()
        while self._pieces:
            self.after.feed(*self._pieces.popleft())
        self._set_full(full=False)
        if self.ended:
            self.after.end()

    def changed(self) -> None:
        """The waiting piece goes at once, the others under the new delay."""
        self._cancel()
        if self._pieces:
            self.after.feed(*self._pieces.popleft())
            self._proceed()

    def drop(self) -> None:
        """Forget the queue."""
        self._pieces.clear()
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
            now_s = time.monotonic()
            if now_s < self._due_s:
                self._wait(self._due_s - now_s, self._pass_due)
                return
            piece, at_s = self._pieces.popleft()
            self.after.feed(piece, max(at_s, self._due_s))
            if self._pieces:
                self._next_due()
        self._proceed()

    def _proceed(self) -> None:
        if len(self._pieces) < LATENCY_PIECES_MAX:
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
        """Queue the piece."""
        self._touch(len(piece))
        self._pieces.append((piece, at_s))
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

    __slots__ = ("_due_s", "_random", "_slices")

    def begin(self) -> None:
        """Start with nothing held."""
        self._slices: deque[tuple[bytes, float]] = deque()
        self._due_s = 0.0
        self._random: random.Random | None = None

    def feed(self, piece: bytes, at_s: float) -> None:
        """Cut the piece and queue its slices."""
        self._touch(len(piece))
        self._slices.extend((part, at_s) for part in self._cut(piece))
        if self._timer is None:
            self._due_s = max(self._due_s, time.monotonic())
            self._pass_due()

    def finish(self) -> None:
        """Let the end follow the last slice."""
        if not self._slices:
            self.after.end()

    def release(self) -> None:
        """Pass on the uncut rest."""
        self._cancel()
        if self._slices:
            at_s = self._slices[0][1]
            rest = b"".join(part for part, _ in self._slices)
            self._slices.clear()
            self.after.feed(rest, at_s)
        self._set_full(full=False)
        if self.ended:
            self.after.end()

    def changed(self) -> None:
        """The rest of the piece in hand goes uncut."""
        self._cancel()
        if self._slices:
            self.release()

    def drop(self) -> None:
        """Forget the slices."""
        self._slices.clear()
        super().drop()

    def _cut(self, piece: bytes) -> Iterator[bytes]:
        """Halve until a part is no longer than the average and its variation."""
        average = self.attributes["average_size"]
        variation = self.attributes["size_variation"]
        if variation > 0 and self._random is None:
            self._random = self.rng()
        spans = [(0, len(piece))]
        while spans:
            start, stop = spans.pop()
            if stop - start - average <= variation:
                yield piece[start:stop]
                continue
            middle = start + (stop - start) // 2
            if self._random is not None and variation > 0:
                middle += self._random.randrange(2 * variation) - variation
            spans.append((middle, stop))
            spans.append((start, middle))

    def _pass_due(self) -> None:
        """Pass one slice; the next goes in a later turn of the loop, so in a write of its own."""
        self._timer = None
        now_s = time.monotonic()
        if self._slices and now_s + SOON_S >= self._due_s:
            piece, at_s = self._slices.popleft()
            self._due_s = max(self._due_s, now_s - SLICE_EVERY_S) + (
                max(self.attributes["delay"], 0) * US
            )
            self.after.feed(piece, at_s)
        if self._slices:
            self._set_full(full=True)
            if self._due_s - now_s >= SOON_S:
                self._wait(self._due_s - now_s, self._pass_due)
            else:
                self._timer = self.host.loop.call_soon(self._pass_due)
            return
        self._set_full(full=False)
        if self.ended:
            self.after.end()
