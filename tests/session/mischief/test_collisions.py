from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from anyio import fail_after

from faults.levers import Behaviour
from harness.outcome import Outcome, Reason
from tests.session.mischief.acting import DISCOVERED, act
from tests.wire.scripted import Peer, Request, http, legacy_reply, response, serving

pytestmark = pytest.mark.anyio

COLLIDE = Behaviour(kind="collide_ids", share=1.0, count=3, window=1)
LIMIT_S = 20


class Mixed:
    """A server that gives each call the answer of the call before it under the same id."""

    def __init__(self, count: int) -> None:
        self.asked: list[Request] = []
        self.all = asyncio.Event()
        self.count = count

    async def serve(self, peer: Peer) -> None:
        """Wait for all calls, then answer each with another's text."""
        while True:
            request = await peer.request()
            if request.method != "POST" or request.message.get("method") != "tools/call":
                version = request.headers.get("mcp-protocol-version")
                if version == "2026-07-28":
                    await peer.send(http(response(request.message["id"], DISCOVERED)))
                else:
                    await peer.send(legacy_reply(request))
                continue
            place = len(self.asked)
            self.asked.append(request)
            if len(self.asked) == self.count:
                self.all.set()
            await self.all.wait()
            other = self.asked[place - 1].message["params"]["arguments"]["query"]
            text = {"content": [{"type": "text", "text": other}]}
            await peer.send(http(response(request.message["id"], text)))


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_calls_under_one_id_are_told_apart_by_their_nonces(tmp_path: Path, era: str) -> None:
    """All are in flight at once under one id, and whoever gets another's answer is known."""
    mixed = Mixed(COLLIDE.count)
    async with serving(mixed.serve) as server:
        with fail_after(LIMIT_S):
            acted = await act(
                tmp_path, server.url, COLLIDE, era="legacy" if era == "legacy" else "modern"
            )
    assert {one.message["id"] for one in mixed.asked} == {7}
    assert len({one.message["params"]["arguments"]["query"] for one in mixed.asked}) == 3
    assert Counter(probe.carried for probe in acted.probes) == {"foreign": 3}
    assert set(acted.calls["outcome"]) == {Outcome.WRONG}
    assert set(acted.calls["reason"]) == {Reason.FOREIGN_NONCE}
    assert {probe.variant for probe in acted.probes} <= {"within", "across"}
