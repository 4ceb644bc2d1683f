"""What became of each step of a climb: counted in cells of time, so that time can be redrawn.

A step counts from its lead-in's end to its own end, by the moments at which calls were *due*. Of
each cell of 250 ms it is known how many calls were due, how many of them broke each limit, how
long they took, and how many answers came. A step keeps up when every limit holds over these calls
and the time that calls take does not grow while it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness.capacity.generator import Strain, strain
from harness.evidence.generator import Stretch
from harness.evidence.latencies import SAMPLES_MIN
from harness.evidence.phases import Evidence
from harness.journal import Calls, HealthEntry, StepEntry
from harness.outcome import Outcome, Reason
from harness.scenario.conditions import Condition, limits

Floats = NDArray[np.float64]
Verdict = Literal["kept", "slow", "errors", "growing", "limited", "unfinished"]

CELL_NS: Final = 250_000_000
LEAD_SHARE: Final = 0.2  # of a step, while queues settle from the step before
LEAD_MAX_NS: Final = 1_000_000_000
# A queue before a server that takes a calls a second of b offered lengthens by (b - a)/b seconds a
# second. Two in a hundred is told from none in a few seconds, and allowed for in the knee.
GROWTH_MAX: Final = 0.02
DRIFT_MIN_NS: Final = 50_000_000.0  # less of a growth over a whole step harms nobody
GROWTH_SIGMAS: Final = 2.0
CELLS_MIN: Final = 4  # two for the line, two for its error
_QUANTILES: Final[Mapping[str, float]] = {
    "latency_p50": 0.5,
    "latency_p95": 0.95,
    "latency_p99": 0.99,
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """A step cut into equal stretches of time: one column a cell."""

    middle_s: Floats
    due: Floats  # calls due in it
    broke: Floats  # one row a limit: those of them that break it
    took_ns: Floats  # the sum of what they took, from due
    answers: Floats  # calls answered in it, whenever they were due
    length_s: float  # of all cells together


@dataclass(frozen=True, kw_only=True, eq=False)
class Bars:
    """How many calls in a hundred may break each limit, and what each says."""

    names: tuple[str, ...]
    conditions: tuple[Condition, ...]
    allowed: Floats

    @classmethod
    def of(cls, wanted: Mapping[str, Condition]) -> Bars:
        """Read the limits that a step is held against; `p99 <= x` allows 1 in 100 to take more."""
        known = {
            name: one for name, one in wanted.items() if name == "answered" or name in _QUANTILES
        }
        return cls(
            names=tuple(known),
            conditions=tuple(known.values()),
            allowed=np.array([1 - _QUANTILES.get(name, one.limit) for name, one in known.items()]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """One step as it was."""

    step: int
    curve: int
    rate_per_s: float  # as planned, to the last call
    start_s: float
    end_s: float
    offered: int  # calls due in the counted stretch
    offered_per_s: float
    answered_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    error_share: float
    unsent: int
    growth: float  # seconds a second by which calls took longer as the step went on
    strain: Strain
    verdict: Verdict
    why: str
    cut: bool  # ended early, for it was plain that the target had fallen behind
    cells: Cells

    @property
    def counts(self) -> bool:
        """Whether the step says anything of the target."""
        return self.verdict not in ("limited", "unfinished")

    @property
    def kept(self) -> bool:
        """Whether the target kept up."""
        return self.verdict == "kept"


def readings(evidence: Evidence) -> tuple[Reading, ...]:
    """Read every step of a climb, in the order in which they were climbed."""
    bars = Bars.of(limits(evidence.scenario.limits))
    entries = evidence.journal.of(StepEntry)
    ends = {entry.step: entry for entry in entries if entry.edge == "ended"}
    order = np.argsort(evidence.settled["due_ns"], kind="stable")
    calls = _Settled(calls=evidence.settled[order], deadline_ns=evidence.deadline_ns[order])
    health = evidence.journal.of(HealthEntry)
    found: list[Reading] = []
    for began in (entry for entry in entries if entry.edge == "began"):
        before = [one for one in found if one.curve == began.curve and one.p50_ms is not None]
        calm = before[0] if before else None
        found.append(_reading(began, ends.get(began.step), calls, bars, health=health, calm=calm))
    return tuple(found)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Settled:
    """The settled calls in the order in which they were due."""

    calls: Calls
    deadline_ns: NDArray[np.int64]

    def due_in(self, start_ns: int, end_ns: int) -> slice:
        first, last = np.searchsorted(self.calls["due_ns"], (start_ns, end_ns))
        return slice(int(first), int(last))


def answered(calls: Calls) -> NDArray[np.bool_]:
    """Mark the calls that the target answered; a reply that squall threw away was given."""
    return np.asarray(
        (calls["outcome"] == Outcome.OK) | (calls["reason"] == Reason.REPLY_LOST), dtype=np.bool_
    )


def _reading(
    began: StepEntry,
    ended: StepEntry | None,
    settled: _Settled,
    bars: Bars,
    *,
    health: tuple[HealthEntry, ...],
    calm: Reading | None,
) -> Reading:
    end_ns = began.end_ns if ended is None else ended.end_ns
    lead_ns = min(LEAD_MAX_NS, int((end_ns - began.start_ns) * LEAD_SHARE))
    start_ns = began.start_ns + lead_ns
    where = settled.due_in(start_ns, end_ns)
    calls, deadline_ns = settled.calls[where], settled.deadline_ns[where]
    good = answered(calls)
    took_ns = _took_ns(calls, good, deadline_ns)
    cells = _cells(
        settled.calls,
        calls,
        took_ns=took_ns,
        good=good,
        bars=bars,
        start_ns=start_ns,
        end_ns=end_ns,
    )
    sent = calls["sent_ns"] >= 0
    service_ns = (calls["done_ns"] - calls["sent_ns"])[good]
    told = strain(
        calls,
        health,
        stretch=Stretch(name="the step", start_ns=start_ns, end_ns=end_ns),
        calm_service_ms=None if calm is None else calm.strain.service_ms,
        service_ms=float(np.median(service_ns)) / 1e6 if len(service_ns) else None,
        busy_sessions=_busy(settled.calls, start_ns, end_ns) / max(1, began.sessions),
        proxy_cpu_share=None if ended is None else ended.proxy_cpu_share,
    )
    length_s = max(1e-9, (end_ns - start_ns) / 1e9)
    verdict, why = _verdict(
        cells, bars, ended, told, waiting=float(np.mean(~sent)) if len(calls) else 0.0
    )
    return Reading(
        step=began.step,
        curve=began.curve,
        rate_per_s=began.rate_per_s,
        start_s=began.start_ns / 1e9,
        end_s=end_ns / 1e9,
        offered=len(calls),
        offered_per_s=len(calls) / length_s,
        answered_per_s=float(cells.answers.sum()) / length_s,
        p50_ms=_quantile_ms(took_ns, 50.0),
        p99_ms=_quantile_ms(took_ns, 99.0),
        error_share=float(np.mean(sent & ~good)) if len(calls) else 0.0,
        unsent=int(np.count_nonzero(~sent)),
        growth=growth(cells),
        strain=told,
        verdict=verdict,
        why=why,
        cut=ended is not None and bool(ended.why),
        cells=cells,
    )


def _took_ns(
    calls: Calls, good: NDArray[np.bool_], deadline_ns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Give each call's time from due; a failure took no less than its deadline."""
    took_ns = calls["done_ns"] - np.where(
        calls["sent_ns"] < 0, calls["due_ns"], np.minimum(calls["due_ns"], calls["sent_ns"])
    )
    return np.asarray(np.where(good, took_ns, np.maximum(took_ns, deadline_ns)))


def _busy(calls: Calls, start_ns: int, end_ns: int) -> float:
    """Give how many calls were in flight, on average over a stretch."""
    inside = calls[(calls["sent_ns"] >= 0) & (calls["sent_ns"] < end_ns)]
    flight_ns = np.minimum(inside["done_ns"], end_ns) - np.maximum(inside["sent_ns"], start_ns)
    return float(np.maximum(0, flight_ns).sum()) / max(1, end_ns - start_ns)


def _cells(
    every: Calls,
    calls: Calls,
    *,
    took_ns: NDArray[np.int64],
    good: NDArray[np.bool_],
    bars: Bars,
    start_ns: int,
    end_ns: int,
) -> Cells:
    count = max(1, (end_ns - start_ns) // CELL_NS)
    width_ns = max(1, -(-(end_ns - start_ns) // count))
    place = (calls["due_ns"] - start_ns) // width_ns
    rows = [
        ~good if name == "answered" else took_ns > condition.limit * 1e9
        for name, condition in zip(bars.names, bars.conditions, strict=True)
    ]
    ended = every[answered(every) & (every["done_ns"] >= start_ns) & (every["done_ns"] < end_ns)]
    counts = [np.bincount(place[row], minlength=count) for row in rows]
    return Cells(
        middle_s=np.asarray((np.arange(count) + 0.5) * width_ns / 1e9, dtype=np.float64),
        due=np.bincount(place, minlength=count).astype(np.float64),
        broke=np.array(counts, dtype=np.float64).reshape(len(rows), count),
        took_ns=np.bincount(place, weights=took_ns.astype(np.float64), minlength=count).astype(
            np.float64
        ),
        answers=np.bincount((ended["done_ns"] - start_ns) // width_ns, minlength=count).astype(
            np.float64
        ),
        length_s=(end_ns - start_ns) / 1e9,
    )


def _quantile_ms(took_ns: NDArray[np.int64], percentile: float) -> float | None:
    if len(took_ns) < SAMPLES_MIN[percentile]:
        return None
    return float(np.percentile(took_ns, percentile, method="higher")) / 1e6


# --- verdicts -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Trend:
    """A line through the mean times of a step's cells: its slope, and what it leaves over."""

    slope: float  # nanoseconds a second
    error: float
    lever: Floats  # one for each cell: what a nanosecond more there adds to the slope
    left_ns: Floats  # one for each cell

    @classmethod
    def of(cls, cells: Cells) -> Trend:
        """Lay the line; without enough cells there is none, and it is flat."""
        there = cells.due > 0
        count = int(np.count_nonzero(there))
        lever, left_ns = np.zeros(len(cells.due)), np.zeros(len(cells.due))
        if count < CELLS_MIN:
            return cls(slope=0.0, error=0.0, lever=lever, left_ns=left_ns)
        at_s, mean_ns = cells.middle_s[there], cells.took_ns[there] / cells.due[there]
        off_s = at_s - at_s.mean()
        spread = float((off_s**2).sum())
        lever[there] = off_s / spread
        slope = float((lever[there] * mean_ns).sum())
        left_ns[there] = mean_ns - mean_ns.mean() - slope * off_s
        error = float(np.sqrt((left_ns**2).sum() / (count - 2) / spread))
        return cls(slope=slope, error=error, lever=lever, left_ns=left_ns)


def growth(cells: Cells) -> float:
    """Give by how many seconds a second calls take longer; 0 where that is nothing.

    Nothing is what two standard errors of the slope explain, or adds up to less than 50 ms.
    """
    trend = Trend.of(cells)
    plain = trend.slope > GROWTH_SIGMAS * trend.error
    return trend.slope / 1e9 if plain and trend.slope * cells.length_s > DRIFT_MIN_NS else 0.0


def keeps(reading: Reading, bars: Bars, drawn: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Tell, for each row of cells drawn in blocks, whether the step so drawn keeps up.

    The limits are held against the cells that were drawn. The trend keeps its place in time, and
    gets what the drawn cells left over beside it (Künsch, 1989).
    """
    if reading.cut:
        return np.zeros(len(drawn), dtype=np.bool_)
    cells, count = reading.cells, len(reading.cells.due)
    due = np.maximum(cells.due[drawn].sum(axis=1), 1e-12)
    broke = np.stack([row[drawn].sum(axis=1) for row in cells.broke], axis=1)
    within = (broke / due[:, None] <= bars.allowed + 1e-12).all(axis=1)
    trend = Trend.of(cells)
    # As many as there are places: the rows hold fewer, see `knee`.
    places = np.resize(np.arange(drawn.shape[1]), count)
    noise = (trend.left_ns[drawn[:, places]] * trend.lever).sum(axis=1)
    slope = trend.slope + noise
    grows = (slope > GROWTH_MAX * 1e9) & (slope * cells.length_s > DRIFT_MIN_NS)
    return np.asarray(within & ~grows)


def _verdict(
    cells: Cells, bars: Bars, ended: StepEntry | None, told: Strain, *, waiting: float
) -> tuple[Verdict, str]:
    """Rule on one step, and say why; `waiting` is the share of its calls that were never sent."""
    if ended is None:
        return "unfinished", "the run ended before the step did"
    shares = cells.broke.sum(axis=1) / max(1.0, float(cells.due.sum()))
    broken = [place for place, share in enumerate(shares) if share > bars.allowed[place] + 1e-12]
    grown = growth(cells)
    fell_behind = bool(broken) or grown > GROWTH_MAX or bool(ended.why)
    limited = told.limited(fell_behind=fell_behind)
    if limited or not fell_behind:
        return ("limited", limited) if limited else ("kept", "")
    if waiting > 0 and waiting >= float(np.max(shares, initial=0.0)) / 2:
        return "growing", ended.why or f"{waiting:.1%} could not be sent before it was over"
    broken.sort(key=lambda place: bars.names[place] != "answered")  # errors explain slowness
    if broken:
        share, wanted = float(shares[broken[0]]), bars.conditions[broken[0]].text
        if bars.names[broken[0]] == "answered":
            return "errors", f"{1 - share:.1%} answered, {wanted} was wanted"
        return "slow", f"{share:.1%} took longer than {wanted.lstrip('<= ')}"
    return "growing", ended.why or f"the queue grew by {grown:.2f} s a second"
