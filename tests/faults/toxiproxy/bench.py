"""A link without sockets, for a stage that is tested alone."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from faults.toxiproxy.path.alarm import Alarm, Wake
from faults.toxiproxy.path.slices import Slicer
from faults.toxiproxy.path.stage import Budget, Toxic

MIB = 1024 * 1024


class Bell(Alarm):
    """An alarm that the test rings."""

    def __init__(self) -> None:
        self.grain_s = 0.0
        self.set: list[tuple[float, Wake]] = []

    def at(self, due_s: float, then: Callable[[], None]) -> Wake:
        """Only note it."""
        self.set.append((due_s, Wake(self, then)))
        return self.set[-1][1]

    def forget(self) -> None:
        """A cancelled wake does nothing when its turn comes."""

    def ring(self) -> None:
        """Call the one that was set first."""
        then = self.set.pop(0)[1].then
        if then is not None:
            then()


class Bench:
    """A link without sockets: what comes through a stage lies in `got`."""

    def __init__(self, alarm: Alarm | None = None, limit_bytes: int = MIB) -> None:
        self.bell = Bell()
        self.alarm = alarm or self.bell
        self.budget = Budget(limit_bytes=limit_bytes)
        self.stalled = False
        self.stalls_after = -1  # how many pieces fit; negative for any number
        self.got: list[bytes] = []
        self.got_s: list[float] = []
        self.ended = asyncio.Event()
        self.held = 0
        self.moved_bytes = 0
        self.views = 0  # how many pieces were views of a room

    def hold(self) -> None:
        """Nothing more is to come in."""
        self.held += 1

    def unhold(self) -> None:
        """More may come in."""
        self.held -= 1

    def reset(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""

    def feed(self, piece: bytes | memoryview, at_s: float) -> None:  # noqa: ARG002 - who comes counts
        """Take a piece."""
        self.views += isinstance(piece, memoryview)
        self.got.append(bytes(piece))
        self.got_s.append(time.monotonic())
        self.stalled = len(self.got) == self.stalls_after

    def end(self) -> None:
        """Take the end."""
        self.ended.set()


def toxic(kind: str, **attributes: int) -> Toxic:
    """A toxic that hits everything."""
    return Toxic(
        name="t",
        type=kind,
        stream="upstream",
        upstream=True,
        toxicity=1.0,
        attributes=attributes,
    )


def slicer(bench: Bench, average: int, variation: int = 0, delay: int = 0, seed: int = 0) -> Slicer:
    """A slicer on a bench."""
    sizes = {"average_size": average, "size_variation": variation, "delay": delay}
    return Slicer(toxic("slicer", **sizes), bench, bench, lambda: random.Random(seed))
