from __future__ import annotations

from pathlib import Path

import pytest
from anyio import Event, fail_after

from faults.levers import Behaviour
from harness.session.mischief.slowness import FLOODS, STREAMS
from tests.session.mischief.acting import act
from tests.wire.scripted import LAST_CHUNK, STREAM_HEAD, Peer, chunk, legacy_reply, serving

pytestmark = pytest.mark.anyio

SLOW = Behaviour(
    kind="read_slowly",
    share=0.5,
    bytes_per_s=4000.0,
    tool="feed",
    argument="size_bytes",
    size_bytes=4 * 1024**2,
    window=1,
)
LIMIT_S = 30
PIECES = 400  # more than any kernel holds for a connection
PIECE = chunk(b": " + b"x" * 65_000 + b"\r\n\r\n")


async def test_streams_are_opened_in_floods_and_held_though_hardly_read(tmp_path: Path) -> None:
    """A server that writes meets a full pipe, and gets rid of next to nothing of what it has."""
    asked: list[bytes] = []
    written: list[int] = []

    async def serve(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if request.method != "POST" or request.message.get("method") != "tools/call":
                await peer.send(legacy_reply(request))
                continue
            asked.append(request.body)
            place = len(written)
            written.append(0)
            await peer.send(STREAM_HEAD)
            for _ in range(PIECES):
                await peer.send(PIECE)
                written[place] += len(PIECE)
            await peer.send(LAST_CHUNK)

    async with serving(serve) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, SLOW, window_s=1.5)
    assert len(asked) == FLOODS * STREAMS
    assert all(b'"progressToken"' in body and b'"size_bytes":4194304' in body for body in asked)
    assert max(written) < PIECES * len(PIECE)  # the rest is still the server's
    calls = acted.calls
    assert len(calls) == FLOODS * STREAMS
    assert calls["reply_bytes"].max() < 100_000
    assert len({round(int(sent) / 2e8) for sent in calls["sent_ns"]}) >= FLOODS


async def test_streams_end_with_their_fault_when_somebody_stops_it(tmp_path: Path) -> None:
    """Long before the window's end: nothing is left open, and no further flood comes."""
    stop = Event()
    asked = 0

    async def serve(peer: Peer) -> None:
        nonlocal asked
        while True:
            request = await peer.request()
            if request.method != "POST" or request.message.get("method") != "tools/call":
                await peer.send(legacy_reply(request))
                continue
            asked += 1
            await peer.send(STREAM_HEAD)
            if asked == STREAMS:
                stop.set()

    async with serving(serve) as server:
        with fail_after(LIMIT_S):
            acted = await act(tmp_path, server.url, SLOW, window_s=600.0, stop=stop)
    assert len(acted.calls) == asked == STREAMS
