"""What is found out about a target before any load."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import fail_after

from harness.errors import TargetError
from harness.running import preflight
from harness.scenario.records import Scenario
from harness.session.access import Access, Doors
from harness.wire.endpoint import Endpoint
from tests.wire.scripted import WAIT_S, Request, answering, http, legacy_reply, response, serving

pytestmark = pytest.mark.anyio

TOOL: dict[str, Any] = {
    "name": "search",
    "inputSchema": {
        "type": "object",
        "properties": {"q": {"type": "object", "x-mcp-header": "Q"}},
    },
}
DISCOVERED: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}


def _modern(request: Request) -> bytes:
    results = {"server/discover": DISCOVERED, "tools/list": {"tools": [TOOL]}}
    return http(response(request.message["id"], results[request.message["method"]]))


def _legacy(request: Request) -> bytes:
    if b"tools/list" in request.body:
        return http(response(request.message["id"], {"tools": [TOOL]}))
    return legacy_reply(request)


async def _check(url: str, era: str, call: str = "search") -> tuple[dict[str, Any], ...]:
    made = Scenario.model_validate(
        {
            "question": "Does the target offer what is asked of it?",
            "era": era,
            "agents": [{"name": "worker", "steps": [{"call": call}]}],
        }
    )
    end = Endpoint.from_url(url)
    door = (end.connect_host, end.connect_port)
    with fail_after(WAIT_S):
        return await preflight.check(made, Doors(url=url, control=door, treated=door), Access())


async def test_a_tool_that_the_modern_era_forbids_to_call_ends_it() -> None:
    """Its header annotation stands on an object: no client may call it, and the mend is said."""
    async with serving(answering(_modern)) as server:
        with pytest.raises(TargetError, match="neither text nor an integer") as caught:
            await _check(server.url, "modern")
    assert "mend its inputSchema" in str(caught.value)


async def test_the_handshake_era_knows_no_such_annotations() -> None:
    """There the same tool is called."""
    async with serving(answering(_legacy)) as server:
        pages = await _check(server.url, "legacy")
    assert pages == ({"tools": [TOOL]},)


async def test_a_tool_that_is_not_offered_is_named_with_the_nearest_one() -> None:
    """A slip of the pen is the likeliest cause."""
    async with serving(answering(_legacy)) as server:
        with pytest.raises(TargetError, match="did you mean 'search'"):
            await _check(server.url, "legacy", call="serach")
