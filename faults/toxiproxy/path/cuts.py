"""Toxics that end or spoil a connection: slow_close, timeout, reset_peer, limit_data, cut, idle."""

from __future__ import annotations

import time

from faults.toxiproxy.path.stage import MS, Stage

IDLE_LOOKS = 10


class SlowClose(Stage):
    """Data passes; the end waits `delay` ms."""

    __slots__ = ()

    def feed(self, piece: bytes, at_s: float) -> None:
        """Pass the piece on."""
        self.after.feed(piece, at_s)

    def finish(self) -> None:
        """Start the wait."""
        self._touch(0)
        self._wait(self._delay_s(), self._close)

    def _delay_s(self) -> float:
        return max(self.attributes["delay"], 0) * MS

    def _close(self) -> None:
        self._timer = None
        self.after.end()

    def release(self) -> None:
        """Close at once if the source has ended."""
        if self._timer is not None:
            self._cancel()
            self.after.end()

    def changed(self) -> None:
        """Begin the wait anew."""
        if self._timer is not None:
            self._cancel()
            self._wait(self._delay_s(), self._close)


class Timeout(Stage):
    """Drops all data; closes after `timeout` ms without any. 0 never closes."""

    __slots__ = ("_last_s",)

    def begin(self) -> None:
        """Start counting the silence."""
        self._last_s = time.monotonic()
        self._arm()

    def feed(self, piece: bytes, at_s: float) -> None:
        """Drop the piece."""
        self._touch(len(piece))
        self._last_s = at_s

    def finish(self) -> None:
        """Pass the end on."""
        self._cancel()
        self.after.end()

    def release(self) -> None:
        """Nothing is held: what was dropped stays lost."""
        self._cancel()

    def removed(self) -> None:
        """Removal closes the connection: part of its stream is missing."""
        self.end()

    def changed(self) -> None:
        """Count the silence anew."""
        self._cancel()
        self._last_s = time.monotonic()
        self._arm()

    def _arm(self) -> None:
        if self.attributes["timeout"] > 0 and not self.ended:
            silent_s = time.monotonic() - self._last_s
            self._wait(self.attributes["timeout"] * MS - silent_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if time.monotonic() - self._last_s < self.attributes["timeout"] * MS:
            self._arm()
            return
        self._touch(0)
        self.end()


class ResetPeer(Stage):
    """On the first piece, or the end: RST on both sides after `timeout` ms."""

    __slots__ = ("_pieces",)

    def begin(self) -> None:
        """Wait for the first piece."""
        self._pieces: list[tuple[bytes, float]] = []

    def feed(self, piece: bytes, at_s: float) -> None:
        """Start the countdown; the piece is kept only so that a removal in time loses nothing."""
        self._touch(len(piece))
        self._pieces.append((piece, at_s))
        self._set_full(full=True)
        self._arm()

    def finish(self) -> None:
        """Start the countdown."""
        if not self._pieces:
            self._touch(0)
        self._arm()

    def release(self) -> None:
        """Called off before the countdown ended: the stream goes on unharmed."""
        self._cancel()
        for piece, at_s in self._pieces:
            self.after.feed(piece, at_s)
        self._pieces.clear()
        self._set_full(full=False)
        if self.ended:
            self.after.end()

    def changed(self) -> None:
        """Count down anew."""
        if self._timer is not None:
            self._cancel()
            self._arm()

    def drop(self) -> None:
        """Forget the pieces."""
        self._pieces.clear()
        super().drop()

    def _arm(self) -> None:
        if self._timer is None:
            self._wait(max(self.attributes["timeout"], 0) * MS, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self.host.reset()


class LimitData(Stage):
    """Passes exactly `bytes` bytes, then closes."""

    __slots__ = ("_passed_bytes",)

    def begin(self) -> None:
        """Start the count, which outlives changes of the limit."""
        self._passed_bytes = 0

    def feed(self, piece: bytes, at_s: float) -> None:
        """Pass what the limit leaves of the piece."""
        if self.ended:
            return
        room_bytes = max(self.attributes["bytes"] - self._passed_bytes, 0)
        part = piece[:room_bytes]
        self._touch(len(part))
        if part:
            self._passed_bytes += len(part)
            self.after.feed(part, at_s)
        if self._passed_bytes >= self.attributes["bytes"]:
            self.end()


class Cut(Stage):
    """Ends the connection `after` ms from its start or the toxic's, whatever flows meanwhile."""

    __slots__ = ("_began_s",)

    def begin(self) -> None:
        """Start the countdown."""
        self._began_s = time.monotonic()
        self._arm()

    def release(self) -> None:
        """Called off: the stream goes on."""
        self._cancel()

    def changed(self) -> None:
        """Count from the same start to another end, which may be now."""
        self._cancel()
        self._arm()

    def _arm(self) -> None:
        elapsed_s = time.monotonic() - self._began_s
        self._wait(max(self.attributes["after"] * MS - elapsed_s, 0.0), self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._touch(0)
        if self.attributes["reset"]:
            self.host.reset()
        else:
            self.host.abort()


class Idle(Stage):
    """Ends a connection on which nothing has moved for `after` ms, in either direction."""

    __slots__ = ("_moved_bytes", "_silent")

    def begin(self) -> None:
        """Start counting the silence."""
        self._moved_bytes, self._silent = self.host.moved_bytes, 0
        self._arm()

    def release(self) -> None:
        """Called off: the stream goes on."""
        self._cancel()

    def changed(self) -> None:
        """Count the silence anew."""
        self._cancel()
        self._silent = 0
        self._arm()

    def _arm(self) -> None:
        # A piece is worth no stamp: looking now and then is exact to a part of the time.
        self._wait(self.attributes["after"] * MS / IDLE_LOOKS, self._look)

    def _look(self) -> None:
        self._timer = None
        moved_bytes = self.host.moved_bytes
        self._silent = self._silent + 1 if moved_bytes == self._moved_bytes else 0
        self._moved_bytes = moved_bytes
        if self._silent < IDLE_LOOKS:
            self._arm()
            return
        self._touch(0)
        self.host.abort()
