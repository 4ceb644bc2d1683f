from __future__ import annotations

import asyncio

import pytest
from anyio import fail_after

from harness.outcome import EndedBy, Outcome, Reason
from tests.wire.scripted import (
    WAIT_S,
    Peer,
    answering,
    call,
    connected,
    http,
    response,
    serving,
    until,
)

pytestmark = pytest.mark.anyio

_MS = 1_000_000


async def test_a_lost_reply_has_arrived_and_is_not_seen() -> None:
    """The server did its work and saw its reply go out; the agent knows nothing of it."""
    left: list[str] = []

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(http(response(request.message["id"])))
        left.append(await peer.gone())

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client, lose_reply=True)
            await until(lambda: left)
            assert (await call(client)).outcome is Outcome.OK
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST)
    assert (reply.ended_by, reply.result) == (EndedBy.CLIENT, None)
    assert reply.done_ns > reply.sent_ns
    assert left[0] == "reset"


async def test_a_reply_that_never_came_cannot_be_lost() -> None:
    """When the server fails first, that is what happened."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        peer.end()

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client, lose_reply=True)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY)


async def test_a_vanishing_client_leaves_without_a_word() -> None:
    """The connection closes in mid-call and no cancel message follows."""
    left = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.gone()
        left.set()

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client, vanish_after_ns=20 * _MS)
            await left.wait()
    assert (reply.outcome, reply.reason) == (Outcome.ABANDONED, Reason.VANISHED)
    assert reply.ended_by is EndedBy.CLIENT
    assert len(server.requests) == 1


async def test_a_client_that_would_vanish_later_takes_the_reply_first() -> None:
    """The reply came before the moment to vanish: a call like any other."""
    made = answering(lambda request: http(response(request.message["id"])))
    async with serving(made) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert (await call(client, vanish_after_ns=60_000 * _MS)).outcome is Outcome.OK
            assert (await call(client)).outcome is Outcome.OK
    assert server.connections == 1


async def test_dropped_connections_are_reset_and_the_calls_on_them_fail() -> None:
    """The server sees an RST on each; the next call connects anew."""
    asked, left = asyncio.Event(), []

    async def serve(peer: Peer) -> None:
        await peer.request()
        asked.set()
        left.append(await peer.gone())

    then = answering(lambda request: http(response(request.message["id"])))
    async with serving([serve, then]) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            task = asyncio.ensure_future(call(client))
            await asked.wait()
            client.drop_connections()
            reply = await task
            await until(lambda: left)
            assert (await call(client)).outcome is Outcome.OK
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.RESET)
    assert left == ["reset"]
