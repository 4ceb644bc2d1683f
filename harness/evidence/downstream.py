"""What each call made the target ask of its dependency, by the dependency's own ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.executions import owners
from harness.journal import DependencyEntry
from harness.scenario.marks import Marks

Mask = NDArray[np.bool_]
Whole = NDArray[np.int64]

FAILED_MIN: Final = 400  # a status from which on the dependency has refused or failed
# Buying a token is no part of what a call is answered with.
_ASIDE: Final = frozenset({"token"})
_WITHHELD: Final = ("empty", "partial", "drift")  # what was done so that rows do not arrive


@dataclass(frozen=True, kw_only=True, eq=False)
class Downstream:
    """Every request at the dependencies, in time order, each beside the call that it served."""

    entries: tuple[DependencyEntry, ...]
    call: Whole  # which settled call it was for; -1 for none that is known
    at_ns: Whole
    done_ns: Whole
    status: Whole  # 0: no answer was begun
    rows: Whole
    total: Whole  # rows that there are for what was asked; -1 for no such number
    withheld: Mask  # rows of its answer were kept back, or out of reach, on purpose
    good: Mask  # the whole of an answer left, and it was no refusal
    aside: Mask  # it was for a token, not for what the call asked

    def __len__(self) -> int:
        """How many requests there were."""
        return len(self.entries)

    def of(self, call: int) -> Whole:
        """Give the requests that a settled call caused, in time order."""
        return np.flatnonzero(self.call == call)

    def line(self, at: int) -> str:
        """Say one request as the ledger has it, for people."""
        entry = self.entries[at]
        told = f"{entry.status}" if entry.status else "no answer"
        if entry.status and not entry.answered:
            told += ", cut short"
        return (
            f"{entry.operation} at {entry.at_ns / 1e9:.2f} s: {told} "
            f"after {entry.took_ns / 1e6:.0f} ms"
        )


def lay(
    entries: Sequence[DependencyEntry],
    *,
    marks: Marks,
    session: NDArray[np.uint32],
    index: NDArray[np.uint32],
) -> Downstream:
    """Lay the requests at the dependencies beside the calls whose nonces their keys carry."""
    count = len(entries)
    keys: dict[str, int] = {}
    which = np.fromiter(
        (keys.setdefault(entry.key, len(keys)) for entry in entries), dtype=np.int64, count=count
    )
    owner = owners(tuple(keys), marks=marks, session=session, index=index)

    def column(name: str) -> Whole:
        return np.fromiter((getattr(one, name) for one in entries), dtype=np.int64, count=count)

    at_ns, status = column("at_ns"), column("status")
    answered = column("answered") == 1
    return Downstream(
        entries=tuple(entries),
        call=owner[which] if count else np.zeros(0, dtype=np.int64),
        at_ns=at_ns,
        done_ns=at_ns + column("took_ns"),
        status=status,
        rows=column("rows"),
        total=column("total"),
        withheld=np.fromiter(
            (any(word in one.fault for word in _WITHHELD) for one in entries),
            dtype=np.bool_,
            count=count,
        ),
        good=np.asarray(answered & (status > 0) & (status < FAILED_MIN)),
        aside=np.fromiter((e.operation in _ASIDE for e in entries), dtype=np.bool_, count=count),
    )
