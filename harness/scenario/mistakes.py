"""Mistakes of one file: gathered as they are found, each at its place, handed out in file order."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from harness.errors import Mistake

Trail = tuple[str | int, ...]  # the way to a value: ("faults", 0, "tcp-latency", "delay")
SHOWN_MAX: Final = 60


class Spot(NamedTuple):
    """Where something stands in a file, both counted from 1."""

    line: int
    column: int


class Mistakes:
    """What is wrong with one file, and where everything in it stands."""

    def __init__(self, file: str) -> None:
        """Start with a file that nothing is known of."""
        self.file = file
        self.values: dict[Trail, Spot] = {}
        self.keys: dict[Trail, Spot] = {}
        self._found: list[Mistake] = []
        self._trails: set[Trail] = set()

    def add(
        self, trail: Trail, expected: str, came: str, mend: str, spot: Spot | None = None
    ) -> None:
        """Note a mistake; of several at the same value only the first, which caused the others."""
        if trail and trail in self._trails:
            return
        self._trails.add(trail)
        line, column = spot or self.spot(trail)
        self._found.append(
            Mistake(
                file=self.file,
                line=line,
                column=column,
                path=_printable(".".join(map(str, trail))),
                expected=expected,
                came=_printable(came),
                mend=_printable(mend),
            )
        )

    def spot(self, trail: Trail) -> Spot:
        """Find a value, or the nearest thing around it that the file does contain."""
        while trail:
            if trail in self.values:
                return self.values[trail]
            trail = trail[:-1]
        return self.values.get((), Spot(1, 1))

    def resolve(self, trail: Trail, loc: tuple[str | int, ...]) -> Trail:
        """Follow a place as far as the file goes, and one missing key further."""
        for part in loc:
            if (*trail, part) not in self.values:
                return (*trail, part) if isinstance(part, str) else trail
            trail = (*trail, part)
        return trail

    def key_spot(self, trail: Trail) -> Spot:
        """Find a key rather than its value."""
        return self.keys.get(trail) or self.spot(trail)

    def touch(self, *trails: Trail) -> bool:
        """Whether something is already wrong at, inside or around one of these values."""
        return any(
            wrong[: len(trail)] == trail or trail[: len(wrong)] == wrong
            for wrong in self._trails
            for trail in trails
        )

    def inside(self, trail: Trail) -> Iterator[Trail]:
        """Yield the way from a value to each mistake at it or inside it."""
        size = len(trail)
        return (wrong[size:] for wrong in self._trails if wrong[:size] == trail)

    def in_order(self) -> tuple[Mistake, ...]:
        """Give every mistake, first line first."""
        return tuple(sorted(self._found, key=lambda each: (each.line, each.column, each.path)))


def _printable(text: str) -> str:
    """Keep a message on its line, and a terminal from being written to by a file's escapes."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def shown(value: object) -> str:
    """Show a value as its author wrote it, cut to a line's share."""
    if isinstance(value, dict):
        return f"a mapping with {', '.join(map(str, value))}"[:SHOWN_MAX] if value else "{}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if value is None:
        return "nothing"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN_MAX else f"{text[: SHOWN_MAX - 1]}…"


def nearest(word: object, known: Iterable[str], *, what: str) -> str:
    """Word a mend: the known name that was probably meant, or all there are."""
    names = sorted(known)
    if meant := likely(word, names):
        return f"did you mean {meant}?"
    return f"{what}: {', '.join(names)}" if names else f"no {what} is known here"


def likely(word: object, known: Iterable[str]) -> str | None:
    """Give the known name that was probably meant, if one is near enough."""
    by_folded = {name.lower().replace("_", "-"): name for name in known}
    folded = str(word).lower().replace("_", "-")
    close = difflib.get_close_matches(folded, by_folded, n=1, cutoff=0.65)
    return by_folded[close[0]] if close else None
