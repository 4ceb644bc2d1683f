"""The programmes in force at the dependency: which of them strikes a request, and how often."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Final

import anyio
from pydantic import TypeAdapter

from faults.levers import Programme, ProgrammeKind

READS: Final = frozenset({"rows", "row", "notes", "get_cell"})
WRITES: Final = frozenset({"append", "put_cell"})
PROGRAMME: Final[TypeAdapter[Programme]] = TypeAdapter(Programme)


class Programmes:
    """Programmes by their labels, and their hits, which outlive them."""

    def __init__(self, *, seed: int) -> None:
        """Begin with none; `seed` decides which requests a share of them strikes."""
        self._draw = random.Random(seed)
        self._inside: dict[str, Programme] = {}
        self.hits: Counter[str] = Counter()
        self._under_way: Counter[str] = Counter()
        self._ends: dict[str, anyio.Event] = {}

    def engage(self, label: str, programme: Programme) -> None:
        """Put one into force; the same label takes the place of the one before."""
        self.disengage(label)
        self._inside[label] = programme
        self._ends[label] = anyio.Event()

    def disengage(self, label: str) -> None:
        """Take one out, if it is there; whatever it holds up goes on."""
        self._inside.pop(label, None)
        ended = self._ends.pop(label, None)
        if ended is not None:
            ended.set()

    @property
    def inside(self) -> tuple[str, ...]:
        """The labels of those in force."""
        return tuple(self._inside)

    async def until_over(self, label: str) -> None:
        """Return when a programme has been taken out."""
        ended = self._ends.get(label)
        if ended is not None:
            await ended.wait()

    def of(self, kind: ProgrammeKind, operation: str) -> Iterator[tuple[str, Programme]]:
        """Yield the programmes of a kind that strike this request, each with its label."""
        for label, programme in tuple(self._inside.items()):
            if programme.kind != kind or not _concerns(programme, operation):
                continue
            if programme.share >= 1 or self._draw.random() < programme.share:
                yield label, programme

    def first(self, kind: ProgrammeKind, operation: str) -> tuple[str, Programme] | None:
        """The first programme of a kind that strikes this request."""
        return next(self.of(kind, operation), None)

    def hit(self, label: str) -> None:
        """Count a request that was answered otherwise than without the programme."""
        self.hits[label] += 1

    def enter(self, label: str, slots: int) -> bool:
        """Take one of a pool's slots, if one is free; then `leave` gives it back."""
        if self._under_way[label] >= slots:
            return False
        self._under_way[label] += 1
        return True

    def leave(self, label: str) -> None:
        """Give a slot back."""
        self._under_way[label] -= 1


def _concerns(programme: Programme, operation: str) -> bool:
    match programme.operations:
        case "reads":
            return operation in READS
        case "writes":
            return operation in WRITES
        case "tokens":
            return operation == "token"
        case "any":
            return operation in READS or operation in WRITES
