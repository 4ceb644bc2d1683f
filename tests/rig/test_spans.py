"""The receiver of spans: OTLP as the official exporter sends it, and what it makes of it."""

from __future__ import annotations

import gzip
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from harness.errors import RigError, UsageError
from harness.journal import TraceEntry
from harness.rig.spans import control
from harness.rig.spans.__main__ import BODY_MAX_BYTES, PROTOBUF
from harness.rig.spans.tally import Tally
from harness.scenario.marks import Marks
from harness.scenario.traces import call_of, span_of, traceparent

NONCE = Marks.of(7).nonce(3, 14)
SECRET = "Bearer abcdefghijklmnopqrstuvwx"


def span(nonce: str = NONCE, **changes: Any) -> Span:
    """Make the span of a call to `search` that took a millisecond."""
    parent = traceparent(nonce).decode().split("-")
    fields: dict[str, Any] = {
        "trace_id": bytes.fromhex(parent[1]),
        "span_id": b"12345678",
        "parent_span_id": span_of(nonce),
        "name": "tools/call search",
        "kind": Span.SPAN_KIND_SERVER,
        "start_time_unix_nano": 1_000_000,
        "end_time_unix_nano": 2_000_000,
    }
    said = changes.pop("said", {"gen_ai.tool.name": "search", "mcp.method.name": "tools/call"})
    made = Span(**(fields | changes))
    for key, value in said.items():
        made.attributes.add(key=key).value.string_value = value
    return made


def request(*spans: Span) -> ExportTraceServiceRequest:
    """Make an export of some spans."""
    made = ExportTraceServiceRequest()
    made.resource_spans.add().scope_spans.add().spans.extend(spans)
    return made


def told(*spans: Span) -> dict[str, dict[str, int | str]]:
    """Count some spans, by tool."""
    tally = Tally()
    tally.add(request(*spans))
    return {str(row["tool"]): row for row in tally.rows()}


def test_a_calls_trace_names_the_call_and_nobody_elses_does() -> None:
    """Version 00, sampled, and the nonce in both ids."""
    version, trace, parent, flags = traceparent(NONCE).decode().split("-")
    assert (version, flags, len(trace), len(parent)) == ("00", "01", 32, 16)
    assert call_of(bytes.fromhex(trace)) == NONCE
    assert bytes.fromhex(parent) == span_of(NONCE)
    assert call_of(b"x" * 16) == call_of(b"") == ""


def test_spans_are_counted_by_what_they_say() -> None:
    """Which tool, how long, how large, and whether it went wrong."""
    full = span(said={"gen_ai.tool.name": "search", "mcp.tool.result.size": "120"})
    failed = span(Marks.of(7).nonce(3, 15))
    failed.status.code = Status.STATUS_CODE_ERROR
    bare = span(Marks.of(7).nonce(3, 16), said={}, end_time_unix_nano=0)
    rows = told(full, full, failed, bare)
    assert rows["search"] == {
        "tool": "search",
        "calls": 3,
        "spans": 4,
        "named": 3,
        "timed": 3,
        "sized": 2,
        "failed": 1,
        "downstream": 0,
        "exposed": 0,
    }


def test_requests_to_others_and_credentials_within_a_call_are_seen() -> None:
    """A client's span below the call's own, and a token in an attribute or an event."""
    inner = span(parent_span_id=b"12345678", kind=Span.SPAN_KIND_CLIENT, said={"url": "db"})
    leaking = span(said={"gen_ai.tool.name": "search", "http.request.header": SECRET})
    crashed = span(said={"gen_ai.tool.name": "search"})
    crashed.events.add().attributes.add(key="exception.message").value.string_value = SECRET
    rows = told(leaking, inner, crashed)
    assert (rows["search"]["downstream"], rows["search"]["exposed"]) == (1, 2)


def test_spans_of_other_traces_belong_to_nobody() -> None:
    """They are counted, under no name."""
    rows = told(span(trace_id=b"0123456789abcdef"), span())
    assert (rows[""]["spans"], rows[""]["calls"], rows["search"]["spans"]) == (1, 0, 1)


def test_methods_without_a_tool_are_named_after_themselves() -> None:
    """`tools/list` is no tool, and says what it is."""
    rows = told(span(name="tools/list", said={"mcp.method.name": "tools/list"}))
    assert rows["tools/list"]["named"] == 1


def test_a_flood_of_tool_names_stays_bounded() -> None:
    """What comes after the five hundredth name is counted under none."""
    many = [
        span(Marks.of(7).nonce(1, at), said={"gen_ai.tool.name": f"tool-{at}"}) for at in range(700)
    ]
    rows = told(*many)
    assert len(rows) <= 502
    assert sum(int(row["calls"]) for row in rows.values()) == 700


@pytest.mark.anyio
async def test_the_receiver_takes_what_exporters_send_and_refuses_the_rest() -> None:
    """Protobuf, packed or not; anything else gets a status that says why."""
    body = request(span()).SerializeToString()
    async with (
        control.serve(port=0, log_dir=None) as spans,
        httpx.AsyncClient(base_url=spans.url, trust_env=False, timeout=10) as http,
    ):
        kind = {"content-type": PROTOBUF}
        packed = kind | {"content-encoding": "gzip"}
        answers = [
            await http.post("/v1/traces", content=body, headers=kind),
            await http.post("/v1/traces", content=gzip.compress(body), headers=packed),
            await http.post("/v1/traces", content=b"\xff\xff\xff", headers=kind),
            await http.post("/v1/traces", content=b"no gzip", headers=packed),
            await http.post("/v1/traces", json={}),
            await http.post("/v1/traces", content=b" " * (BODY_MAX_BYTES + 1), headers=kind),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 400, 400, 415, 413]
        entries = {entry.tool: entry for entry in await spans.entries(5)}
        assert entries["search"] == TraceEntry(
            at_ns=5, tool="search", calls=1, spans=2, named=2, timed=2
        )
        assert spans.environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == spans.url
    async with httpx.AsyncClient(trust_env=False) as http:
        gone = control.Spans(url=spans.url, http=http)
        with pytest.raises(RigError, match="expected the receiver of spans"):
            await gone.entries(1)


@pytest.mark.anyio
async def test_without_the_extra_the_mend_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started, and the extra has a name."""
    monkeypatch.setattr(control, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"mcp-squall\[traces\]"):
        async with control.serve(port=0, log_dir=None):
            raise AssertionError("it started")
