"""Replies, streams and processes: what stacks do otherwise there, and how it is read."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.checks import leaks
from harness.journal import TargetEntry
from harness.outcome import Outcome, Reason
from harness.rig import server as rig
from harness.rig.launched import Launched, kept
from harness.running import lookout
from tests.checks.cases import one
from tests.checks.test_leaks import SESSIONS, flooded, looked
from tests.differing import mortal
from tests.differing.playing import SEARCH, play, window
from tests.differing.stacks import Stack, nonce, text
from tests.differing.table import row
from tests.ports import free_port
from tests.wire.scripted import (
    LAST_CHUNK,
    STREAM_HEAD,
    Peer,
    Request,
    chunk,
    error,
    event,
    http,
    response,
    serving,
)

pytestmark = pytest.mark.anyio

KEEP_ALIVE = chunk(b": ping\r\n\r\n")
LATE_S = 0.2  # from a head to the first event


def _reply(request: Request) -> bytes:
    return event(response(request.message["id"], text(nonce(request))))


class HeadsFirst(Stack):
    """Sends the head at once, a sign of life on the way, and the event when there is one."""

    async def call(self, peer: Peer, request: Request) -> None:
        """Keep the caller waiting in two ways."""
        await peer.send(STREAM_HEAD)
        await peer.send(KEEP_ALIVE)
        await asyncio.sleep(LATE_S)
        await peer.send(chunk(_reply(request)) + LAST_CHUNK)


class HeadsLate(Stack):
    """Sends the head with the first event."""

    async def call(self, peer: Peer, request: Request) -> None:
        """Say nothing before."""
        await asyncio.sleep(LATE_S)
        await peer.send(STREAM_HEAD + chunk(_reply(request)) + LAST_CHUNK)


class Measured(Stack):
    """Sends a stream whose length it knows."""

    async def call(self, peer: Peer, request: Request) -> None:
        """Say how long it will be, and then be it."""
        whole = http(_reply(request), kind="text/event-stream")
        head, _, body = whole.partition(b"\r\n\r\n")
        await peer.send(head + b"\r\n\r\n")
        await asyncio.sleep(LATE_S)
        await peer.send(body)


@row("a slow call")
@pytest.mark.parametrize("stack", [HeadsFirst, HeadsLate, Measured])
async def test_a_first_event_is_no_head(tmp_path: Path, stack: type[Stack]) -> None:
    """What is recorded as the first word of a stream is its first event, on every stack."""
    async with serving(stack().serve) as server:
        played = await play(tmp_path, server.url)
    answered = played.calls[played.calls["outcome"] == Outcome.OK]
    assert len(answered)
    first_s = (answered["first_ns"] - answered["sent_ns"]) / 1e9
    assert np.min(first_s) > 0.9 * LATE_S
    assert played.failed == set()


class LeftOpen(Stack):
    """Leaves the stream of each reply open behind it."""

    async def reply(self, peer: Peer, request: Request) -> None:
        """Never end it."""
        await peer.send(STREAM_HEAD + chunk(_reply(request)))
        await peer.gone()


@row("a stream that stays open")
async def test_a_reply_counts_when_it_comes_whatever_its_stream_does(tmp_path: Path) -> None:
    """Who reads to the end of it would wait for ever, and call it a hang."""
    async with serving(LeftOpen().serve) as server:
        played = await play(tmp_path, server.url)
    assert np.count_nonzero(played.calls["outcome"] == Outcome.OK) > 4
    assert played.failed == set()


SIZE_MAX = 4 * 1024**2
_TOO_LARGE = http(b"too large", status="413 Content Too Large", kind="text/plain")


class Bounded(Stack):
    """Takes no body over 4 MiB, and says so in the way of one of several frameworks."""

    turn = 0

    async def answer(self, peer: Peer, request: Request) -> None:
        """Read it to its end, and refuse in the next way."""
        if len(request.body) <= SIZE_MAX:
            await super().answer(peer, request)
            return
        ways = (
            _TOO_LARGE,
            http(b"<html>413</html>", status="413 Payload Too Large", kind="text/html"),
            http(b"<html>400</html>", status="400 Bad Request", kind="text/html"),
            http(error(None, -32603, "request entity too large")),
        )
        self.turn += 1
        await peer.send(ways[self.turn % len(ways)])


async def hasty(peer: Peer) -> None:
    """Refuse a large body once its head is there, read no more of it, and hang up."""
    stack = Stack()
    head = b""
    while True:
        while b"\r\n\r\n" not in head:
            more = await peer.read(65536)
            if not more:
                return
            head += more
        raw, _, body = head.partition(b"\r\n\r\n")
        lines = dict(line.lower().split(": ", 1) for line in raw.decode().split("\r\n")[1:])
        length = int(lines.get("content-length", "0"))
        if length > SIZE_MAX:
            await peer.send(_TOO_LARGE)
            peer.end()
            return
        while len(body) < length:
            body += await peer.read(length - len(body))
        method, path, _ = raw.decode().split("\r\n")[0].split(" ")
        request = Request(method=method, path=path, headers=lines, raw_head=raw, body=body)
        await stack.answer(peer, request)
        head = b""


@row("body over 4 MiB")
@row("ugly refusals")
@pytest.mark.parametrize("manner", ["drained", "hung up"])
async def test_a_body_that_is_too_large_is_refused_and_the_refusal_is_read(
    tmp_path: Path, manner: str
) -> None:
    """Read whole or not at all, in whatever dress: refused is what it is."""
    serve = Bounded().serve if manner == "drained" else hasty
    era = "legacy" if manner == "drained" else "modern"
    async with serving(serve) as server:
        played = await play(
            tmp_path, server.url, era=era, faults=[window("payload-request", share="100%")]
        )
    large = played.calls[played.calls["request_bytes"] > SIZE_MAX]
    assert len(large)
    assert set(large["outcome"]) <= {Outcome.HTTP_ERROR, Outcome.PROTOCOL_ERROR}
    if manner == "hung up":
        assert set(large["status"]) == {413}
    assert played.failed == set()


@asynccontextmanager
async def process(folder: Path) -> AsyncIterator[Launched]:
    """The server that can die, launched and kept."""
    url = f"http://127.0.0.1:{free_port()}/mcp"
    argv = (sys.executable, str(mortal.__file__), url.split(":")[2].removesuffix("/mcp"))
    async with rig.launch(argv, url=url, log=folder / "log") as target, kept(target) as launched:
        assert launched is not None
        yield launched


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is looked at often."""
    monkeypatch.setattr(lookout, "VITALS_S", 0.1)


@row("a panic kills the process")
@pytest.mark.usefixtures("watchful")
async def test_a_tool_that_ends_the_process_is_a_crash(tmp_path: Path) -> None:
    """One call's panic is everybody's end."""
    steps = [SEARCH] * 4 + [{"call": mortal.DEADLY, "with": {"query": "${nonce}"}}]
    async with process(tmp_path) as launched:
        played = await play(
            tmp_path, launched.url, *steps, era="modern", launched=launched,
            phases={"warmup": "0s", "baseline": "1500ms"},
        )  # fmt: skip
    assert "crash" in played.failed
    assert Reason.CONNECT_REFUSED in played.calls["reason"]


@row("SIGTERM raised again")
@pytest.mark.usefixtures("watchful")
async def test_a_process_that_ends_by_the_signal_it_was_sent_has_ended_well(
    tmp_path: Path,
) -> None:
    """It answered what was under way, and was gone in time; its status is nobody's business."""
    step = {"call": "long", "with": {"query": "${nonce}"}, "expect": {"carries": "nonce"}}
    agents = [{"name": "worker", "pace": "1/s", "steps": [step]}]
    async with process(tmp_path) as launched:
        played = await play(
            tmp_path, launched.url, era="modern", launched=launched, agents=agents,
            phases={"warmup": "0s", "baseline": "700ms", "recovery": "0s"},
            faults=[window("sigterm", "3s", grace="3s")],
        )  # fmt: skip
    (ended,) = [turn for turn in played.evidence.journal.of(TargetEntry) if turn.edge == "ended"]
    assert ended.status % 128 == signal.SIGTERM  # as a shell has it
    assert ended.asked
    assert played.of("hung-exit") == ["pass"]
    assert not {"no-drain", "crash"} & played.failed


@row("memory, a weak witness")
@pytest.mark.parametrize(
    "sizes_mib",
    [(74, 146, 146, 146), (93, 123, 164, 131), (123, 164, 131, 150), (93, 135, 135, 135)],
    ids=["typescript", "floods", "later floods", "fastmcp"],
)
def test_a_runtime_that_keeps_what_it_once_took_has_no_leak(sizes_mib: tuple[Any, ...]) -> None:
    """Growth before and after proves nothing; what each further flood adds does."""
    assert one(leaks.leak_session(flooded(SESSIONS, *looked(sizes_mib)))).ruling == "pass"
