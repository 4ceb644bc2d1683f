"""The toxic that cuts data up: slicer."""

from __future__ import annotations

import functools
import random
import time
from collections import deque

from faults.toxiproxy.path.rooms import ROOMS
from faults.toxiproxy.path.stage import US, Stage

SLICES_MAX = 128  # in one turn
SLICES_CROWDED_MAX = 16  # in one turn that everybody takes
LATE_MAX_S = 0.1  # what is later than this does not hurry to catch up


class Slicer(Stage):
    """Cuts pieces to `average_size` ± `size_variation` bytes, `delay` µs after each."""

    __slots__ = ("_due_s", "_pieces", "_random", "_start", "_stops")

    def begin(self) -> None:
        """Start with nothing held."""
        self._pieces: deque[tuple[bytes, float]] = deque()
        self._start = 0  # how much of the first piece has gone out
        self._stops: list[int] = []  # where the slices of the first piece end, the next one last
        self._due_s = 0.0
        self._random: random.Random | None = None

    def feed(self, piece: bytes, at_s: float) -> None:
        """Queue the piece for cutting."""
        self._touch(len(piece))
        self._pieces.append((piece, at_s))
        if self._timer is None:
            self._due_s = max(self._due_s, at_s)
            self._pass_due(SLICES_CROWDED_MAX if ROOMS.crowded else SLICES_MAX)

    def finish(self) -> None:
        """Let the end follow the last slice."""
        if not self._pieces:
            self.after.end()

    def release(self) -> None:
        """Pass on the uncut rest."""
        self._cancel()
        while self._pieces:
            piece, at_s = self._pieces.popleft()
            uncut = piece[self._start :]
            self._start = 0
            self._stops.clear()
            self.after.feed(uncut, at_s)
        self._set_full(full=False)
        if self.ended:
            self.after.end()

    def changed(self) -> None:
        """What is held goes uncut."""
        if self._pieces:
            self.release()

    def resume(self) -> None:
        """Go on where the far side took no more."""
        if self._pieces and self._timer is None:
            self._pass_due()

    def drop(self) -> None:
        """Forget what is held."""
        self._pieces.clear()
        self._stops.clear()
        super().drop()

    def _pass_due(self, left: int = SLICES_MAX) -> None:
        """Pass slices, each in a write of its own, until one must wait."""
        self._timer = None
        delay_s = self.attributes["delay"] * US
        while self._pieces and not self.host.stalled:
            if delay_s > 0:
                now_s = time.monotonic()
                if self._due_s - now_s >= self.host.alarm.grain_s:
                    self._go_on_at(self._due_s)
                    return
                self._due_s = max(self._due_s, now_s - LATE_MAX_S) + delay_s
            elif not left:
                self._go_on_at(0.0)  # but let others have their turn
                return
            left = self._pass_slices(1 if delay_s > 0 else left)
        if not self._pieces:
            self._set_full(full=False)
            if self.ended:
                self.after.end()

    def _go_on_at(self, due_s: float) -> None:
        self._set_full(full=True)
        self._timer = self.host.alarm.at(due_s, self._pass_due)

    def _pass_slices(self, left: int) -> int:
        """Pass at most so many slices of the first piece; how many of them were not passed."""
        piece, at_s = self._pieces[0]
        if not self._stops:
            self._stops = self.stops(len(piece))
        stops, start, feed, host = self._stops, self._start, self.after.feed, self.host
        while stops and left and not host.stalled:
            left -= 1
            stop = stops.pop()
            feed(piece[start:stop], at_s)
            start = stop
        self._start = start
        if not stops and self._pieces:  # feeding may end the connection, which drops what is held
            self._pieces.popleft()
            self._start = 0
        return left

    def stops(self, size_bytes: int) -> list[int]:
        """Where slices of so long a piece end, last one first: halves until they are small."""
        average = self.attributes["average_size"]
        variation = self.attributes["size_variation"]
        if variation <= 0:
            return list(even_stops(size_bytes, average + variation))
        if self._random is None:
            self._random = self.rng()
        chance, spread, longest = self._random.random, 2 * variation, average + variation
        found, starts, ends = [], [0], [size_bytes]
        while starts:
            start, end = starts.pop(), ends.pop()
            while end - start > longest:
                middle = (start + end) // 2 - variation + int(chance() * spread)
                starts.append(start)
                ends.append(middle)
                start = middle
            found.append(end)
        return found


@functools.lru_cache(maxsize=32)
def even_stops(size_bytes: int, longest: int) -> tuple[int, ...]:
    """Where slices end that are halved without chance, last one first."""
    found, starts, ends = [], [0], [size_bytes]
    while starts:
        start, end = starts.pop(), ends.pop()
        while end - start > longest:
            middle = start + (end - start) // 2
            starts.append(start)
            ends.append(middle)
            start = middle
        found.append(end)
    return tuple(found)
