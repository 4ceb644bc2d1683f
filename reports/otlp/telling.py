"""All that a collector is told of one judged run, ready to be sent."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

import harness
from harness.evidence.phases import Evidence
from harness.journal import RunEntry
from harness.verdict import Judgement
from reports.otlp.metrics import measure
from reports.otlp.picking import Picked
from reports.otlp.spans import tell

SERVICE: Final = "squall"
_SERVICE_VARIABLE: Final = "OTEL_SERVICE_NAME"


@dataclass(frozen=True, kw_only=True)
class Telling:
    """A run's spans, made as they are asked for, and its metrics."""

    spans: Iterator[ReadableSpan]
    metrics: MetricsData
    share: str  # of which calls the spans are, in words


def make(
    of: Evidence, judgement: Judgement, facts: Mapping[str, Any], *, spans_max: int
) -> Telling:
    """Tell a judged run in at most `spans_max` spans, and in metrics of all its calls."""
    zero_ns = began_ns(of, facts)
    resource = Resource.create(
        {
            "service.name": os.environ.get(_SERVICE_VARIABLE) or SERVICE,
            "service.version": harness.__version__,
            "service.instance.id": str(facts.get("run_id", "")),
            "squall.scenario": judgement.scenario,
            "squall.seed": judgement.seed,
        }
    )
    told = tell(of, judgement, facts, zero_ns=zero_ns, resource=resource, spans_max=spans_max)
    metrics = measure(of, judgement, facts, zero_ns=zero_ns, resource=resource)
    return Telling(spans=told.spans, metrics=metrics, share=share(told.picked))


def began_ns(of: Evidence, facts: Mapping[str, Any]) -> int:
    """Give the Unix time of the run's zero: by its journal, else about, by its facts."""
    for entry in of.journal.of(RunEntry):
        if entry.edge == "started" and entry.unix_ns >= 0:
            return entry.unix_ns - entry.at_ns
    started = datetime.fromisoformat(str(facts.get("started_at", "1970-01-01T00:00:00+00:00")))
    return round(started.timestamp() * 1e9)


def share(picked: Picked) -> str:
    """Say of which calls there are spans: of all, or of how many."""
    if picked.whole:
        return "of every call"
    failing = (
        f"all {picked.failing:,}"
        if picked.failing_kept == picked.failing
        else f"{picked.failing_kept:,} of {picked.failing:,}"
    )
    return f"{failing} calls that failed, {picked.others_kept:,} of {picked.others:,} others"
