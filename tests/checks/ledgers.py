"""Builders of a dependency's ledger: a request for each call of a kind, and whatever went wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness.journal import DependencyEntry, Journal, PoolEntry
from harness.scenario.marks import Marks
from tests import journals
from tests.journals import MS, S

MARKS = Marks.of(7)  # as `journals.scenario` has it
ROWS = 10
Change = Callable[[np.void, DependencyEntry], Iterable[DependencyEntry]]


def asked(call: int = 0, change: Change | None = None, rows: int = ROWS) -> Any:
    """Give what lays a request behind each call of a kind; `change` may make others of it."""

    def lay(made: Journal) -> Journal:
        entries: list[Any] = list(made.entries)
        for row in made.calls[made.calls["call"] == call]:
            whole = DependencyEntry(
                at_ns=int(row["sent_ns"]) + 2 * MS,
                operation="rows",
                key=MARKS.nonce(int(row["session"]), int(row["index"])),
                took_ns=5 * MS,
                status=200,
                executed=True,
                answered=True,
                rows=rows,
                total=rows,
            )
            entries += [whole] if change is None else change(row, whole)
        return replace(made, entries=tuple(sorted(entries, key=lambda entry: entry.at_ns)))

    return lay


def within(span: tuple[float, float], change: Change) -> Change:
    """Change only what was due in a stretch of the run."""

    def maybe(row: np.void, whole: DependencyEntry) -> Iterable[DependencyEntry]:
        inside = span[0] * S <= int(row["due_ns"]) < span[1] * S
        return change(row, whole) if inside else [whole]

    return maybe


def instead(**fields: Any) -> Change:
    """Let the dependency answer otherwise."""
    return lambda _, whole: [replace(whole, **fields)]


def nothing(row: np.void, whole: DependencyEntry) -> Iterable[DependencyEntry]:
    """Let the request never come."""
    del row, whole
    return ()


def again(
    times: int, gaps_ms: Sequence[float], *, retry_after_s: float = 0.0, **fields: Any
) -> Change:
    """Let it fail, and be asked again so many times, each so long after the last answer."""

    def repeat(_: np.void, whole: DependencyEntry) -> Iterable[DependencyEntry]:
        at_ns = whole.at_ns
        for turn in range(times + 1):
            made = replace(
                whole,
                at_ns=at_ns,
                answered=True,
                rows=-1,
                **{"status": 429, "retry_after_s": retry_after_s, **fields},
            )
            yield made
            at_ns += made.took_ns + round(gaps_ms[turn % len(gaps_ms)] * MS)

    return repeat


def pool(*seconds: tuple[float, int, int], name: str = "db") -> tuple[PoolEntry, ...]:
    """Make the dependency's count of its connections from (seconds, open, busy)."""
    return tuple(
        PoolEntry(at_ns=round(at_s * journals.S), dependency=name, open=open_, busy=busy)
        for at_s, open_, busy in seconds
    )
