"""What chance makes of a difference: by sessions, by moments, and by runs.

The calls of one session share its luck, and so do the calls of one moment: sessions are drawn
anew, and sixteenths of the phase are, each together with its like of the other side, and whichever
moves the figure more is its error. How much equal runs differ beyond that only more runs can say;
until they do, it is taken from how long squall itself had to wait for a processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.comparison.tables import Table
from harness.score import weights

DRAWS: Final = 250
PERCENTILES: Final = {"p50": 50.0, "p95": 95.0, "p99": 99.0}
SHARES: Final = ("errors", "losses")
ASSUMED_FREEDOM: Final = 10.0
KNOWN_FREEDOM: Final = 1000.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Error:
    """The standard error of a difference, and how well it is known itself."""

    variance: float
    freedom: float


def drawn(base: Table, head: Table, names: Sequence[str], seed: Sequence[int]) -> dict[str, float]:
    """Give each measure's variance when rows are drawn anew, the same ones on both sides."""
    random = np.random.default_rng([*seed])
    rows = weights(random, base.rows, DRAWS, plain=False)
    told = tuple(PERCENTILES[name] for name in names if name in PERCENTILES)
    sides = []
    for table in (base, head):
        found = table.bins.quantiles_us(rows, told) if told else []
        values: dict[str, Floats] = {
            name: np.log(value)
            for name, value in zip([n for n in names if n in PERCENTILES], found, strict=True)
        }
        values["errors"] = table.errors_of_calls.share(rows)
        values["losses"] = table.losses_of_calls.share(rows)
        sides.append(values)
    return {name: _variance(sides[1][name] - sides[0][name]) for name in names}


def _variance(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.var(known)) if len(known) > 1 else 0.0


def least(name: str, base: Table, head: Table) -> float:
    """Give the least variance there can be: of a bucket's width, or of calls that nothing ties."""
    if name in PERCENTILES:
        return 4.0 ** (1 - base.bits) / 6.0  # of a bucket's width, of its value
    count = sum(int(getattr(table, name).sum()) for table in (base, head))
    calls = [int(table.calls.sum()) for table in (base, head)]
    share = (count + 1) / (sum(calls) + 2)
    return share * (1.0 - share) * sum(1.0 / number for number in calls)


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The variance of a measure by sessions and by moments, with the rows that each was of."""

    floor: float  # what it is at least: that is known, and not estimated
    by_group: float
    groups: int
    by_part: float = 0.0
    parts: int = 1

    @property
    def error(self) -> Error:
        """Give the widest of them."""
        if self.floor >= max(self.by_group, self.by_part):
            return Error(variance=self.floor, freedom=KNOWN_FREEDOM)
        if self.by_part > self.by_group:
            return Error(variance=self.by_part, freedom=max(1, self.parts - 1))
        return Error(variance=self.by_group, freedom=max(1, self.groups - 1))

    @property
    def inflation(self) -> float:
        """How many times wider the moments make the variance by sessions; at least 1."""
        without = max(self.by_group, self.floor)
        return max(1.0, self.by_part / without) if without > 0 else 1.0


def widened(within: Error, sides: Sequence[Sequence[float]], assumed: float = 0.0) -> Error:
    """Add what equal runs differ by beyond their own error; `sides` are each run's figures.

    Several runs on a side measure it. It is no less than `assumed`, a variance of the difference.
    """
    counts = [len(side) for side in sides]
    freedom = sum(counts) - len(counts)
    measured = 0.0
    if freedom > 0:
        spread = sum(float(np.var(side)) * len(side) for side in sides) / freedom
        measured = max(0.0, spread * sum(1.0 / count for count in counts) - within.variance)
    beyond = max(measured, assumed)
    if beyond <= 0:
        return within
    known = freedom if measured > assumed else ASSUMED_FREEDOM
    whole = within.variance + beyond
    freedoms = within.variance**2 / within.freedom + beyond**2 / known
    return Error(variance=whole, freedom=whole**2 / freedoms)


def restless(slowness: Sequence[Sequence[float | None]], spread: float) -> float:
    """Give the variance that equal runs' difference has on a machine that keeps them waiting.

    `slowness` is each run's, by side; `spread` is the deviation where a run did nothing but wait.
    """
    variance = 0.0
    for side in slowness:
        waits = [spread * (1.0 - 1.0 / max(1.0, one or 1.0)) for one in side]
        variance += float(np.mean(np.square(waits))) / len(side) if side else 0.0
    return variance
