"""Counts by session that are weighed anew at little cost, as often as sessions are drawn anew.

Weights are (draws, sessions): how often each session was drawn. All sums are of whole numbers, so
the order in which they are added up changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_PANEL: Final = 8  # columns of a product at a time
_WHOLE_MAX: Final = 100_000  # cells up to which the whole product is made at once

Floats = NDArray[np.float64]


def small(counts: NDArray[np.int64]) -> NDArray[Any]:
    """Store counts in as few bytes as hold them."""
    return counts.astype(np.min_scalar_type(int(counts.max(initial=0))))


@dataclass(frozen=True, kw_only=True, eq=False)
class Ratio:
    """Two counts by session, whose sums make a share."""

    part: Floats  # (sessions,)
    whole: Floats

    def share(self, weights: Floats) -> Floats:
        """Give the share under each row of weights; NaN where there is nothing to share."""
        whole = weights @ self.whole
        share = np.full(len(whole), np.nan)
        np.divide(weights @ self.part, whole, out=share, where=whole > 0)
        return share


@dataclass(frozen=True, kw_only=True, eq=False)
class Bins:
    """Latencies by session in coarse buckets, added up over the buckets from the lowest."""

    cumulated: NDArray[Any]  # (sessions, buckets), whole numbers
    upper_us: Floats  # (buckets,)
    _found: dict[float, Floats] = field(default_factory=dict)  # under the last weights
    _under: list[Floats] = field(default_factory=list)  # those, and the whole product

    @property
    def total(self) -> int:
        """How many latencies there are in all."""
        return int(self.cumulated[:, -1].sum())

    def quantiles_us(self, weights: Floats, percentiles: tuple[float, ...]) -> list[Floats]:
        """Give each percentile under each row of weights; NaN where there is no sample."""
        if not self._under or self._under[0] is not weights:  # windows share their baseline
            self._under[:] = [weights]
            self._found.clear()
        return [self._quantile_us(weights, percentile) for percentile in percentiles]

    def _quantile_us(self, weights: Floats, percentile: float) -> Floats:
        if percentile not in self._found:
            total = self._below(weights, -1, None)[:, 0]
            rank = np.maximum(1.0, np.floor(total * percentile / 100 + 0.5))
            at = self._places(weights, rank)
            value = self.upper_us[np.minimum(at, len(self.upper_us) - 1)]
            self._found[percentile] = np.where(total > 0, value, np.nan)
        return self._found[percentile]

    def _below(self, weights: Floats, start: int, stop: int | None, step: int = 1) -> Floats:
        """Count each row's latencies up to each of some buckets."""
        if self.cumulated.size <= _WHOLE_MAX:
            if len(self._under) == 1:
                self._under.append(weights @ self.cumulated.astype(np.float64))
            return self._under[1][:, start:stop:step]
        return np.asarray(weights @ self.cumulated[:, start:stop:step].astype(np.float64))

    def _places(self, weights: Floats, rank: Floats) -> NDArray[np.intp]:
        """Find each row's first bucket with so many latencies up to it.

        The rows are much alike, so a few columns show where all of theirs lie: what is left of
        the product is a small part of it.
        """
        low, high = 0, self.cumulated.shape[1]  # every row's place is in [low, high]
        wide = self.cumulated.size > _WHOLE_MAX
        while wide and high - low > _PANEL:
            step = (high - low) // _PANEL
            columns = np.arange(low, high, step)
            short = self._below(weights, low, high, step) < rank[:, None]
            every, none = columns[short.all(axis=0)], columns[~short.any(axis=0)]
            before = high - low
            low = int(every[-1]) + 1 if len(every) else low
            high = int(none[0]) if len(none) else high
            wide = 2 * (high - low) <= before
        below = self._below(weights, low, high)
        return np.asarray(low + np.sum(below < rank[:, None], axis=1))
