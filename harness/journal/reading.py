"""A whole run as it was recorded, or as far as it got."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from harness import wal
from harness.journal.calls import Calls
from harness.journal.segments import all_blocks, all_calls, finish_merge

EntryT = TypeVar("EntryT")


@dataclass(frozen=True, kw_only=True, eq=False)
class Journal:
    """A whole run as it was recorded; `calls` is sorted by (session, index, attempt)."""

    entries: tuple[Any, ...]
    calls: Calls
    damaged_lines: int = 0  # a line cut short by a crash
    whole_by: str = ""  # who proved that everything the run broke is undone; "" for nobody

    def of(self, kind: type[EntryT]) -> tuple[EntryT, ...]:
        """Give the entries of one type in time order."""
        entries: tuple[EntryT, ...] = self._by_type.get(kind, ())
        return entries

    @cached_property
    def _by_type(self) -> dict[type[Any], tuple[Any, ...]]:
        """Sort the entries once: a long run has a line an effect, and many ask for a few others."""
        found: dict[type[Any], list[Any]] = {}
        for entry in self.entries:
            found.setdefault(type(entry), []).append(entry)
        return {kind: tuple(entries) for kind, entries in found.items()}


def read(folder: Path) -> Journal:
    """Read a run folder, whole or as far as it got.

    Raises:
        JournalError: when there is no journal in it.
    """
    finish_merge(folder)
    entries: list[Any] = []
    damaged = 0
    for found, _, bad in all_blocks(folder):
        entries += found
        damaged += bad
    entries.sort(key=attrgetter("at_ns"))  # stable: equal stamps keep their file's order
    return Journal(
        entries=tuple(entries),
        calls=all_calls(folder),
        damaged_lines=damaged,
        whole_by=_whole_by(folder),
    )


def _whole_by(folder: Path) -> str:
    try:
        by = wal.read(folder).closed_by
    except OSError:
        return ""
    return "" if by == wal.FORGOTTEN else by
