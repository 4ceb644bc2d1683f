"""Writes spans with given ids and times through the SDK's own tracer, as if they were under way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.util.types import AttributeValue

import harness
from harness.scenario.traces import traceparent

SCOPE: Final = "squall"
Happening = tuple[str, int, Mapping[str, AttributeValue]]  # its name, when, and what more


class _Ids(IdGenerator):
    """Gives the ids that were put down for the next span."""

    trace = 0
    span = 0

    def generate_trace_id(self) -> int:
        """For a span without a parent."""
        return self.trace

    def generate_span_id(self) -> int:
        """For every span."""
        return self.span


class _Last(SpanProcessor):
    """Holds the span that has just ended."""

    span: ReadableSpan | None = None

    def on_end(self, span: ReadableSpan) -> None:
        """Hold it."""
        self.span = span


class Pen:
    """Writes spans with given ids and times, through the SDK's own tracer."""

    def __init__(self, resource: Resource) -> None:
        """Write spans of this resource."""
        self._ids, self._last = _Ids(), _Last()
        provider = TracerProvider(
            sampler=ALWAYS_ON, resource=resource, id_generator=self._ids, shutdown_on_exit=False
        )
        provider.add_span_processor(self._last)
        self._tracer: Tracer = provider.get_tracer(SCOPE, harness.__version__)

    def write(
        self,
        name: str,
        context: SpanContext,
        span_ns: tuple[int, int],
        attributes: Mapping[str, AttributeValue],
        *,
        parent: SpanContext | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        links: tuple[SpanContext, ...] = (),
        events: tuple[Happening, ...] = (),
        failed: bool = False,
    ) -> Iterator[ReadableSpan]:
        """Give one span; none where the environment has switched the SDK off."""
        self._ids.trace, self._ids.span = context.trace_id, context.span_id
        start_ns, end_ns = span_ns
        span = self._tracer.start_span(
            name,
            context=set_span_in_context(NonRecordingSpan(parent)) if parent else Context(),
            kind=kind,
            attributes=attributes,
            links=[Link(one) for one in links],
            start_time=start_ns,
        )
        for event, at_ns, said in events:
            span.add_event(event, said, timestamp=at_ns)
        if failed:
            span.set_status(Status(StatusCode.ERROR))
        span.end(max(start_ns, end_ns))
        if self._last.span is not None:
            yield self._last.span
        self._last.span = None


def context_of(run_id: str, trace: str, span: str) -> SpanContext:
    """Name a span of a run: the same one by the same ids, however often it is sent."""
    trace_id = blake2b(f"{run_id}/{trace}".encode(), digest_size=16).digest()
    span_id = blake2b(f"{run_id}/{trace}/{span}".encode(), digest_size=8).digest()
    return SpanContext(
        trace_id=int.from_bytes(trace_id),
        span_id=int.from_bytes(span_id),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )


def sent_context(nonce: str) -> SpanContext:
    """Give the span that the `traceparent` of a call names as the parent of the target's."""
    _, trace, span, _ = traceparent(nonce).decode().split("-")
    return SpanContext(
        trace_id=int(trace, 16),
        span_id=int(span, 16),
        is_remote=False,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
