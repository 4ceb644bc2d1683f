"""A run as metrics: the conventions' names and bounds, and nothing lost or counted twice."""

from __future__ import annotations

from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.sdk.resources import Resource

from faults.network import TcpLatency
from harness.evidence.phases import Evidence
from harness.journal import Calls
from harness.judge import judge
from harness.outcome import Outcome
from reports.otlp.metrics import BOUNDS_S, measure
from tests.checks import cases
from tests.collecting import attributes
from tests.journals import S, end

ZERO_NS = 1_790_000_000 * S


def ail(made: Calls) -> None:
    """Let seven calls under the fault end as the tool's error."""
    end(made, cases.some(cases.kind(made, 0, cases.WINDOW), 7), Outcome.TOOL_ERROR)


def measured(of: Evidence) -> dict[str, Metric]:
    """A run's metrics by name, as the official exporter writes them."""
    data = measure(of, judge(of), {}, zero_ns=ZERO_NS, resource=Resource({}))
    (one,) = encode_metrics(data).resource_metrics
    return {metric.name: metric for scope in one.scope_metrics for metric in scope.metrics}


def last(metric: Metric) -> dict[tuple[tuple[str, Any], ...], Any]:
    """The last point of each series."""
    data = getattr(metric, str(metric.WhichOneof("data")))
    points = sorted(data.data_points, key=lambda point: int(point.time_unix_nano))
    return {tuple(sorted(attributes(point).items())): point for point in points}


def test_every_request_is_in_the_conventions_histogram_once() -> None:
    """With their bounds, in seconds; failures under their error's type."""
    of = cases.run(TcpLatency(), spoil=ail)
    metric = measured(of)["mcp.client.operation.duration"]
    assert metric.unit == "s"
    points = last(metric)
    assert sum(point.count for point in points.values()) == len(of.calls)
    bad = [p for p in points.values() if attributes(p).get("error.type") == "tool_error"]
    assert sum(point.count for point in bad) == 7
    for point in points.values():
        assert tuple(point.explicit_bounds) == BOUNDS_S
        assert sum(point.bucket_counts) == point.count
        said = attributes(point)
        assert said["mcp.method.name"] == "tools/call"
        assert said["gen_ai.tool.name"] in {"search", "append_note"}
        assert said["squall.arm"] in {"control", "treated"}


def test_points_grow_over_the_runs_time() -> None:
    """Cumulative, each later than the one before, within the run."""
    points = measured(cases.run(TcpLatency()))["squall.calls"].sum.data_points
    series: dict[str, list[Any]] = {}
    for point in points:
        series.setdefault(str(sorted(attributes(point).items())), []).append(point)
    assert any(len(mine) > 1 for mine in series.values())
    for mine in series.values():
        values = [point.as_int for point in mine]
        times = [point.time_unix_nano for point in mine]
        assert values == sorted(values)
        assert times == sorted(set(times))
        assert times[0] > ZERO_NS
        assert times[-1] <= ZERO_NS + 40 * S


def test_faults_sessions_and_calls_from_due_are_told_too() -> None:
    """When a fault was in force, what it hit, how long sessions lived, and how slow calls were."""
    of = cases.run(TcpLatency())
    found = measured(of)
    active = found["squall.fault.active"].gauge.data_points
    assert [point.as_int for point in active] == [1, 0]
    assert 9 * S < active[1].time_unix_nano - active[0].time_unix_nano <= 10 * S
    (hit,) = found["squall.fault.exposure"].sum.data_points
    assert hit.as_int > 0
    lives = last(found["mcp.client.session.duration"])
    assert sum(point.count for point in lives.values()) == 20
    due = last(found["squall.call.duration"])
    assert sum(point.count for point in due.values()) == int(of.counted.sum())
    assert {attributes(point)["squall.phase"] for point in due.values()} == {
        "baseline",
        "1:tcp-latency",
        "1:recovery",
    }
