from __future__ import annotations

import numpy as np
import pytest

from harness.evidence import draws
from harness.evidence.draws import Bins, Floats, small

PERCENTILES = (50.0, 95.0, 99.0)


def _bins(counts: Floats) -> Bins:
    upper_us = np.arange(1.0, counts.shape[1] + 1)
    return Bins(cumulated=small(np.cumsum(counts, axis=1).astype(np.int64)), upper_us=upper_us)


def _plainly(counts: Floats, weights: Floats) -> list[Floats]:
    """Every sum of every draw, and the first bucket that reaches the rank."""
    sums = np.cumsum(weights @ counts, axis=1)
    total = sums[:, -1]
    found = []
    for percentile in PERCENTILES:
        rank = np.maximum(1.0, np.floor(total * percentile / 100 + 0.5))
        at = np.minimum(np.sum(sums < rank[:, None], axis=1), counts.shape[1] - 1)
        found.append(np.where(total > 0, at + 1.0, np.nan))
    return found


@pytest.mark.parametrize("whole_max", [0, 100_000])
@pytest.mark.parametrize(("sessions", "buckets"), [(1, 1), (3, 7), (40, 300), (40, 9)])
def test_quantiles_under_draws_are_those_of_the_whole_product(
    sessions: int, buckets: int, whole_max: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few columns are looked at, and though some draws hold no latency at all."""
    monkeypatch.setattr(draws, "_WHOLE_MAX", whole_max)
    random = np.random.default_rng(sessions * buckets)
    for spread in (0.01, 0.3, 5.0):
        counts = random.poisson(spread, (sessions, buckets)).astype(np.float64)
        weights = random.poisson(0.7, (50, sessions)).astype(np.float64)
        bins = _bins(counts)
        for drawn in (weights, weights[:7].copy(), weights):
            for mine, plain in zip(
                bins.quantiles_us(drawn, PERCENTILES), _plainly(counts, drawn), strict=True
            ):
                np.testing.assert_array_equal(mine, plain)


def test_counts_take_as_few_bytes_as_hold_them() -> None:
    """A crowd's table is mostly nothing."""
    assert small(np.array([0, 255])).itemsize == 1
    assert small(np.array([0, 256])).itemsize == 2
    assert small(np.array([], dtype=np.int64)).itemsize == 1
