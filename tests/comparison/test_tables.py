from __future__ import annotations

import numpy as np
import pytest

from harness.comparison.digest import groups
from harness.comparison.tables import Table, Told, added, count, fine, merged, stacked
from harness.evidence.latencies import SAMPLES_MIN
from tests.journals import MS


def told(calls: int = 600, ms: float = 20.0) -> Told:
    """Calls of which some failed, and some were lost."""
    place, random = np.arange(calls), np.random.default_rng(calls)
    return Told(
        failed=place % 10 == 1,
        lost=place % 20 == 2,
        timed=place % 7 != 0,
        took_ns=(ms * MS * random.lognormal(0, 0.5, calls)).astype(np.int64),
    )


def table(rows: int, calls: int = 600) -> Table:
    """A table of such calls, dealt to rows in turn."""
    return count(told(calls), np.arange(calls) % rows, rows)


def sums(of: Table) -> tuple[int, ...]:
    """What must never change by laying counts together."""
    return (
        int(of.calls.sum()),
        int(of.errors.sum()),
        int(of.losses.sum()),
        of.timed,
    )


def test_calls_are_counted_by_row() -> None:
    """Errors, losses and latencies among them; latency is told of some only."""
    of = told(60)
    seen = count(of, np.arange(60) % 3, 3)
    assert seen.calls.tolist() == [20, 20, 20]
    assert sums(seen) == (60, 6, 3, int(of.timed.sum()))
    assert (np.diff(seen.buckets) > 0).all()
    assert (seen.latency.sum(axis=0) > 0).all()


def test_a_table_without_latencies_is_a_table() -> None:
    """Where every call misbehaved on purpose there is nothing to time."""
    of = told(30)
    none = Told(failed=of.failed, lost=of.lost, timed=np.zeros(30, dtype=bool), took_ns=of.took_ns)
    seen = count(none, np.arange(30) % 3, 3)
    assert (seen.timed, seen.latency.shape) == (0, (3, 0))
    assert added([seen, table(3)]).timed == table(3).timed


@pytest.mark.parametrize("rows", [16, 8, 5])
def test_folded_rows_lose_no_call(rows: int) -> None:
    """Halving twice is the same as folding at once."""
    whole = table(32)
    assert sums(whole.folded(rows)) == sums(whole)
    assert whole.folded(rows).rows == rows
    np.testing.assert_array_equal(whole.folded(16).folded(8).latency, whole.folded(8).latency)
    assert whole.folded(64) is whole


def test_wider_buckets_lose_no_call_and_little_precision() -> None:
    """A quantile of buckets twice as wide is above by no more than their width."""
    whole = table(12)
    wide = whole.coarser(7)
    assert sums(wide) == sums(whole)
    assert len(wide.buckets) < len(whole.buckets)
    weights = np.ones((1, 12))
    near, far = (t.bins.quantiles_us(weights, (95.0,))[0][0] for t in (whole, wide))
    assert near <= far <= near * 1.017
    assert whole.coarser(9) is whole


def test_tables_are_added_and_laid_under_one_another() -> None:
    """Whatever buckets each has."""
    one, other = table(4), count(told(200, ms=300.0), np.arange(200) % 4, 4)
    both = added([one, other])
    assert sums(both) == tuple(a + b for a, b in zip(sums(one), sums(other), strict=True))
    assert both.rows == 4
    under = stacked([one, other])
    assert under.rows == 8
    np.testing.assert_array_equal(under.calls, np.concatenate([one.calls, other.calls]))
    np.testing.assert_array_equal(both.latency.sum(axis=0), under.latency.sum(axis=0))


def test_fine_quantiles_are_exact_to_a_thousandth() -> None:
    """As HDR finds them: the smallest value with so many at or below it."""
    of = told(5000)
    exact = np.sort(of.took_ns[of.timed] // 1000)
    seen = fine(of)
    assert seen.total == len(exact)
    for percentile in SAMPLES_MIN:
        rank = max(1, int(percentile / 100 * len(exact) + 0.5))
        assert seen.quantile_us(percentile) == pytest.approx(exact[rank - 1], rel=1.1e-3)


def test_merged_histograms_are_the_histogram_of_all() -> None:
    """So several runs have one quantile."""
    of = told(800)
    one, other = fine(of.of(np.arange(300))), fine(of.of(np.arange(300, 800)))
    both, whole = merged([one, other]), fine(of)
    np.testing.assert_array_equal(both.buckets, whole.buckets)
    np.testing.assert_array_equal(both.counts, whole.counts)


def test_a_session_is_in_the_same_group_of_every_run() -> None:
    """By its number alone; groups are as even as can be, and neighbours are torn apart."""
    numbers = np.arange(0, 1000, 2)
    group = groups(numbers)
    np.testing.assert_array_equal(group, groups(numbers))
    sizes = np.bincount(group)
    assert len(sizes) == 128
    assert sizes.max() - sizes.min() <= 1
    assert len(np.unique(groups(numbers[:40]))) == 40  # few sessions are a group each
    assert (np.diff(group) != 1).mean() > 0.9
