"""A collector of OpenTelemetry, real but for its memory: it takes OTLP over HTTP as protobuf."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(eq=False)
class Collected:
    """What has come in."""

    url: str = ""
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)

    @property
    def spans(self) -> list[Span]:
        """Every span, in the order in which they came."""
        return [
            span
            for one in self.traces
            for resource in one.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def metric(self, name: str) -> list[Metric]:
        """Every part of a metric."""
        return [
            metric
            for one in self.metrics
            for resource in one.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
        ]


def attributes(of: Any) -> dict[str, Any]:
    """What a span, an event or a point says of itself."""
    pairs: list[KeyValue] = list(of.attributes)
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    assert kind is not None
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    return getattr(value, kind)


def _written(answer: Message, *, as_json: bool) -> bytes:
    written: bytes = MessageToJson(answer).encode() if as_json else answer.SerializeToString()
    return written


@contextmanager
def collector(
    answer: Callable[[str], int] = lambda _: 200,
    *,
    rejects: int = 0,
    says: str = "",
    as_json: bool = False,
) -> Iterator[Collected]:
    """A collector on a free port; `answer` gives the status of its answer to a path.

    Every request that it takes it takes in part: it `rejects` so many, and `says` why.
    """
    found = Collected()

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            found.raw += body
            found.headers.append(dict(self.headers.items()))
            status = answer(self.path)
            reply = b""
            if status == 200 and self.path == "/v1/traces":
                found.traces.append(ExportTraceServiceRequest.FromString(body))
                taken = ExportTraceServiceResponse()
                taken.partial_success.rejected_spans = rejects
                taken.partial_success.error_message = says
                reply = _written(taken, as_json=as_json)
            elif status == 200 and self.path == "/v1/metrics":
                found.metrics.append(ExportMetricsServiceRequest.FromString(body))
                kept = ExportMetricsServiceResponse()
                kept.partial_success.rejected_data_points = rejects
                kept.partial_success.error_message = says
                reply = _written(kept, as_json=as_json)
            self.send_response(status if status != 200 or self.path.startswith("/v1/") else 404)
            kind = "json" if as_json else "x-protobuf"
            self.send_header("content-type", f"application/{kind}")
            self.send_header("content-length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the library's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
