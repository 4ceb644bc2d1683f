"""What a table is: columns with a meaning each, and the cells that a run puts into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.evidence.phases import Evidence
from harness.redaction import redact
from harness.verdict import Judgement

_ROWS_AT_ONCE: Final = 10_000
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """A judged run, which all tables are made of."""

    evidence: Evidence
    judgement: Judgement


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """One column's values: numbers, truth values, or indices into words; missing where marked."""

    values: NDArray[Any]
    words: tuple[str, ...] | None = None
    missing: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.values)

    def said(self, start: int, end: int) -> list[object]:
        """Give a stretch of rows as plain values; None where there is none."""
        words = self.words
        plain: list[object] = self.values[start:end].tolist()
        if words is not None:
            plain = [words[place] for place in self.values[start:end]]
        if self.missing is not None:
            gaps = self.missing[start:end]
            plain = [None if gap else value for value, gap in zip(plain, gaps, strict=True)]
        return plain


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column: its name, with the unit last, what it says, and how it is filled."""

    name: str
    meaning: str
    cells: Callable[[Run], Cells]


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table: what a row of it is, and its columns."""

    name: str
    row: str
    columns: tuple[Column, ...]

    def fill(self, run: Run) -> dict[str, Cells]:
        """Fill every column, in order."""
        return {column.name: column.cells(run) for column in self.columns}


def rows(filled: dict[str, Cells]) -> Iterable[tuple[object, ...]]:
    """Give a filled table row by row, a stretch at a time."""
    count = max(map(len, filled.values()), default=0)
    for start in range(0, count, _ROWS_AT_ONCE):
        stretch = [cells.said(start, start + _ROWS_AT_ONCE) for cells in filled.values()]
        yield from zip(*stretch, strict=True)


# --- making cells ---------------------------------------------------------------------------


def plain(values: ArrayLike) -> Cells:
    """Give numbers or truth values as they are."""
    return Cells(values=np.asarray(values))


def named(codes: NDArray[Any], vocabulary: type[IntEnum]) -> Cells:
    """Give codes by the names of a vocabulary, in small letters."""
    words = {member.value: member.name.lower() for member in vocabulary}
    return worded(codes, [words.get(code, "") for code in range(max(words) + 1)])


def worded(codes: NDArray[Any], words: Sequence[str]) -> Cells:
    """Give indices into words; nothing that looks like a credential is in these."""
    return Cells(
        values=np.asarray(codes, dtype=np.int32), words=tuple(redact(word) for word in words)
    )


def texts(values: Iterable[str]) -> Cells:
    """Give one text a row."""
    given = list(values)
    words = dict.fromkeys(given)
    places = {word: place for place, word in enumerate(words)}
    return worded(np.array([places[each] for each in given], dtype=np.int32), list(words))


def numbers(values: Iterable[float | None]) -> Cells:
    """Give real numbers, some of which may be missing."""
    given = list(values)
    gaps = np.array([each is None for each in given], dtype=np.bool_)
    return Cells(values=np.array([each or 0.0 for each in given], dtype=np.float64), missing=gaps)


def counts(values: Iterable[int | None]) -> Cells:
    """Give whole numbers, some of which may be missing."""
    given = list(values)
    gaps = np.array([each is None for each in given], dtype=np.bool_)
    return Cells(values=np.array([each or 0 for each in given], dtype=np.int64), missing=gaps)


def moments(at_ns: NDArray[Any]) -> Cells:
    """Give stamps in seconds since the run began; missing where they never came."""
    return Cells(values=at_ns / 1e9, missing=np.asarray(at_ns < 0))


def spans(from_ns: NDArray[Any], to_ns: NDArray[Any]) -> Cells:
    """Give how long it took from one stamp to another, in milliseconds; missing without both."""
    return Cells(values=(to_ns - from_ns) / 1e6, missing=np.asarray((from_ns < 0) | (to_ns < 0)))


@dataclass(frozen=True)
class Of(Generic[T]):
    """Makes columns of what a run has some of, a row each."""

    each: Callable[[Run], Sequence[T]]

    def text(self, name: str, meaning: str, say: Callable[[T], str]) -> Column:
        """Give one text a row."""
        return Column(name=name, meaning=meaning, cells=lambda run: texts(map(say, self.each(run))))

    def number(self, name: str, meaning: str, say: Callable[[T], float | None]) -> Column:
        """Give one real number a row."""
        return Column(
            name=name, meaning=meaning, cells=lambda run: numbers(map(say, self.each(run)))
        )

    def count(self, name: str, meaning: str, say: Callable[[T], int | None]) -> Column:
        """Give one whole number a row."""
        return Column(
            name=name, meaning=meaning, cells=lambda run: counts(map(say, self.each(run)))
        )

    def yes_no(self, name: str, meaning: str, say: Callable[[T], bool]) -> Column:
        """Give one truth value a row."""
        return Column(
            name=name,
            meaning=meaning,
            cells=lambda run: Cells(values=np.array([*map(say, self.each(run))], dtype=np.bool_)),
        )
