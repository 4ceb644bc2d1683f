"""Sends spans and metrics to an OpenTelemetry collector, in bounded time, and never fails for it.

Through the official SDK's exporters, which read the standard variables: headers above all, with
the collector's credentials in them. Those are never logged: what the exporters say of their own is
kept silent, and why something was not taken is told in our words.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

import requests

from harness.errors import UsageError
from harness.redaction import redact

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricsData
    from opentelemetry.sdk.trace import ReadableSpan

BATCH: Final = 512  # spans in a request
POINTS: Final = 2000  # of metrics in a request
REQUEST_S: Final = 5.0  # with all its repetitions
SEND_S: Final = 30.0  # for everything
HEADERS: Final = "OTEL_EXPORTER_OTLP_HEADERS"
_SIGNALS: Final = ("traces", "metrics")
_NEEDED: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
_TAKEN: Final = range(200, 300)
_DENIED: Final = (401, 403)
_SAID_MAX: Final = 200  # characters of what a collector says
_LATE: Final = "it took longer than there is time for"


@dataclass(eq=False)
class Sent:
    """What a collector has taken, and why not all, signal by signal, if so."""

    spans: int = 0
    metrics: int = 0
    took_s: float = 0.0
    refusals: dict[str, str] = field(default_factory=dict)
    # What a collector that took a request says it has left out of it, and what it remarks.
    rejected: dict[str, int] = field(default_factory=dict)  # spans, and data points
    remarks: dict[str, str] = field(default_factory=dict)


def check(url: str) -> str:
    """Give a collector's address without the paths of its signals.

    Raises:
        UsageError: when it is none, or the exporters are not installed.
    """
    parts = urlsplit(url)
    try:
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if not whole:
        raise UsageError(
            "--otlp: expected the http or https URL of a collector, as in http://127.0.0.1:4318"
        )
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise UsageError(
            "--otlp: expected a URL with nothing secret in it, found an account or a query; "
            f"give the collector's credentials in {HEADERS}, as in authorization=Bearer%20..."
        )
    if not all(map(_installed, _NEEDED)):
        raise UsageError(
            "expected the OpenTelemetry SDK and its OTLP exporter for --otlp, found none; "
            "install squall with its extra: mcp-squall[traces]"
        )
    base = url.rstrip("/")
    for signal in _SIGNALS:
        base = base.removesuffix(f"/v1/{signal}")
    return base


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def send(
    base: str, spans: Iterable[ReadableSpan], metrics: MetricsData, *, within_s: float = SEND_S
) -> Sent:
    """Send all of it to a collector whose address `check` gave; what it does not take is told.

    The spans are made as they are sent. Whatever the collector does, this returns in time.
    """
    sent = Sent()
    started_s = time.monotonic()
    sending = _Sending(base, sent, until_s=started_s + within_s)
    # A socket's timeout starts anew with every byte, so that time is kept from outside.
    worker = threading.Thread(target=sending.run, args=(spans, metrics), daemon=True)
    with _silent():
        worker.start()
        worker.join(within_s + REQUEST_S)
        if worker.is_alive():
            sending.refuse(_LATE)  # what it still does, nobody waits for
    sent.took_s = time.monotonic() - started_s
    return sent


@contextmanager
def _silent() -> Iterator[None]:
    """Keep the SDK's own log away from standard error: it quotes headers and replies."""
    log = logging.getLogger("opentelemetry")
    nothing, propagate = logging.NullHandler(), log.propagate
    log.addHandler(nothing)
    log.propagate = False
    try:
        yield
    finally:
        log.propagate = propagate
        log.removeHandler(nothing)


class _Watched(requests.Session):
    """A session that remembers how its last request ended, and what all answers left out."""

    def __init__(self, signal: str) -> None:
        super().__init__()
        self._signal = signal
        self.ended = ""  # "" where it was taken
        self.rejected = 0
        self.remark = ""  # the first

    def request(self, *words: Any, **given: Any) -> requests.Response:
        """As every session does it."""
        try:
            reply = super().request(*words, **given)
        except requests.RequestException as error:
            self.ended = _in_words(error)
            raise
        self.ended = "" if reply.status_code in _TAKEN else _refusal(reply.status_code)
        if not self.ended:
            rejected, remark = _partial(self._signal, reply)
            self.rejected += rejected
            self.remark = self.remark or remark
        return reply


def _partial(signal: str, reply: requests.Response) -> tuple[int, str]:
    """Read a partial success: how much a collector left out, and what it says to that.

    An answer in any other shape says nothing: the status says that all was taken.
    """
    from google.protobuf import json_format, message  # noqa: PLC0415  an extra
    from opentelemetry.proto.collector.metrics.v1 import (  # noqa: PLC0415  an extra
        metrics_service_pb2 as of_metrics,
    )
    from opentelemetry.proto.collector.trace.v1 import (  # noqa: PLC0415  an extra
        trace_service_pb2 as of_traces,
    )

    spans, points = (
        of_traces.ExportTraceServiceResponse(),
        of_metrics.ExportMetricsServiceResponse(),
    )
    told = spans if signal == "traces" else points
    try:
        if "json" in reply.headers.get("content-type", ""):
            json_format.Parse(reply.content, told, ignore_unknown_fields=True)
        else:
            told.ParseFromString(reply.content)
    except (json_format.ParseError, message.DecodeError, UnicodeDecodeError):
        return 0, ""
    rejected = spans.partial_success.rejected_spans + points.partial_success.rejected_data_points
    return max(0, int(rejected)), _clean(told.partial_success.error_message)


def _clean(said: str) -> str:
    """Give on one line, cut short, what a collector said, but no credential that it was sent."""
    named = (value for name, value in os.environ.items() if _is_headers(name))
    pairs = (unquote(pair.partition("=")[2]) for value in named for pair in value.split(","))
    secrets = [word for pair in pairs for word in (pair.strip(), *pair.split())]
    whole = "".join(letter if letter.isprintable() else " " for letter in said[: 4 * _SAID_MAX])
    return redact(" ".join(whole.split()), secrets)[:_SAID_MAX]


def _is_headers(name: str) -> bool:
    return name.startswith("OTEL_EXPORTER_OTLP_") and name.endswith("HEADERS")


def _in_words(error: requests.RequestException) -> str:
    """Say what went wrong, not in the library's words: they may quote a header."""
    if isinstance(error, requests.exceptions.SSLError):
        return "TLS failed: its certificate is not trusted here, or it speaks no TLS"
    if isinstance(error, requests.exceptions.Timeout):
        return "it does not answer in time"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "it cannot be reached"
    if isinstance(error, requests.exceptions.InvalidHeader):
        return f"{HEADERS} holds what no header may"
    return type(error).__name__


def _refusal(status: int) -> str:
    mend = f"; its credentials belong into {HEADERS}" if status in _DENIED else ""
    return f"it answered with status {status}{mend}"


class _Sending:
    """One sending, in a thread of its own."""

    def __init__(self, base: str, sent: Sent, *, until_s: float) -> None:
        self._base, self._sent, self._until_s = base, sent, until_s
        self._signal = ""

    def run(self, spans: Iterable[ReadableSpan], metrics: MetricsData) -> None:
        """Send both signals; one that is refused does not keep the other."""
        parts: dict[str, Callable[[], None]] = {
            "traces": lambda: self._spans(spans),
            "metrics": lambda: self._metrics(metrics),
        }
        for self._signal, part in parts.items():
            try:
                part()
            except Exception as error:  # noqa: BLE001  nothing here may change a run's end
                self.refuse(f"sending broke off: {type(error).__name__}")

    def refuse(self, why: str) -> None:
        """Write down why the signal that is being sent was not taken; the first reason stays."""
        self._sent.refusals.setdefault(self._signal, why)

    def _note(self, session: _Watched) -> None:
        """Keep what the collector says of what it took."""
        if session.rejected:
            self._sent.rejected[self._signal] = session.rejected
        if session.remark:
            self._sent.remarks.setdefault(self._signal, session.remark)

    def _late(self) -> bool:
        late = time.monotonic() > self._until_s
        if late:
            self.refuse(_LATE)
        return late

    def _spans(self, spans: Iterable[ReadableSpan]) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415  an extra
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.trace.export import SpanExportResult  # noqa: PLC0415  an extra

        session = _Watched("traces")
        exporter = OTLPSpanExporter(
            endpoint=f"{self._base}/v1/traces", timeout=REQUEST_S, session=session
        )
        left = iter(spans)
        while batch := list(islice(left, BATCH)):
            if self._late():
                return
            if exporter.export(batch) is not SpanExportResult.SUCCESS or session.ended:
                self.refuse(session.ended or "its answer could not be understood")
                return
            self._sent.spans += len(batch)
            self._note(session)
        session.close()

    def _metrics(self, metrics: MetricsData) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415  an extra
            OTLPMetricExporter,
        )
        from opentelemetry.sdk.metrics.export import MetricExportResult  # noqa: PLC0415  an extra

        if self._late():
            return
        session = _Watched("metrics")
        exporter = OTLPMetricExporter(
            endpoint=f"{self._base}/v1/metrics",
            timeout=REQUEST_S,
            session=session,
            max_export_batch_size=POINTS,
        )
        if exporter.export(metrics) is not MetricExportResult.SUCCESS or session.ended:
            self.refuse(session.ended or "its answer could not be understood")
            return
        self._note(session)
        self._sent.metrics = sum(
            len(scope.metrics) for one in metrics.resource_metrics for scope in one.scope_metrics
        )
        session.close()
