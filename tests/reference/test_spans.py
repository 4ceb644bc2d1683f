"""The bundled server's spans, from the real server to the real receiver."""

from __future__ import annotations

import json
from pathlib import Path

import anyio
import pytest
from mcp.types import CallToolResult, TextContent

from harness.journal import TraceEntry
from harness.reference.spans import size_bytes
from harness.rig import server
from harness.rig.spans import control
from harness.scenario import expressions
from harness.scenario.marks import Marks
from harness.scenario.traces import traceparent
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from tests.wire.scripted import CLOCK

WAIT_S = 20.0


def params(nonce: str) -> bytes:
    """Encode a search that carries its trace, as a step does."""
    call = {"name": "search", "arguments": {"query": "${nonce}"}}
    template = expressions.compile({**call, "_meta": {"traceparent": "${traceparent}"}})
    assert template.needs == {"nonce"}
    return template.render_json({"nonce": nonce})


def test_a_step_renders_the_trace_of_its_call() -> None:
    """What is sent is what the receiver knows the call by."""
    nonce = Marks.of(3).nonce(0, 1)
    assert json.loads(params(nonce))["_meta"] == {"traceparent": traceparent(nonce).decode()}


def test_the_size_of_a_result_is_that_of_its_json() -> None:
    """Whether the SDK has made a model of it or not."""
    model = CallToolResult(content=[TextContent(type="text", text="four")])
    assert size_bytes(model) == len(model.model_dump_json(by_alias=True, exclude_none=True))
    assert size_bytes({"ok": True}) == len('{"ok":true}')


@pytest.mark.anyio
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_bundled_servers_spans_join_the_calls_and_tell_of_them(
    tmp_path: Path, era: str
) -> None:
    """In both eras: the tool, the time and the size of the result, under the call's own trace."""
    nonce = Marks.of(3).nonce(0, 1)
    async with (
        control.serve(port=0, log_dir=None) as spans,
        server.reference(
            issuer=None, ledger=tmp_path / "l.sqlite", env=spans.environment
        ) as target,
    ):
        client = WireClient(
            Endpoint.from_url(target.url),
            era=era,  # type: ignore[arg-type]
            now_ns=CLOCK.now_ns,
            schemas=SchemaBook(),
        )
        deadline_ns = CLOCK.now_ns() + round(WAIT_S * 1e9)
        await client.open(deadline_ns=deadline_ns)
        reply = await client.request(
            "tools/call", params(nonce), name="search", deadline_ns=deadline_ns
        )
        assert reply.result
        entry = await _seen(spans)
        await client.close(deadline_ns=deadline_ns)
    assert (entry.calls, entry.spans, entry.named, entry.timed, entry.sized) == (1, 1, 1, 1, 1)
    assert entry.exposed == 0


async def _seen(spans: control.Spans) -> TraceEntry:
    """Give the counts for `search` once its span has come."""
    with anyio.fail_after(WAIT_S):
        while True:
            for entry in await spans.entries(1):
                if entry.tool == "search":
                    return entry
            await anyio.sleep(0.05)
