"""A case as a string of bytes, read as decisions: what is short and low is simple."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

ItemT = TypeVar("ItemT")
_MANY: Final = 256


class Tape:
    """Decisions in a row; past its end each is the first, so that a shorter tape is simpler."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        """The next byte; 0 past the end."""
        at = self._at
        self._at = at + 1
        return self._data[at] if at < len(self._data) else 0

    def below(self, bound: int) -> int:
        """A number from 0 to `bound` - 1."""
        value = self.byte()
        return (value if bound <= _MANY else value * _MANY + self.byte()) % bound

    def one(self, choices: Sequence[ItemT]) -> ItemT:
        """One of these; the first is the simplest."""
        return choices[self.below(len(choices))]

    def seldom(self, times_in_256: int) -> bool:
        """Whether something unusual happens: never past the end."""
        return self.byte() >= _MANY - times_in_256
