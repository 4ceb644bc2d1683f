"""A run as metrics, from every one of its calls: cumulative points over the time that it took.

`mcp.client.operation.duration` and `mcp.client.session.duration` are the conventions' own. What
these do not know, latency from the moment a call was due above all, is told as `squall.*`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

import harness
from harness.evidence.attempts import Indices, Times
from harness.evidence.phases import Evidence
from harness.journal import Calls
from harness.outcome import Outcome
from harness.verdict import Judgement
from reports.otlp import names
from reports.otlp.pen import SCOPE

# As the conventions want them, for calls and for sessions, in seconds.
BOUNDS_S: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
FINE_S: Final = (0.001, 0.002, 0.005, *BOUNDS_S[:-2])
POINTS_MAX: Final = 20_000  # of one metric
SLOTS_MAX: Final = 60
SLOT_S_MIN: Final = 5.0
_CUMULATIVE: Final = AggregationTemporality.CUMULATIVE

Attributes = dict[str, str | int | float | bool]
Codes = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Series:
    """Values of one name and one set of attributes, and when each became known."""

    attributes: Attributes
    at_ns: Times  # of the run
    values_s: NDArray[np.float64]


def measure(
    of: Evidence,
    judgement: Judgement,
    facts: Mapping[str, Any],
    *,
    zero_ns: int,
    resource: Resource,
) -> MetricsData:
    """Give a judged run's metrics; `zero_ns` is when it began, in Unix time."""
    chart = _Chart(of=of, zero_ns=zero_ns, target=names.of_target(of, facts))
    found = (
        chart.histogram(
            "mcp.client.operation.duration",
            "From the moment a request was sent until its answer was whole.",
            tuple(_operations(of, chart.target)),
            BOUNDS_S,
        ),
        chart.histogram(
            "mcp.client.session.duration",
            "How long a session lasted, as its client saw it.",
            tuple(_sessions(of, chart.target)),
            BOUNDS_S,
        ),
        chart.histogram(
            "squall.call.duration",
            "From the moment a call was due until it was settled; a failure no less than its "
            "deadline.",
            tuple(_settled(of)),
            FINE_S,
        ),
        chart.count("squall.calls", "Calls that were settled, by outcome.", tuple(_outcomes(of))),
        *chart.faults(),
        *chart.score(judgement),
    )
    scope = InstrumentationScope(SCOPE, harness.__version__)
    metrics = [metric for metric in found if metric.data.data_points]
    scoped = ScopeMetrics(scope=scope, metrics=metrics, schema_url="")
    return MetricsData(
        resource_metrics=[ResourceMetrics(resource=resource, scope_metrics=[scoped], schema_url="")]
    )


# --- what is measured -----------------------------------------------------------------------


def _operations(of: Evidence, target: Mapping[str, str | int]) -> Iterator[_Series]:
    """Every request that was sent on a step's behalf; acts of mischief before it are left out."""
    mine = (of.calls["sent_ns"] >= 0) & (of.calls["attempt"] > 0)
    mine &= of.calls["outcome"] != Outcome.ABANDONED
    calls, phase = of.calls[mine], of.attempt_phase[mine]
    ended_ns = of.ended_ns[mine]
    took_s = (ended_ns - calls["sent_ns"]) / 1e9
    named = names.of_calls(of)
    for which, call, phase_code in _groups(calls, phase, failures=True):
        error = names.error_type(int(call["outcome"]), int(call["reason"]), int(call["status"]))
        said: Attributes = {
            **{k: v for k, v in named[call["call"]].items() if k != names.RESOURCE},
            **target,
            **_whose(of, call, phase_code),
        }
        if error:
            said[names.ERROR] = error
        yield _Series(attributes=said, at_ns=ended_ns[which], values_s=took_s[which])


def _settled(of: Evidence) -> Iterator[_Series]:
    """Every call that a server answers for, from due."""
    mine = of.counted & ~of.self_delayed
    calls, phase, took_s = of.settled[mine], of.phase[mine], of.from_due_ns[mine] / 1e9
    for which, call, phase_code in _groups(calls, phase, failures=False):
        said = {"squall.call": of.plan.calls[call["call"]], **_whose(of, call, phase_code)}
        yield _Series(
            attributes=said, at_ns=_known_ns(calls[which], took_s[which]), values_s=took_s[which]
        )


def _outcomes(of: Evidence) -> Iterator[_Series]:
    calls, phase = of.settled, of.phase
    ended_ns = of.ended_ns[of.logical]
    for which, call, phase_code in _groups(calls, phase, failures=True, finer=False):
        outcome = Outcome(int(call["outcome"])).name.lower()
        said = {"squall.outcome": outcome, **_whose(of, call, phase_code)}
        said["squall.call"] = of.plan.calls[call["call"]]
        yield _Series(
            attributes=said, at_ns=ended_ns[which], values_s=np.ones(len(ended_ns[which]))
        )


def _sessions(of: Evidence, target: Mapping[str, str | int]) -> Iterator[_Series]:
    """From opened to closed or lost; a session that lived to the end of the run ended there."""
    lives: dict[tuple[str, str, bool], list[tuple[int, float]]] = {}
    for session, edges in of.session_edges.items():
        treated = session < len(of.session_treated) and bool(of.session_treated[session])
        begun_ns, protocol = -1, ""
        for edge in edges:
            if edge.edge in ("opened", "reopened"):
                begun_ns, protocol = edge.at_ns, edge.protocol or protocol
            elif begun_ns >= 0:
                error = "session_lost" if edge.edge in ("lost", "failed") else ""
                life = (edge.at_ns, (edge.at_ns - begun_ns) / 1e9)
                lives.setdefault((protocol, error, treated), []).append(life)
                begun_ns = -1
        if begun_ns >= 0:
            life = (of.run_end_ns, (of.run_end_ns - begun_ns) / 1e9)
            lives.setdefault((protocol, "", treated), []).append(life)
    for (protocol, error, treated), found in lives.items():
        said: Attributes = {**target, "squall.arm": _arm(treated)}
        said |= {names.PROTOCOL: protocol} if protocol else {}
        said |= {names.ERROR: error} if error else {}
        yield _Series(
            attributes=said,
            at_ns=np.array([at_ns for at_ns, _ in found], dtype=np.int64),
            values_s=np.array([took_s for _, took_s in found]),
        )


def _known_ns(calls: Calls, took_s: NDArray[np.float64]) -> Times:
    """Give when it was known how long each call took."""
    return np.asarray(calls["due_ns"] + (took_s * 1e9).astype(np.int64))


def _groups(
    calls: Calls, phase: NDArray[np.int16], *, failures: bool, finer: bool = True
) -> Iterator[tuple[Indices, np.void, int]]:
    """Cut calls by kind, arm and phase, and where asked by how they ended."""
    columns = [calls["call"], calls["treated"], phase]
    if failures:
        columns += [calls["outcome"], *((calls["reason"], calls["status"]) if finer else ())]
    if not len(calls):
        return
    key = np.zeros(len(calls), dtype=np.int64)
    for column in columns:
        values, codes = np.unique(column, return_inverse=True)
        _, key = np.unique(key * len(values) + codes, return_inverse=True)
    order = np.argsort(key, kind="stable")
    cuts = np.flatnonzero(np.diff(key[order])) + 1
    for which in np.split(order, cuts):
        first = which[0]
        yield which, calls[first], int(phase[first])


def _whose(of: Evidence, call: np.void, phase: int) -> Attributes:
    return {"squall.arm": _arm(bool(call["treated"])), "squall.phase": of.phase_name(phase)}


def _arm(treated: bool) -> str:
    return "treated" if treated else "control"


# --- as points over time --------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class _Chart:
    """Puts series on the run's time as cumulative points."""

    of: Evidence
    zero_ns: int
    target: Mapping[str, str | int]

    def _edges_ns(self, series: int) -> Times:
        """Cut the run into slots: fewer where there are many series."""
        length_ns = max(1, self.of.run_end_ns)
        slots = min(SLOTS_MAX, POINTS_MAX // max(1, series), int(length_ns / 1e9 / SLOT_S_MIN))
        return np.linspace(0, length_ns, max(1, slots) + 1)[1:].astype(np.int64)

    def _slots(self, series: _Series, edges_ns: Times) -> Codes:
        """Give the slot of each value; what came before the run or after it is at its ends."""
        return np.minimum(np.searchsorted(edges_ns, series.at_ns), len(edges_ns) - 1)

    def histogram(
        self, name: str, description: str, series: Sequence[_Series], bounds_s: Sequence[float]
    ) -> Metric:
        """Make a histogram; a point for each slot in which a series got values."""
        edges_ns = self._edges_ns(len(series))
        points = [p for one in series for p in self._histogram_points(one, edges_ns, bounds_s)]
        data = Histogram(data_points=points, aggregation_temporality=_CUMULATIVE)
        return Metric(name=name, description=description, unit="s", data=data)

    def _histogram_points(
        self, series: _Series, edges_ns: Times, bounds_s: Sequence[float]
    ) -> Iterator[HistogramDataPoint]:
        slots = self._slots(series, edges_ns)
        width = len(bounds_s) + 1
        buckets = np.searchsorted(np.array(bounds_s), series.values_s)  # upper bounds are inside
        counts = np.bincount(slots * width + buckets, minlength=len(edges_ns) * width)
        counts = counts.reshape(len(edges_ns), width).cumsum(axis=0)
        sums = np.bincount(slots, weights=series.values_s, minlength=len(edges_ns)).cumsum()
        for slot in np.unique(slots).tolist():
            until = series.values_s[slots <= slot]
            yield HistogramDataPoint(
                attributes=series.attributes,
                start_time_unix_nano=self.zero_ns,
                time_unix_nano=self.zero_ns + int(edges_ns[slot]),
                count=int(counts[slot].sum()),
                sum=float(sums[slot]),
                bucket_counts=counts[slot].tolist(),
                explicit_bounds=tuple(bounds_s),
                min=float(until.min()),
                max=float(until.max()),
            )

    def count(self, name: str, description: str, series: Sequence[_Series]) -> Metric:
        """Make a counter of calls."""
        edges_ns = self._edges_ns(len(series))
        points: list[NumberDataPoint] = []
        for one in series:
            slots = self._slots(one, edges_ns)
            counts = np.bincount(slots, minlength=len(edges_ns)).cumsum()
            points += [
                self._point(one.attributes, int(edges_ns[slot]), int(counts[slot]))
                for slot in np.unique(slots).tolist()
            ]
        data = Sum(data_points=points, aggregation_temporality=_CUMULATIVE, is_monotonic=True)
        return Metric(name=name, description=description, unit="{call}", data=data)

    def faults(self) -> Iterator[Metric]:
        """Tell when each fault was in force, and what it has hit."""
        points: list[NumberDataPoint] = []
        hits: list[NumberDataPoint] = []
        for window in self.of.injected:
            said: Attributes = {
                "squall.fault.id": window.id,
                "squall.fault.kind": window.fault.kind,
                "squall.arm": window.arm,
            }
            points.append(self._point(said, window.start_ns, 1))
            points.append(self._point(said, window.end_ns, 0))
            hit_ = {**said, "squall.fault.exposure.unit": window.exposure_unit}
            hits.append(self._point(hit_, window.end_ns, window.exposure_count))
        text = "1 while the fault is in force."
        data = Gauge(data_points=points)
        yield Metric(name="squall.fault.active", description=text, unit="1", data=data)
        text = "What the fault has hit, by its injector's own count."
        hit = Sum(data_points=hits, aggregation_temporality=_CUMULATIVE, is_monotonic=True)
        yield Metric(name="squall.fault.exposure", description=text, unit="{hit}", data=hit)

    def score(self, judgement: Judgement) -> Iterator[Metric]:
        """Give the score, where there is one."""
        score = judgement.score
        if score is None:
            return
        said: Attributes = {"squall.ruling": judgement.ruling}
        points = [self._point(said, self.of.run_end_ns, score.points)]
        text = "What the target's users kept under the faults, of 100."
        data = Gauge(data_points=points)
        yield Metric(name="squall.score", description=text, unit="{point}", data=data)

    def _point(self, attributes: Attributes, at_ns: int, value: float) -> NumberDataPoint:
        return NumberDataPoint(
            attributes=attributes,
            start_time_unix_nano=self.zero_ns,
            time_unix_nano=self.zero_ns + at_ns,
            value=value,
        )
