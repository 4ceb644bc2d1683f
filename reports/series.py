"""What a run looked like over time, per arm: bins for the timeline and counts for the heat map."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.latencies import Origin, latency_ns
from harness.evidence.phases import Evidence, Mask
from harness.journal import SessionEntry

Floats = NDArray[np.float64]
Values = tuple[float | None, ...]

NS: Final = 1e9
_BINS_MAX: Final = 480
_HEAT_COLUMNS_MAX: Final = 160
_HEAT_ROWS_A_DECADE: Final = 8
_HEAT_FLOOR_MS: Final = 0.01
_WIDTHS_S: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, kw_only=True)
class ArmSeries:
    """One arm, one value a bin; None where the bin holds nothing to measure."""

    arm: str
    offered_per_s: Values  # calls due
    answered_per_s: Values  # calls answered well, by the moment they were
    failed_share: Values  # of the calls due in the bin
    p50_ms: Values  # from due, of the calls due in the bin; failures at their deadline
    p99_ms: Values  # the slowest call where a bin holds fewer than 50
    alive: Values  # sessions, at the middle of the bin


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """Both arms on one time axis."""

    width_s: float
    middles_s: tuple[float, ...]
    arms: tuple[ArmSeries, ...]


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """How many calls due at a time took how long: `counts[latency][time]`."""

    arm: str
    width_s: float
    middles_s: tuple[float, ...]
    edges_ms: tuple[float, ...]  # lower edge of each row, evenly spaced on a log axis
    counts: tuple[tuple[int, ...], ...]


def arm_mask(evidence: Evidence, arm: str) -> Mask:
    """Tell which settled calls belong to an arm."""
    return evidence.treated if arm == "treated" else evidence.control


def failed(evidence: Evidence) -> Mask:
    """Tell which settled calls their agent did not get, where the server could have answered."""
    return ~evidence.ok & ~evidence.excused & ~evidence.rightly_refused


def timed(evidence: Evidence) -> Mask:
    """Tell which settled calls have a latency from due that speaks of the server, in any phase."""
    return ~evidence.excused & ~evidence.rightly_refused & ~evidence.has_prelude


def latency_ms(evidence: Evidence, origin: Origin = "due") -> Floats:
    """Give each settled call's latency as the judge counts it: failures at their deadline."""
    return np.maximum(latency_ns(evidence, origin), 0) / 1e6


def bin_width_s(length_s: float, bins_max: int) -> float:
    """Give the smallest round width that keeps a run of this length within `bins_max` bins."""
    for width in _WIDTHS_S:
        if length_s / width <= bins_max:
            return float(width)
    return float(ceil(length_s / bins_max / _WIDTHS_S[-1]) * _WIDTHS_S[-1])


def timeline(evidence: Evidence, arms: Sequence[str], length_s: float) -> Timeline:
    """Bin the settled calls and the sessions' lives."""
    width_s = bin_width_s(length_s, _BINS_MAX)
    # A last bin that is mostly past the run's end would show a fall that never was.
    bins = max(1, floor(length_s / width_s + 0.5))
    return Timeline(
        width_s=width_s,
        middles_s=tuple((index + 0.5) * width_s for index in range(bins)),
        arms=tuple(_arm_series(evidence, arm, width_s, bins, length_s) for arm in arms),
    )


def _arm_series(
    evidence: Evidence, arm: str, width_s: float, bins: int, length_s: float
) -> ArmSeries:
    mine = arm_mask(evidence, arm)
    calls = evidence.settled
    widths_s = np.full(bins, width_s)
    widths_s[-1] = max(length_s - (bins - 1) * width_s, width_s / 2)
    due = _bin_of(calls["due_ns"], width_s, bins)
    answered = np.bincount(
        _bin_of(calls["done_ns"][mine & evidence.ok], width_s, bins), minlength=bins
    )
    offered = np.bincount(due[mine], minlength=bins)
    lost = np.bincount(due[mine & failed(evidence)], minlength=bins)
    over = mine & timed(evidence)
    p50, p99 = _binned(due[over], latency_ms(evidence)[over], bins, (0.5, 0.99))
    edges = [
        entry
        for session, entries in evidence.session_edges.items()
        if session < len(evidence.session_treated)
        and bool(evidence.session_treated[session]) == (arm == "treated")
        for entry in entries
    ]
    return ArmSeries(
        arm=arm,
        offered_per_s=tuple(np.round(offered / widths_s, 3).tolist()),
        answered_per_s=tuple(np.round(answered / widths_s, 3).tolist()),
        failed_share=tuple(
            round(float(bad) / float(count), 5) if count else None
            for bad, count in zip(lost, offered, strict=True)
        ),
        p50_ms=p50,
        p99_ms=p99,
        alive=_alive(edges, width_s, bins),
    )


def _bin_of(at_ns: NDArray[np.int64], width_s: float, bins: int) -> NDArray[np.int64]:
    return np.clip(at_ns // int(width_s * NS), 0, bins - 1)


def _binned(
    index: NDArray[np.int64], values: Floats, bins: int, quantiles: tuple[float, ...]
) -> tuple[Values, ...]:
    """Take quantiles of the values in every bin, at the rank that HDR takes."""
    order = np.lexsort((values, index))
    ranked = values[order]
    counts = np.bincount(index, minlength=bins)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    found: list[Values] = []
    for quantile in quantiles:
        places = starts + np.maximum(np.floor(quantile * counts + 0.5).astype(np.int64) - 1, 0)
        found.append(
            tuple(
                round(float(ranked[place]), 3) if count else None
                for place, count in zip(places, counts, strict=True)
            )
        )
    return tuple(found)


def _alive(sessions: Sequence[SessionEntry], width_s: float, bins: int) -> Values:
    alive: set[int] = set()
    values: list[float | None] = []
    entries = iter(sorted(sessions, key=lambda entry: entry.at_ns))
    entry = next(entries, None)
    for index in range(bins):
        while entry is not None and entry.at_ns < (index + 0.5) * width_s * NS:
            if entry.edge in {"opened", "reopened"}:
                alive.add(entry.session)
            else:
                alive.discard(entry.session)
            entry = next(entries, None)
        values.append(float(len(alive)))
    return tuple(values)


def heat_maps(evidence: Evidence, arms: Sequence[str], length_s: float) -> tuple[HeatMap, ...]:
    """Count settled calls by due time and latency, on the same grid for every arm."""
    over = timed(evidence)
    if not over.any():
        return ()
    took_ms = np.maximum(latency_ms(evidence), _HEAT_FLOOR_MS)
    low = floor(log10(float(took_ms[over].min())) * _HEAT_ROWS_A_DECADE)
    high = floor(log10(float(took_ms[over].max())) * _HEAT_ROWS_A_DECADE) + 1
    width_s = bin_width_s(length_s, _HEAT_COLUMNS_MAX)
    columns = max(1, ceil(length_s / width_s))
    row = np.clip(np.floor(np.log10(took_ms) * _HEAT_ROWS_A_DECADE) - low, 0, high - low - 1)
    cell = row.astype(np.int64) * columns + _bin_of(evidence.settled["due_ns"], width_s, columns)
    edges_ms = tuple(
        float(f"{10 ** ((low + step) / _HEAT_ROWS_A_DECADE):.4g}") for step in range(high - low)
    )
    maps = []
    for arm in arms:
        mine = cell[over & arm_mask(evidence, arm)]
        counts = np.bincount(mine, minlength=(high - low) * columns).reshape(-1, columns)
        maps.append(
            HeatMap(
                arm=arm,
                width_s=width_s,
                middles_s=tuple((index + 0.5) * width_s for index in range(columns)),
                edges_ms=edges_ms,
                counts=tuple(tuple(line) for line in counts.tolist()),
            )
        )
    return tuple(maps)
