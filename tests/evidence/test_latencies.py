"""Latency is told from due, exactly, and nothing is lost on the way into a histogram."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from faults.network import TcpLatency
from harness.evidence import latencies
from harness.evidence.latencies import HIGHEST_US, LOWEST_US
from harness.evidence.phases import Evidence, evidence
from harness.journal import RunEntry
from harness.outcome import Outcome, Reason
from harness.verdict import LatencyRow
from tests import journals
from tests.journals import MS, S


def _row(rows: tuple[LatencyRow, ...], **wanted: str) -> LatencyRow:
    return next(r for r in rows if all(getattr(r, key) == value for key, value in wanted.items()))


def _by_hand(values_us: list[int]) -> HdrHistogram:
    made = HdrHistogram(LOWEST_US, HIGHEST_US, 3)
    for value in values_us:
        assert made.record_value(value)
    return made


def _stalled() -> Evidence:
    """Freeze the server for 3 s of a run without faults; what was due meanwhile waits."""
    of = journals.scenario(load={"sessions": 50, "ramp": "1s"})
    by = journals.plan(of)

    def freeze(made: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
        stuck = journals.between(made, 5.0, 8.0)
        made["done_ns"][stuck] = 8 * S + (made["due_ns"][stuck] % (30 * MS))
        # The client sent one call and then waited: only from due is the truth seen.
        made["sent_ns"][stuck] = np.maximum(made["due_ns"][stuck], 8 * S - MS)

    return evidence(of, by, journals.healthy(of, by, spoil=freeze))


def test_a_three_second_stall_shows_in_every_percentile_as_in_the_due_times() -> None:
    """Coordinated omission is none: the percentiles are those of all due times, to the bucket."""
    found = _stalled()
    row = _row(latencies.rows(found), arm="treated", phase="baseline", tool="", origin="due")
    mine = found.treated & (found.phase == 0)
    values_ns = (found.settled["done_ns"] - found.settled["due_ns"])[mine]
    wanted = _by_hand((values_ns // 1000).tolist())
    assert row.count == wanted.get_total_count() == 1000
    for told, percentile in (
        (row.p50_ms, 50),
        (row.p90_ms, 90),
        (row.p95_ms, 95),
        (row.p99_ms, 99),
    ):
        assert told == wanted.get_value_at_percentile(percentile) / 1000
        exact_ms = np.sort(values_ns)[int(percentile / 100 * len(values_ns) + 0.5) - 1] / 1e6
        assert told == pytest.approx(exact_ms, rel=0.001)
    assert row.p99_ms is not None
    assert row.p99_ms > 2800
    sent = _row(latencies.rows(found), arm="treated", phase="baseline", tool="", origin="sent")
    assert sent.p99_ms is not None
    assert sent.p99_ms < 100


def test_a_percentile_the_samples_do_not_support_is_withheld() -> None:
    """p95 takes 59 samples, p99 299, p99.9 2995."""
    of = journals.scenario()
    by = journals.plan(of)
    for count, known in ((4, 0), (5, 1), (29, 2), (58, 2), (59, 3), (298, 3), (299, 4), (2995, 5)):
        made = journals.calls(count, due_s=5.0)
        row = latencies.rows(evidence(of, by, journals.journal((), made)))[0]
        told = (row.p50_ms, row.p90_ms, row.p95_ms, row.p99_ms, row.p999_ms)
        assert [value is not None for value in told] == [True] * known + [False] * (5 - known)
        assert row.max_ms == pytest.approx(20.0, rel=0.001)


def test_failures_enter_at_their_deadline_and_the_flattering_view_stands_beside() -> None:
    """Failing fast must not look fast."""
    made = journals.calls(100, due_s=5.0)
    journals.end(made, slice(0, 50), Outcome.HTTP_ERROR, status=500, took_ms=1.0)
    journals.end(made, slice(50, 60), Outcome.HANG, Reason.HANG, took_ms=15_000.0)
    of = journals.scenario()
    found = evidence(of, journals.plan(of), journals.journal((), made))
    row, flattering = latencies.rows(found)[0], latencies.rows(found, answered_only=True)[0]
    assert row.count == 100
    assert row.p50_ms == pytest.approx(10_000, rel=0.001)
    assert row.p95_ms == pytest.approx(15_000, rel=0.001)
    assert flattering.count == 40
    assert flattering.p50_ms == pytest.approx(20, rel=0.001)


def test_a_step_that_never_started_enters_at_what_was_left_of_the_run() -> None:
    """Or at its deadline, when that is more."""
    made = journals.calls(2, due_s=[3.0, 11.0])
    journals.unsend(made, slice(None))
    made["done_ns"] = -1
    of = journals.scenario(client={"deadline": "4s"})
    by = journals.plan(of)
    ended = RunEntry(at_ns=12 * S, edge="ended", how="completed")
    found = evidence(of, by, journals.journal((ended,), made))
    assert latencies.latency_ns(found, "due").tolist() == [9 * S, 4 * S]
    assert latencies.measured(found, "due").all()
    assert not latencies.measured(found, "sent").any()


def test_a_call_that_our_own_prelude_delayed_is_told_from_sent_only() -> None:
    """Its delay is self-inflicted."""
    made = journals.calls(
        3, session=[0, 0, 0], index=[0, 0, 1], attempt=[0, 1, 1], last=[0, 1, 1], due_s=5.0
    )
    of = journals.scenario()
    found = evidence(of, journals.plan(of), journals.journal((), made))
    counts = {row.origin: row.count for row in latencies.rows(found) if not row.tool}
    assert counts == {"due": 1, "sent": 2}


def test_values_outside_the_range_are_clamped_and_counted() -> None:
    """The library would drop them and say nothing."""
    made = journals.calls(3, due_s=5.0, took_ms=[20.0, -5.0, 700_000.0])
    of = journals.scenario()
    found = evidence(of, journals.plan(of), journals.journal((), made))
    row = latencies.rows(found)[0]
    assert row.count == 3
    assert row.max_ms == pytest.approx(600_000, rel=0.001)
    assert latencies.out_of_range(found) == 4  # two from due, two from sent


def test_buckets_are_the_library_s_own() -> None:
    """Bucketing in numpy first changes no count and no reported value."""
    random = np.random.default_rng(5)
    values = np.concatenate(
        [random.integers(1, 5000, 2000), random.integers(1, HIGHEST_US, 2000), [1, 2047, 2048]]
    )
    library = latencies.histogram()
    indices = latencies.bucket_index(values)
    assert indices.tolist() == [library._counts_index_for(value) for value in values.tolist()]
    highest = [library.get_highest_equivalent_value(value) for value in values.tolist()]
    assert latencies.bucket_highest_us(indices).tolist() == highest
    assert library.record_value(HIGHEST_US)


def test_the_log_reads_back_exactly_with_the_library_s_reader(tmp_path: Path) -> None:
    """Counts and percentiles by tag equal the report's rows."""
    found = journals.storm(TcpLatency())
    file = tmp_path / "latency.hlog"
    file.write_text(latencies.hlog(found), encoding="utf-8")
    reader = HistogramLogReader(str(file), latencies.histogram())
    read: dict[str, HdrHistogram] = {}
    while (interval := reader.get_next_interval_histogram()) is not None:
        assert interval.get_end_time_stamp() - interval.get_start_time_stamp() == 1000
        read.setdefault(interval.get_tag(), latencies.histogram()).add(interval)
    reader.close()
    rows = [row for row in latencies.rows(found) if row.origin == "due" and row.tool]
    assert {f"{row.arm}/{row.phase}/{row.tool}" for row in rows} == read.keys()
    assert len(rows) == 12
    for row in rows:
        made = read[f"{row.arm}/{row.phase}/{row.tool}"]
        assert made.get_total_count() == row.count
        for told, percentile in ((row.p50_ms, 50), (row.p90_ms, 90), (row.p95_ms, 95)):
            assert told == made.get_value_at_percentile(percentile) / 1000


def test_a_tag_holds_neither_comma_nor_blank_whatever_the_call_is_named() -> None:
    """A comma would end the tag and shift every field behind it."""
    of = journals.scenario(steps=({"read": "note://a, b"},))
    by = journals.plan(of)
    made = journals.calls(1, due_s=5.0)
    text = latencies.hlog(evidence(of, by, journals.journal((), made)))
    line = text.splitlines()[-1]
    assert line.startswith("Tag=control/baseline/read:note://a__b,")
    assert line.count(",") == 4


def test_a_log_of_nothing_is_a_log() -> None:
    """Header and legend, and no interval."""
    of = journals.scenario()
    text = latencies.hlog(evidence(of, journals.plan(of), journals.journal()))
    assert text.startswith("#[Histogram log format version 1.2]\n")
    assert "Tag=" not in text
