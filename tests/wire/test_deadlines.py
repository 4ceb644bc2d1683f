from __future__ import annotations

import asyncio

import pytest
from anyio import fail_after

from harness.outcome import EndedBy, Outcome, Reason
from harness.wire.deadlines import running_sweep
from harness.wire.limits import Limits
from tests.wire.scripted import (
    CLOCK,
    LAST_CHUNK,
    STREAM_HEAD,
    WAIT_S,
    Peer,
    call,
    chunk,
    connected,
    event,
    http,
    response,
    serving,
    until,
    within,
)

pytestmark = pytest.mark.anyio

_SHORT = Limits(hang_grace_s=0.1)


async def _silent(peer: Peer) -> None:
    while True:
        if "id" not in (await peer.request()).message:
            await peer.send(http(status="202 Accepted"))


async def test_silence_is_a_hang_and_a_legacy_client_says_so() -> None:
    """Nothing by the deadline and the grace: a hang, followed by `notifications/cancelled`."""
    async with serving(_silent) as server, connected(server.url, limits=_SHORT) as client:
        with fail_after(WAIT_S):
            reply = await call(client, seconds=0.1)
    assert (reply.outcome, reply.reason) == (Outcome.HANG, Reason.HANG)
    assert reply.ended_by is EndedBy.DEADLINE
    assert (reply.first_ns, reply.done_ns) == (-1, -1)
    cancelled = server.requests[1].message
    assert cancelled["method"] == "notifications/cancelled"
    assert cancelled["params"]["requestId"] == server.requests[0].message["id"]


async def test_a_modern_hang_is_cancelled_by_closing() -> None:
    """In the modern era the close of the stream is the cancel: no message, but a close."""
    left = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD)
        await peer.gone()
        left.set()

    async with (
        serving(serve) as server,
        connected(server.url, era="modern", limits=_SHORT) as client,
    ):
        with fail_after(WAIT_S):
            reply = await call(client, seconds=0.1)
            await left.wait()
    assert reply.outcome is Outcome.HANG
    assert len(server.requests) == 1


async def test_headers_and_comments_alone_are_still_a_hang() -> None:
    """A stream that only keeps itself alive has said nothing."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD, chunk(b": ping\r\n\r\n"), chunk(b": ping\n\n"))

    async with (
        serving(serve) as server,
        connected(server.url, era="modern", limits=_SHORT) as client,
    ):
        with fail_after(WAIT_S):
            reply = await call(client, seconds=0.1)
    assert reply.outcome is Outcome.HANG
    assert reply.first_ns > 0


async def test_a_reply_in_the_grace_is_a_timeout_with_its_real_time() -> None:
    """The agent gave up at the deadline; what came later is measured, not hidden."""

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        await until(lambda: CLOCK.now_ns() > deadline_ns)
        await peer.send(http(response(request.message["id"])))

    deadline_ns = within(0.1)
    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await client.request("tools/call", b"{}", deadline_ns=deadline_ns)
    assert (reply.outcome, reply.reason) == (Outcome.TIMEOUT, Reason.LATE_REPLY)
    assert reply.done_ns > deadline_ns
    assert reply.ended_by is EndedBy.REPLY


async def test_a_transport_that_breaks_in_the_grace_is_a_timeout() -> None:
    """By then the call had already failed for the agent: by its deadline."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await until(lambda: CLOCK.now_ns() > deadline_ns)
        peer.reset()

    deadline_ns = within(0.1)
    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await client.request("tools/call", b"{}", deadline_ns=deadline_ns)
    assert (reply.outcome, reply.reason) == (Outcome.TIMEOUT, Reason.DEADLINE)
    assert reply.ended_by is EndedBy.CLOSED


async def test_the_sweep_ends_waits_that_have_no_timer_of_their_own() -> None:
    """Deadlines further than two seconds away are left to the sweep."""
    async with (
        serving(_silent) as server,
        connected(server.url, era="modern", limits=Limits(hang_grace_s=2.0)) as client,
    ):
        with fail_after(WAIT_S):
            reply = await call(client, seconds=0.1)
        assert client._pool.sweep is running_sweep(CLOCK.now_ns)
    assert reply.outcome is Outcome.HANG
    waited_ns = CLOCK.now_ns() - reply.sent_ns
    assert waited_ns >= 2_000_000_000


async def test_a_stream_that_stays_open_after_its_reply_holds_nobody() -> None:
    """The reply counts when it is there; the open stream is counted, and ended by its deadline."""
    left: list[str] = []

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(STREAM_HEAD, chunk(event(response(request.message["id"]))))
        left.append(await peer.gone())

    async with serving(serve) as server, connected(server.url, limits=_SHORT) as client:
        with fail_after(WAIT_S):
            first = await call(client, seconds=0.2)
            second = await call(client, seconds=0.2)
            assert client.stats.streams_left_open == 2
            await until(lambda: len(left) == 2)
    assert (first.outcome, second.outcome) == (Outcome.OK, Outcome.OK)
    assert server.connections == 2


async def test_a_stream_that_ends_after_its_reply_gives_its_connection_back() -> None:
    """Draining is not losing: the connection serves again."""
    go_on = asyncio.Event()

    async def serve(peer: Peer) -> None:
        while True:
            request = await peer.request()
            await peer.send(STREAM_HEAD, chunk(event(response(request.message["id"]))))
            await go_on.wait()
            await peer.send(LAST_CHUNK)

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
            go_on.set()
            await until(lambda: client._pool._idle)
            assert (await call(client)).outcome is Outcome.OK
    assert server.connections == 1


async def test_a_cancelled_call_closes_its_connection() -> None:
    """The agent's task was cancelled: the bytes still to come belong to nobody."""
    asked, left = asyncio.Event(), asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()
        left.set()

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            task = asyncio.ensure_future(call(client))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await left.wait()
            assert client._pool.take() is None
