"""How long calls took, as mergeable HDR histograms: from the moment they were due, and from sent.

A call that failed enters at its deadline or at its end, whichever is later: failing fast must not
look fast. A step that never started enters at what was left of the run, or its deadline. Calls
that misbehaved on purpose in one of their attempts are left out of latency from due, for part of
the delay is our own.
Values outside the range are clamped and counted, never lost.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any, Final, Literal

import numpy as np
from hdrh.histogram import HdrHistogram
from numpy.typing import NDArray

from harness.evidence.phases import Evidence, Mask
from harness.verdict import LatencyRow

LOWEST_US: Final = 1
HIGHEST_US: Final = 600_000_000  # ten minutes
DIGITS: Final = 3
HDR_BITS: Final = 11  # of a bucket at three digits
COARSE_BITS: Final = 8  # 0.8 % wide: what the score's resampling reads

# The fewest samples that bound each quantile from above with 95 % confidence.
SAMPLES_MIN: Final = {50.0: 5, 90.0: 29, 95.0: 59, 99.0: 299, 99.9: 2995}
ARMS: Final = ("treated", "control")
_MAX_INTERVALS: Final = 300
_MAX_LINES: Final = 20_000  # of the log, about: a scenario of many calls has longer intervals
_DENSE_MAX: Final = 16_000_000  # cells that are counted without a sort

Origin = Literal["due", "sent"]
Whole = NDArray[np.int64]


# --- the values -----------------------------------------------------------------------------


def latency_ns(evidence: Evidence, origin: Origin) -> Whole:
    """Give each settled call's latency in nanoseconds, as the module says."""
    return evidence.from_due_ns if origin == "due" else evidence.from_sent_ns


def measured(evidence: Evidence, origin: Origin) -> Mask:
    """Select the settled calls that latency is told of."""
    if origin == "due":
        return np.asarray(evidence.counted & ~evidence.self_delayed)
    return np.asarray(evidence.counted & (evidence.settled["sent_ns"] >= 0))


def clamped_us(values_ns: Whole) -> Whole:
    """Bring nanoseconds to whole microseconds inside the histograms' range."""
    return np.clip(values_ns // 1000, LOWEST_US, HIGHEST_US)


def out_of_range(evidence: Evidence) -> int:
    """Count the latencies that had to be clamped, from due and from sent together."""
    count = 0
    for origin in ("due", "sent"):
        values_us = latency_ns(evidence, origin)[measured(evidence, origin)] / 1000
        # A reply within the first microsecond is clamped too, but nothing is wrong with it.
        count += int(np.count_nonzero((values_us < 0) | (values_us >= HIGHEST_US + 1)))
    return count


# --- buckets --------------------------------------------------------------------------------


def bucket_index(values_us: Whole, bits: int = HDR_BITS) -> Whole:
    """Number the bucket of each value as HDR does, `bits` wide in its significant part."""
    lengths = np.frexp(values_us.astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(0, lengths - bits)
    return np.asarray(shift * (1 << (bits - 1)) + (values_us >> shift))


def bucket_lowest_us(indices: Whole, bits: int = HDR_BITS) -> Whole:
    """Give the lowest value of each bucket."""
    half = 1 << (bits - 1)
    shift = np.maximum(0, indices // half - 1)
    return np.asarray((indices - shift * half) << shift)


def bucket_highest_us(indices: Whole, bits: int = HDR_BITS) -> Whole:
    """Give the highest value of each bucket, which is what HDR reports for a percentile."""
    return np.asarray(bucket_lowest_us(indices + 1, bits) - 1)


def histogram() -> Any:
    """Make an empty histogram of the range and precision that all of squall uses."""
    return HdrHistogram(LOWEST_US, HIGHEST_US, DIGITS)


def fill(counts: Whole, buckets: Whole) -> Any:
    """Make a histogram from counts at bucket numbers, which are its own, all at once."""
    made = histogram()
    there = np.flatnonzero(counts)
    if len(there):
        np.frombuffer(made.counts, dtype=np.int64)[buckets[there]] = counts[there]
        lowest_us = bucket_lowest_us(buckets[there[[0, -1]]])
        made.min_value, made.max_value = lowest_us.tolist()
        made.total_count = int(counts.sum())
    return made


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cells:
    """Counts by key and bucket; only the cells that occur take space."""

    keys: Whole
    buckets: Whole
    places: Whole  # of the cells, row by row: row * len(buckets) + column
    counts: Whole

    def row(self, number: int) -> Whole:
        """Give one key's counts, a number for each bucket."""
        width = len(self.buckets)
        start, stop = np.searchsorted(self.places, (number * width, (number + 1) * width))
        row = np.zeros(width, dtype=np.int64)
        row[self.places[start:stop] - number * width] = self.counts[start:stop]
        return row


def _cells(keys: Whole, values_ns: Whole) -> _Cells:
    present, row = _compact(keys)
    buckets, column = _compact(bucket_index(clamped_us(values_ns)))
    flat = row * len(buckets) + column
    if len(present) * len(buckets) <= _DENSE_MAX:
        dense = np.bincount(flat, minlength=0)
        places = np.flatnonzero(dense)
        counts = dense[places]
    else:
        places, counts = np.unique(flat, return_counts=True)
    return _Cells(keys=present, buckets=buckets, places=places, counts=counts)


def _compact(numbers: Whole) -> tuple[Whole, Whole]:
    """Renumber without a sort: the numbers that occur, and each one's place among them."""
    if not len(numbers):
        return numbers, numbers
    seen = np.bincount(numbers) > 0
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[numbers]


# --- rows -----------------------------------------------------------------------------------


def rows(evidence: Evidence, *, answered_only: bool = False) -> tuple[LatencyRow, ...]:
    """Give percentiles by arm, phase and call (and all calls together), from due and from sent.

    With `answered_only`, over the calls that succeeded: the view that flatters, kept beside the
    other. A percentile that the samples do not support is None.
    """
    return tuple(
        row
        for origin in ("due", "sent")
        for row in _rows(evidence, origin, answered_only=answered_only)
    )


def _rows(evidence: Evidence, origin: Origin, *, answered_only: bool) -> Iterator[LatencyRow]:
    which = measured(evidence, origin)
    if answered_only:
        which = which & evidence.ok
    if not which.any():
        return
    names = evidence.plan.calls
    arm = np.where(evidence.treated[which], 0, 1)
    phase = evidence.phase[which].astype(np.int64)
    call = evidence.settled["call"][which].astype(np.int64)
    width = len(names)
    span = len(evidence.codes)
    keys = (arm * span + phase) * width + call
    cells = _cells(keys, latency_ns(evidence, origin)[which])
    for where in np.unique(cells.keys // width).tolist():
        inside = np.flatnonzero(cells.keys // width == where)
        arm_name, phase_name = ARMS[where // span], evidence.phase_name(where % span)
        parts = [(names[int(cells.keys[i]) % width], cells.row(i)) for i in inside.tolist()]
        parts.insert(0, ("", np.sum([counts for _, counts in parts], axis=0)))
        for name, counts in parts:
            of = _Of(arm=arm_name, phase=phase_name, tool=name, origin=origin)
            yield _row(of, counts, cells.buckets)


@dataclass(frozen=True, kw_only=True)
class _Of:
    """What a row is of."""

    arm: str
    phase: str
    tool: str
    origin: Origin


def _row(of: _Of, counts: Whole, buckets: Whole) -> LatencyRow:
    cumulated = np.cumsum(counts)
    count = int(cumulated[-1])

    def ms(place: int) -> float:
        return float(bucket_highest_us(buckets[place : place + 1])[0]) / 1000

    def at(percentile: float) -> float | None:
        """Give the percentile where HDR finds it, if the samples support it."""
        if count < SAMPLES_MIN[percentile]:
            return None
        rank = max(1, int(percentile * count / 100 + 0.5))
        return ms(int(np.searchsorted(cumulated, rank)))

    return LatencyRow(
        **asdict(of),
        count=count,
        p50_ms=at(50.0),
        p90_ms=at(90.0),
        p95_ms=at(95.0),
        p99_ms=at(99.0),
        p999_ms=at(99.9),
        max_ms=ms(int(np.flatnonzero(counts)[-1])) if count else None,
    )


# --- the log --------------------------------------------------------------------------------


def hlog(evidence: Evidence) -> str:
    """Write latency from due as an HdrHistogram log 1.2, tagged `arm/phase/call`.

    One line an interval and tag: seconds since the run began, its length, its greatest latency in
    milliseconds, and the histogram of microseconds. Intervals are whole seconds, one for runs up
    to five minutes. Written here because the library's own writer leaves out tags.
    """
    lines = [
        "#[Histogram log format version 1.2]",
        "#[squall: latency from due in microseconds; times in seconds since the run began]",
        "#[BaseTime: 0.000 (seconds since epoch)]",
        "#[StartTime: 0.000 (seconds since epoch), the start of the run]",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    which = measured(evidence, "due")
    calls = evidence.settled[which]
    if not len(calls):
        return "\n".join(lines) + "\n"
    width, span = len(evidence.plan.calls), len(evidence.codes)
    most = max(1, min(_MAX_INTERVALS, _MAX_LINES // (len(ARMS) * width)))
    interval_s = max(1, ceil(evidence.run_end_ns / 1e9 / most))
    second = np.maximum(calls["due_ns"], 0) // (interval_s * 1_000_000_000)
    phase = evidence.phase[which].astype(np.int64)
    arm = np.where(evidence.treated[which], 0, 1)
    keys = ((second * len(ARMS) + arm) * span + phase) * width + calls["call"]
    cells = _cells(keys.astype(np.int64), latency_ns(evidence, "due")[which])
    for row, key in enumerate(cells.keys.tolist()):
        rest, call = divmod(key, width)
        rest, code = divmod(rest, span)
        at, side = divmod(rest, len(ARMS))
        name = f"{ARMS[side]}/{evidence.phase_name(code)}/{evidence.plan.calls[call]}"
        tag = re.sub(r"[,\s]", "_", name)  # a comma would end the tag
        made = fill(cells.row(row), cells.buckets)
        lines.append(
            f"Tag={tag},{at * interval_s:.3f},{interval_s:.3f},"
            f"{made.get_max_value() / 1000:.3f},{made.encode().decode('ascii')}"
        )
    return "\n".join(lines) + "\n"
