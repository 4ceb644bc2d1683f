"""What Prometheus reads while a run lasts: where it stands and what each arm fares, on a port."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

import harness
from harness.errors import UsageError
from harness.outcome import Outcome
from harness.recent import ARMS, BUCKETS_PER_DOUBLING, ArmTally
from harness.running.status import PHASES, Status

HOST: Final = "127.0.0.1"
RECENT_S: Final = 5
QUANTILES: Final = (0.5, 0.9, 0.99)
# Bounds of the histogram: every power of two of microseconds from half a millisecond to a minute,
# at which the tallies' own buckets end, so that nothing is guessed.
_DOUBLINGS: Final = range(9, 27)
_US: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """A status with its sums by arm as they were then: what is read from another thread."""

    status: Status
    total: Mapping[str, ArmTally]
    second: Mapping[str, ArmTally]  # the last one
    recent: Mapping[str, ArmTally]


class Exposition(Collector):
    """The latest status of a run, as metrics."""

    def __init__(self, *, scenario: str) -> None:
        """Know of nothing yet."""
        self._scenario = scenario
        self._shown: _Shown | None = None

    def update(self, status: Status) -> None:
        """Take where the run stands now."""
        total = {arm: ArmTally() for arm in ARMS}
        for arm in ARMS:
            total[arm].add(status.recent.total[arm])
        self._shown = _Shown(
            status=status,
            total=total,
            second={arm: status.recent.window(arm, 1) for arm in ARMS},
            recent={arm: status.recent.window(arm, RECENT_S) for arm in ARMS},
        )

    def collect(self) -> Iterator[Metric]:
        """Every metric, from one and the same status."""
        labels = {"scenario": self._scenario, "version": harness.__version__}
        yield InfoMetricFamily("squall_run", "The run that is under way.", value=labels)
        shown = self._shown
        if shown is None:
            return
        yield from _run(shown.status)
        yield from _calls(shown)
        yield from _recent(shown)
        yield from _faults(shown.status)


@contextmanager
def serve(port: int, *, scenario: str) -> Iterator[tuple[Exposition, str]]:
    """An exposition on a loopback port, and its address; port 0 is a free one.

    Raises:
        UsageError: when the port is taken.
    """
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)  # the generator's own processor time, memory and files
    page = Exposition(scenario=scenario)
    registry.register(page)
    try:
        server, thread = start_http_server(port, addr=HOST, registry=registry)
    except OSError as error:
        raise UsageError(
            f"port {port} on {HOST} is not free ({error.strerror}); name another with --metrics, "
            "or 0 for a free one"
        ) from error
    try:
        yield page, f"http://{HOST}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _run(status: Status) -> Iterator[Metric]:
    text = "Time since the run began."
    yield GaugeMetricFamily("squall_run_elapsed_seconds", text, value=status.run_s)
    text = "How long the run is planned to last."
    yield GaugeMetricFamily("squall_run_planned_seconds", text, value=status.total_s)
    phase = GaugeMetricFamily("squall_run_phase", "1 for the phase of now.", labels=("phase",))
    for name in PHASES:
        phase.add_metric((name,), float(name == status.phase))
    yield phase
    if status.lag_ms is not None:
        text = "How late squall's own timers were in the last second: the 99th percentile."
        yield GaugeMetricFamily("squall_generator_lag_seconds", text, value=status.lag_ms / 1e3)
    text = "Sessions that are alive."
    alive = GaugeMetricFamily("squall_sessions_alive", text, labels=("arm",))
    for arm in ARMS:
        alive.add_metric((arm,), status.alive.get(arm, 0))
    yield alive


def _calls(shown: _Shown) -> Iterator[Metric]:
    """Counters since the run began."""
    text = "Calls that were settled, by outcome; a rightful refusal is none."
    calls = CounterMetricFamily("squall_calls", text, labels=("arm", "outcome"))
    text = "From the moment a call was due until it was settled."
    took = HistogramMetricFamily("squall_call_duration_seconds", text, labels=("arm",))
    for arm in ARMS:
        total = shown.total[arm]
        for outcome in Outcome:
            calls.add_metric((arm, outcome.name.lower()), total.outcomes.get(outcome, 0))
        took.add_metric((arm,), _buckets(total), total.took_us * _US)
    yield calls
    yield took


def _buckets(tally: ArmTally) -> list[tuple[str, float]]:
    """Give the calls that took no longer than each bound; the last holds all."""
    below = 0
    bounds: list[tuple[str, float]] = []
    left = sorted(tally.buckets.items(), reverse=True)
    for doubling in _DOUBLINGS:
        while left and left[-1][0] < doubling * BUCKETS_PER_DOUBLING:
            below += left.pop()[1]
        bounds.append((repr(2**doubling * _US), below))
    return [*bounds, ("+Inf", sum(tally.buckets.values()))]


def _recent(shown: _Shown) -> Iterator[Metric]:
    """What needs no query to be read: the last second's rates, the last seconds' percentiles."""
    text = "Calls that were settled in the last second."
    rate = GaugeMetricFamily("squall_calls_per_second", text, labels=("arm",))
    text = f"Share of the calls of the last {RECENT_S} s that failed."
    failed = GaugeMetricFamily("squall_calls_failed_ratio", text, labels=("arm",))
    text = f"From the moment a call was due, over the last {RECENT_S} s."
    took = GaugeMetricFamily("squall_call_recent_seconds", text, labels=("arm", "quantile"))
    for arm in ARMS:
        rate.add_metric((arm,), shown.second[arm].calls)
        last = shown.recent[arm]
        if last.calls:
            failed.add_metric((arm,), last.errors / last.calls)
        for share in QUANTILES:
            quantile_ms = last.quantile_ms(share)
            if quantile_ms is not None:
                took.add_metric((arm, repr(share)), quantile_ms / 1e3)
    yield from (rate, failed, took)


def _faults(status: Status) -> Iterator[Metric]:
    labels = ("fault", "kind")
    force = GaugeMetricFamily("squall_fault_in_force", "1 while a fault is.", labels=labels)
    text = "What the faults in force have hit so far, by what is counted of each."
    hits = GaugeMetricFamily("squall_fault_exposure", text, labels=("fault", "counted"))
    for fault in status.faults:
        force.add_metric((fault, fault.partition(":")[2]), 1)
    for hit in status.hits:
        hits.add_metric((hit.fault, hit.unit), hit.count)
    yield from (force, hits)
