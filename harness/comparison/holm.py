"""Holm's correction for many looks at once, with a weight for each look.

A false alarm anywhere among all looks happens in at most `ALPHA` of all comparisons, however the
looks depend on each other. Where a look finds something its weight goes to those that are left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log1p, sqrt
from statistics import NormalDist
from typing import Final

ALPHA: Final = 0.05
_NORMAL: Final = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Held:
    """What became of one look: whether it found something, and the level it was held to."""

    found: bool
    level: float


def correct(chances: Sequence[float], weights: Sequence[float]) -> tuple[Held, ...]:
    """Hold each look's chance (its p-value) to its level, the likeliest finding first."""
    order = sorted(range(len(chances)), key=lambda place: chances[place] / weights[place])
    held: dict[int, Held] = {}
    left, stopped = sum(weights), False
    for place in order:
        level = ALPHA * weights[place] / left
        stopped = stopped or chances[place] > level
        held[place] = Held(found=not stopped, level=level)
        if not stopped:
            left = max(left - weights[place], weights[place])
    return tuple(held[place] for place in range(len(chances)))


def chance_beyond(deviation: float, freedom: float) -> float:
    """Give how often a figure of no effect lies so many of its errors off, to either side.

    Student's distribution by Wallace's approximation, good to a thousandth of the deviation.
    """
    if deviation <= 0:
        return 1.0
    bent = sqrt(freedom * log1p(deviation**2 / freedom)) * _bend(freedom)
    return 2.0 * _NORMAL.cdf(-bent)


def deviations(level: float, freedom: float) -> float:
    """Give how many errors off a figure of no effect lies with that chance, to either side."""
    if level <= 0:
        return inf
    bent = _NORMAL.inv_cdf(1.0 - level / 2.0) / _bend(freedom)
    return sqrt(freedom * (exp(min(bent**2 / freedom, 700.0)) - 1.0))


def _bend(freedom: float) -> float:
    return (8.0 * freedom + 1.0) / (8.0 * freedom + 3.0)
