"""Calls counted by row: by group of sessions, or by part of the phase in which they were due.

A row is what is drawn anew when it is asked what chance makes of a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.draws import Bins, Ratio, small
from harness.evidence.latencies import (
    COARSE_BITS,
    HDR_BITS,
    bucket_highest_us,
    bucket_index,
    bucket_lowest_us,
    clamped_us,
)

Whole = NDArray[np.int64]
Rows = NDArray[np.intp]
Mask = NDArray[np.bool_]
_HALF: Final = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Told:
    """What is counted of some calls, a place each."""

    failed: Mask  # answered, but not as it should be
    lost: Mask  # not answered at all
    timed: Mask  # latency is told of them
    took_ns: Whole

    def of(self, which: NDArray[np.intp]) -> Told:
        """Take some of them."""
        return Told(
            failed=self.failed[which],
            lost=self.lost[which],
            timed=self.timed[which],
            took_ns=self.took_ns[which],
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """Counts by row, and latencies in buckets of one width."""

    calls: Whole  # (rows,)
    errors: Whole
    losses: Whole
    latency: Whole  # (rows, buckets)
    buckets: Whole  # their numbers, ascending
    bits: int = COARSE_BITS

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.calls)

    @property
    def timed(self) -> int:
        """Of how many calls latency is told."""
        return int(self.latency.sum())

    @cached_property
    def bins(self) -> Bins:
        """The latencies, ready to be weighed anew."""
        return Bins(
            cumulated=small(np.cumsum(self.latency, axis=1)),
            upper_us=bucket_highest_us(self.buckets, self.bits).astype(np.float64),
        )

    @cached_property
    def errors_of_calls(self) -> Ratio:
        """The share of errors, ready to be weighed anew."""
        return self._of_calls(self.errors)

    @cached_property
    def losses_of_calls(self) -> Ratio:
        """The share of losses, ready to be weighed anew."""
        return self._of_calls(self.losses)

    def _of_calls(self, part: Whole) -> Ratio:
        return Ratio(part=part.astype(np.float64), whole=self.calls.astype(np.float64))

    def folded(self, rows: int) -> Table:
        """Lay rows together until there are no more than `rows`."""
        if self.rows <= rows:
            return self
        place = np.arange(self.rows) % rows

        def fold(counts: Whole) -> Whole:
            laid = np.zeros((rows, *counts.shape[1:]), dtype=np.int64)
            np.add.at(laid, place, counts)
            return laid

        return Table(
            calls=fold(self.calls),
            errors=fold(self.errors),
            losses=fold(self.losses),
            latency=fold(self.latency),
            buckets=self.buckets,
            bits=self.bits,
        )

    def coarser(self, bits: int) -> Table:
        """Give the same with wider buckets."""
        if bits >= self.bits:
            return self
        wide = bucket_index(bucket_lowest_us(self.buckets, self.bits), bits)
        buckets, place = np.unique(wide, return_inverse=True)
        latency = np.zeros((self.rows, len(buckets)), dtype=np.int64)
        np.add.at(latency.T, place, self.latency.T)
        return Table(
            calls=self.calls,
            errors=self.errors,
            losses=self.losses,
            latency=latency,
            buckets=buckets,
            bits=bits,
        )


def count(told: Told, row: Rows, rows: int) -> Table:
    """Count calls by row."""
    timed = np.flatnonzero(told.timed)
    index = bucket_index(clamped_us(told.took_ns[timed]), COARSE_BITS)
    buckets, column = np.unique(index, return_inverse=True)
    flat = np.bincount(row[timed] * len(buckets) + column, minlength=rows * len(buckets))
    return Table(
        calls=np.bincount(row, minlength=rows),
        errors=np.bincount(row[told.failed], minlength=rows),
        losses=np.bincount(row[told.lost], minlength=rows),
        latency=flat.reshape(rows, len(buckets)),
        buckets=buckets,
    )


def added(tables: Sequence[Table]) -> Table:
    """Add tables up, row by row; all have the same rows and bits."""
    return _joined(tables, lambda parts: np.asarray(np.sum(parts, axis=0)))


def stacked(tables: Sequence[Table]) -> Table:
    """Lay tables under one another; all have the same bits."""
    return _joined(tables, np.concatenate)


def _joined(tables: Sequence[Table], join: Callable[[Sequence[Whole]], Whole]) -> Table:
    if len(tables) == 1:
        return tables[0]
    buckets = np.unique(np.concatenate([table.buckets for table in tables]))

    def spread(table: Table) -> Whole:
        wide = np.zeros((table.rows, len(buckets)), dtype=np.int64)
        wide[:, np.searchsorted(buckets, table.buckets)] = table.latency
        return wide

    return Table(
        calls=join([table.calls for table in tables]),
        errors=join([table.errors for table in tables]),
        losses=join([table.losses for table in tables]),
        latency=join([spread(table) for table in tables]),
        buckets=buckets,
        bits=tables[0].bits,
    )


# --- histograms -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Fine:
    """Latencies of many calls together, in the buckets of an HDR histogram of three digits."""

    buckets: Whole
    counts: Whole

    @property
    def total(self) -> int:
        """How many there are."""
        return int(self.counts.sum())

    def quantile_us(self, percentile: float) -> float:
        """Give a percentile where HDR finds it; there must be a latency."""
        cumulated = np.cumsum(self.counts)
        rank = max(1, int(percentile / 100 * cumulated[-1] + _HALF))
        place = int(np.searchsorted(cumulated, rank))
        return float(bucket_highest_us(self.buckets[place : place + 1])[0])


def fine(told: Told) -> Fine:
    """Count latencies finely."""
    index = bucket_index(clamped_us(told.took_ns[told.timed]), HDR_BITS)
    buckets, counts = np.unique(index, return_counts=True)
    return Fine(buckets=buckets, counts=counts.astype(np.int64))


def merged(parts: Sequence[Fine]) -> Fine:
    """Add latencies up."""
    buckets, place = np.unique(
        np.concatenate([part.buckets for part in parts]), return_inverse=True
    )
    counts = np.zeros(len(buckets), dtype=np.int64)
    np.add.at(counts, place, np.concatenate([part.counts for part in parts]))
    return Fine(buckets=buckets, counts=counts)
