"""Counts spans by tool: which joined the trace of a call of ours, and what they say of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from harness.redaction import redact
from harness.scenario.traces import call_of, span_of

TOOLS_MAX: Final = 500
CALLS_MAX: Final = 500_000  # distinct ones that are told apart
NAME_MAX: Final = 120
_TOOL: Final = "gen_ai.tool.name"
_METHOD: Final = "mcp.method.name"
_RESULT: Final = "gen_ai.tool.call.result"
_SIZE: Final = re.compile(
    r"(?:result|response|output|body).*(?:size|bytes|length|rows|count)", re.IGNORECASE
)


@dataclass(eq=False)
class ToolSpans:
    """The spans of one tool or method."""

    spans: int = 0  # those that stand directly under a call of ours
    named: int = 0  # say which tool, in the attribute that the conventions have for it
    timed: int = 0  # say how long it took
    sized: int = 0  # say how large the result was
    failed: int = 0  # say that it went wrong
    downstream: int = 0  # requests to others, within these calls
    exposed: int = 0  # hold what looks like a credential
    calls: set[str] = field(default_factory=set)


class Tally:
    """All that a receiver remembers: counts, and which calls were seen."""

    def __init__(self) -> None:
        """Know of nothing yet."""
        self.tools: dict[str, ToolSpans] = {}
        self.strangers = 0  # spans of traces that are not ours
        self._seen = 0
        self._names: dict[str, str] = {}  # by call

    def add(self, request: ExportTraceServiceRequest) -> None:
        """Count what one request brings."""
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                for span in scope.spans:
                    self._add(span)

    def _add(self, span: Span) -> None:
        call = call_of(span.trace_id)
        if not call:
            self.strangers += 1
            return
        attributes = {pair.key: pair for pair in span.attributes}
        direct = span.parent_span_id == span_of(call)
        name = _name(span, attributes) if direct else self._names.get(call, "")
        mine = self._tool(name)
        mine.exposed += _exposes(span)
        if not direct:
            mine.downstream += span.kind == Span.SPAN_KIND_CLIENT
            return
        mine.spans += 1
        mine.named += _TOOL in attributes or not _method(attributes).startswith("tools/call")
        mine.timed += 0 < span.start_time_unix_nano < span.end_time_unix_nano
        mine.sized += _RESULT in attributes or any(map(_SIZE.search, attributes))
        mine.failed += span.status.code == Status.STATUS_CODE_ERROR
        if self._seen < CALLS_MAX and call not in mine.calls:
            self._seen += 1
            mine.calls.add(call)
            self._names[call] = name

    def _tool(self, name: str) -> ToolSpans:
        if name not in self.tools and len(self.tools) >= TOOLS_MAX:
            name = ""
        return self.tools.setdefault(name, ToolSpans())

    def rows(self) -> Iterator[dict[str, int | str]]:
        """Give the counts by tool; `tool` "" is what nobody named, with all strangers."""
        for name, mine in sorted({"": ToolSpans(), **self.tools}.items()):
            yield {
                "tool": name,
                "calls": len(mine.calls),
                "spans": mine.spans + (0 if name else self.strangers),
                "named": mine.named,
                "timed": mine.timed,
                "sized": mine.sized,
                "failed": mine.failed,
                "downstream": mine.downstream,
                "exposed": mine.exposed,
            }


def _method(attributes: Mapping[str, KeyValue]) -> str:
    found = attributes.get(_METHOD)
    return found.value.string_value if found is not None else "tools/call"


def _name(span: Span, attributes: Mapping[str, KeyValue]) -> str:
    """Name the tool, or else the method, that a span is of."""
    tool = attributes.get(_TOOL)
    if tool is not None:
        return tool.value.string_value[:NAME_MAX]
    method, _, rest = span.name.partition(" ")
    return (rest if method == "tools/call" and rest else _method(attributes))[:NAME_MAX]


def _exposes(span: Span) -> bool:
    texts = [pair.value.string_value for pair in span.attributes]
    texts += [pair.value.string_value for event in span.events for pair in event.attributes]
    return any(redact(text) != text for text in (*texts, span.name, span.status.message))
