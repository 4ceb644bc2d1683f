"""Sending to collectors, good and bad ones: in bounded time, and without a word of its secrets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from faults.network import TcpLatency
from harness import collector
from harness.errors import UsageError
from harness.judge import judge
from reports.otlp.metrics import measure
from reports.otlp.pen import Pen, context_of
from tests.checks import cases
from tests.collecting import collector as collecting

HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
TOKEN = "sesame-open-0123456789"


def spans(count: int) -> Iterator[ReadableSpan]:
    """Some spans, made as they are asked for."""
    pen = Pen(Resource({"service.name": "squall"}))
    for turn in range(count):
        yield from pen.write("step", context_of("1a2b", "run", f"{turn}"), (turn, turn + 1), {})


@pytest.fixture(scope="module")
def metrics() -> MetricsData:
    """The metrics of a small run."""
    of = cases.run(TcpLatency())
    return measure(of, judge(of), {}, zero_ns=1, resource=Resource({}))


@contextmanager
def silent() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def closed() -> str:
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def test_all_is_sent_in_requests_of_bounded_size(
    metrics: MetricsData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the headers of the standard variable, and the path of each signal once."""
    monkeypatch.setenv(HEADERS, f"authorization=Bearer%20{TOKEN}")
    with collecting() as there:
        base = collector.check(f"{there.url}/v1/traces")
        assert base == there.url
        sent = collector.send(base, spans(1100), metrics)
    assert (sent.spans, sent.refusals) == (1100, {})
    assert len(there.spans) == 1100
    assert [len(one.resource_spans[0].scope_spans[0].spans) for one in there.traces] == [
        512,
        512,
        76,
    ]
    assert sent.metrics == 7
    assert there.metric("mcp.client.operation.duration")
    assert {one["authorization"] for one in there.headers} == {f"Bearer {TOKEN}"}


@pytest.mark.parametrize(
    ("status", "why"), [(401, HEADERS), (302, "status 302"), (404, "status 404")]
)
def test_a_collector_that_refuses_one_signal_is_still_sent_the_other(
    status: int, why: str, metrics: MetricsData
) -> None:
    """A redirection takes nothing either, though no exporter says so."""
    with collecting(lambda path: status if path == "/v1/traces" else 200) as there:
        sent = collector.send(there.url, spans(600), metrics)
    assert sent.spans == 0
    assert sent.metrics == 7
    assert why in sent.refusals["traces"]
    assert list(sent.refusals) == ["traces"]
    assert len(there.headers) < 5  # no second batch after the first was refused


@pytest.mark.parametrize("as_json", [False, True])
def test_what_a_collector_leaves_out_is_counted_with_its_reason(
    metrics: MetricsData, *, as_json: bool
) -> None:
    """Status 200 is no whole success; over all requests of a signal, and the rest still goes."""
    with collecting(rejects=3, says="too\n old", as_json=as_json) as there:
        sent = collector.send(there.url, spans(600), metrics)
    assert (sent.refusals, sent.spans, sent.metrics) == ({}, 600, 7)
    assert sent.rejected == {"traces": 6, "metrics": 3}
    assert sent.remarks == {"traces": "too old", "metrics": "too old"}
    assert len(there.spans) == 600


def test_a_remark_without_a_rejection_is_only_a_remark(metrics: MetricsData) -> None:
    """A collector may take all and still have something to say."""
    with collecting(says="names in capitals are out of fashion") as there:
        sent = collector.send(there.url, spans(1), metrics)
    assert (sent.refusals, sent.rejected) == ({}, {})
    assert sent.remarks["traces"] == "names in capitals are out of fashion"


def test_a_collector_that_repeats_its_credentials_is_not_quoted(
    metrics: MetricsData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it was sent in a header stays out of what is told, and that is never long."""
    monkeypatch.setenv(HEADERS, f"authorization=Bearer%20{TOKEN},x-key={TOKEN[::-1]}")
    says = f"no quota for {TOKEN} or {TOKEN[::-1]} " + "and so on " * 1000
    with collecting(rejects=1, says=says) as there:
        sent = collector.send(there.url, spans(1), metrics)
    told = sent.remarks["traces"]
    assert told.startswith("no quota for [redacted] or [redacted] and")
    assert len(told) <= 200


def test_nobody_and_silence_are_told_in_time(
    metrics: MetricsData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither raises, and neither takes longer than it may."""
    monkeypatch.setattr(collector, "REQUEST_S", 0.4)
    sent = collector.send(closed(), spans(600), metrics, within_s=0.5)
    assert "reached" in sent.refusals["traces"]
    with silent() as url:
        sent = collector.send(url, spans(600), metrics, within_s=0.5)
    assert "time" in sent.refusals["traces"]
    assert (sent.spans, sent.metrics) == (0, 0)


def test_what_breaks_while_spans_are_made_is_told_too(metrics: MetricsData) -> None:
    """And the metrics go out."""

    def broken() -> Iterator[ReadableSpan]:
        yield from spans(1)
        raise ValueError(TOKEN)

    with collecting() as there:
        sent = collector.send(there.url, broken(), metrics)
    assert sent.refusals == {"traces": "sending broke off: ValueError"}
    assert sent.metrics == 7


@pytest.mark.parametrize("headers", [f"authorization={TOKEN}%0Aevil", f"no pair but {TOKEN}"])
def test_no_header_is_ever_logged(
    headers: str,
    metrics: MetricsData,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not even one that no header may hold, which the libraries would quote."""
    monkeypatch.setenv(HEADERS, headers)
    with collecting() as there:
        sent = collector.send(there.url, spans(1), metrics)
    out, err = capfd.readouterr()
    assert TOKEN not in out + err + str(sent.refusals)
    assert bool(sent.refusals) == ("%0A" in headers)


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("127.0.0.1:4318", "URL of a collector"),
        ("ftp://127.0.0.1", "URL of a collector"),
        ("http://127.0.0.1:99999", "URL of a collector"),
        (f"http://me:{TOKEN}@127.0.0.1:4318", HEADERS),
        (f"http://127.0.0.1:4318/?key={TOKEN}", HEADERS),
    ],
)
def test_an_address_that_is_none_or_holds_a_secret_is_refused(url: str, wanted: str) -> None:
    """With the mend, and without the secret."""
    with pytest.raises(UsageError, match=wanted) as caught:
        collector.check(url)
    assert TOKEN not in str(caught.value)


def test_without_the_extra_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is started."""
    monkeypatch.setattr(collector, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"mcp-squall\[traces\]"):
        collector.check("http://127.0.0.1:4318")
