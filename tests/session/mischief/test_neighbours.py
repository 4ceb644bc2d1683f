from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from anyio import fail_after

from faults.levers import Behaviour
from harness.outcome import Outcome
from tests.session.mischief.acting import act
from tests.wire.scripted import Peer, legacy_reply, serving

pytestmark = pytest.mark.anyio

SLOW = Behaviour(
    kind="slow_call", share=0.5, tool="slow", argument="seconds", after_s=0.7, window=1
)
LIMIT_S = 20


async def test_a_slow_neighbour_asks_whether_anything_else_is_answered(tmp_path: Path) -> None:
    """One slow call, and pings beside it on connections of their own."""
    asked: list[tuple[str, object]] = []

    async def serve(peer: Peer) -> None:
        while True:
            request = await peer.request()
            message = request.message if request.method == "POST" else {}
            asked.append((message.get("method", ""), message.get("params")))
            if message.get("method") == "tools/call":
                await asyncio.sleep(0.7)
            await peer.send(legacy_reply(request))

    async with serving(serve) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, SLOW)
    calls = [params for method, params in asked if method == "tools/call"]
    assert calls == [{"name": "slow", "arguments": {"seconds": 0.7}}]
    assert [row["outcome"] for row in acted.calls] == [Outcome.OK]
    variants = [probe.variant for probe in acted.probes]
    assert variants[-1] == "slow"
    assert variants.count("probe") >= 1
    assert {probe.outcome for probe in acted.probes} == {"ok"}
