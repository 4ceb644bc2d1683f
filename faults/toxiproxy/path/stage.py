"""A toxic's place in one direction of one connection, and what is counted there.

A stage takes pieces in order, holds some of them for a while, and passes them on. It owns no task
and no queue that someone must await: its only clock is the server's alarm.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from faults.toxiproxy.path.alarm import Alarm, Wake
from faults.toxiproxy.path.rooms import ROOMS

MS = 0.001
US = 0.000_001


@dataclass(slots=True)
class Exposure:
    """What a toxic has touched since it was added."""

    connections: int = 0
    bytes: int = 0
    hits: int = 0  # pieces that passed through it, and closings it caused


@dataclass(slots=True, kw_only=True)
class Toxic:
    """A toxic of one proxy, as the API shows it."""

    name: str
    type: str
    stream: str  # as the client spelled it
    upstream: bool
    toxicity: float
    attributes: dict[str, int]
    fractions: dict[str, float] = field(default_factory=dict)  # attributes that are no integers
    exposure: Exposure = field(default_factory=Exposure)


@dataclass(slots=True)
class Budget:
    """How much all links of a server may hold in all, beyond each link's own floor."""

    limit_bytes: int
    held_bytes: int = 0


class Next(Protocol):
    """Where a stage passes its pieces: another stage, or the connection's far side."""

    def feed(self, piece: bytes, at_s: float) -> None:
        """Take one piece that arrived at `at_s`."""

    def end(self) -> None:
        """Take the end of the stream."""


class Host(Next, Protocol):
    """What a stage may ask of the link it works in, which is also the chain's last place."""

    alarm: Alarm
    budget: Budget
    stalled: bool  # the far side takes nothing at the moment

    @property
    def moved_bytes(self) -> int:
        """What has come in on the whole connection, in both directions."""

    def feed(self, piece: bytes | memoryview, at_s: float) -> None:
        """Write a piece that has passed every toxic; a view's room is given back once it is out."""

    def hold(self) -> None:
        """Stop reading the source until as many `unhold` calls have followed."""

    def unhold(self) -> None:
        """Undo one `hold`."""

    def reset(self) -> None:
        """Break the connection with RST on both sides."""

    def abort(self) -> None:
        """Close both sides of the connection now, whatever is on its way."""


class Stage:
    """Passes everything on at once: a noop, and the stand-in where toxicity spared a connection."""

    __slots__ = (
        "_full",
        "_timer",
        "after",
        "attributes",
        "bytes",
        "ended",
        "hits",
        "host",
        "rng",
        "toxic",
    )

    def __init__(
        self, toxic: Toxic, host: Host, after: Next, rng: Callable[[], random.Random]
    ) -> None:
        """Work for one link; `rng` makes this connection's own random numbers when needed."""
        self.toxic = toxic
        self.attributes = toxic.attributes
        self.host = host
        self.after = after
        self.rng = rng
        self.ended = False  # the source's end has come in, though perhaps not gone out
        self._timer: Wake | None = None
        self._full = False
        self.hits = 0  # on this connection, as in the toxic's exposure on all of them
        self.bytes = 0
        self.begin()

    def begin(self) -> None:
        """Set up what this kind of stage remembers."""

    def feed(self, piece: bytes, at_s: float) -> None:
        """Take one piece that arrived at `at_s` on the monotonic clock."""
        self.after.feed(piece, at_s)

    def feed_view(self, piece: memoryview, at_s: float) -> None:
        """Take one large piece, in a room lent for it; who does not keep it gives the room back."""
        copied = bytes(piece)
        ROOMS.take_back(piece)
        self.feed(copied, at_s)

    def end(self) -> None:
        """Take the source's end; a second one changes nothing."""
        if not self.ended:
            self.ended = True
            self.finish()

    def finish(self) -> None:
        """Pass the end on once nothing is left before it."""
        self.after.end()

    def release(self) -> None:
        """Pass on all that is held, at once: the toxic goes away or changes."""

    def resume(self) -> None:
        """The far side takes bytes again."""

    def removed(self) -> None:
        """Do what the toxic's removal means for this connection."""
        self.release()

    def changed(self) -> None:
        """Go on under changed attributes."""

    def drop(self) -> None:
        """Forget everything: the connection is gone."""
        self._cancel()
        self._set_full(full=False)

    def _touch(self, size_bytes: int) -> None:
        exposure = self.toxic.exposure
        exposure.hits += 1
        exposure.bytes += size_bytes
        if not self.hits:
            exposure.connections += 1
        self.hits += 1
        self.bytes += size_bytes

    def _set_full(self, *, full: bool) -> None:
        if full != self._full:
            self._full = full
            if full:
                self.host.hold()
            else:
                self.host.unhold()

    def _wait(self, delay_s: float, then: Callable[[], None]) -> None:
        """Call `then` once `delay_s` has passed, and not before."""
        self._timer = self.host.alarm.at(time.monotonic() + delay_s, then)

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
