"""The modern era's standing stream: acknowledged first, asked for anew, ended well or dropped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from anyio import fail_after
from pydantic_core import to_json

from harness.outcome import Outcome, Reason
from harness.wire.client import WireClient
from harness.wire.limits import Limits
from harness.wire.listen import Listening
from harness.wire.reply import Reply
from tests.wire.scripted import (
    STREAM_HEAD,
    WAIT_S,
    Peer,
    chunk,
    connected,
    error,
    event,
    http,
    response,
    serving,
    until,
    within,
)

pytestmark = pytest.mark.anyio
_URIS = frozenset({"squall://b", "squall://a"})
# Reconnecting at once: the tests wait for events, not for time.
_RETRY = b"retry: 0\r\n\r\n"


def _said(method: str, **params: Any) -> bytes:
    return chunk(event(to_json({"jsonrpc": "2.0", "method": method, "params": params})))


_ACKNOWLEDGED = _said("notifications/subscriptions/acknowledged", notifications={})


async def _listen(client: WireClient, *, seconds: float = WAIT_S) -> Reply:
    client.adopt("modern", version="2026-07-28")
    with fail_after(WAIT_S):
        return await client.listen(_URIS, deadline_ns=within(seconds))


async def test_a_listening_that_is_acknowledged_hears_what_changes() -> None:
    """One request says what is wanted; every kind of notification is counted."""
    asked = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD, _ACKNOWLEDGED)
        await asked.wait()
        for what in ("tools", "prompts", "resources"):
            await peer.send(_said(f"notifications/{what}/list_changed"))
        await peer.send(_said("notifications/resources/updated", uri="squall://a"))

    changed: list[str] = []
    async with serving(serve) as server, connected(server.url, era="modern") as client:
        client.inbox.on_list_changed = changed.append
        reply = await _listen(client)
        assert (reply.outcome, client.stats.listening) == (Outcome.OK, Listening.OPEN)
        asked.set()
        with fail_after(WAIT_S):
            await until(lambda: client.inbox.counts["heard:resources/updated"])
        assert changed == ["tools", "prompts", "resources"]
        assert client.stats.listen_messages == 5
    (request,) = server.requests
    assert request.headers["mcp-method"] == "subscriptions/listen"
    assert request.message["params"]["notifications"] == {
        "toolsListChanged": True,
        "promptsListChanged": True,
        "resourcesListChanged": True,
        "resourceSubscriptions": ["squall://a", "squall://b"],
    }


@pytest.mark.parametrize("well", [True, False])
async def test_a_stream_that_ends_is_asked_for_anew_under_another_id(well: bool) -> None:
    """With a result it ended in order, without one it was dropped; both are counted apart."""

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(STREAM_HEAD, chunk(_RETRY), _ACKNOWLEDGED)
        if len(server.requests) == 1:
            if well:
                await peer.send(chunk(event(response(request.message["id"], {}))))
            peer.end()

    async with serving(serve) as server, connected(server.url, era="modern") as client:
        assert (await _listen(client)).outcome is Outcome.OK
        counts = client.inbox.counts
        with fail_after(WAIT_S):
            await until(lambda: counts["listen:acknowledged"] == 2)
        assert counts["listen:ended" if well else "listen:dropped"] == 1
        assert client.stats.listening is Listening.OPEN
    first, second = (one.message["id"] for one in server.requests)
    assert first != second


async def test_a_server_that_speaks_before_it_acknowledges_is_noted() -> None:
    """The acknowledgement is the first message; whatever comes sooner breaks that."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD, _said("notifications/tools/list_changed"), _ACKNOWLEDGED)

    async with serving(serve) as server, connected(server.url, era="modern") as client:
        assert (await _listen(client)).outcome is Outcome.OK
        assert client.inbox.counts["listen:unacknowledged"] == 1


async def test_a_server_without_subscriptions_is_a_refusal_and_no_loop() -> None:
    """Method not found: the reply says so, and nobody asks again."""

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(http(error(request.message["id"], -32601), status="404 Not Found"))

    async with serving(serve) as server, connected(server.url, era="modern") as client:
        reply = await _listen(client)
        assert (reply.outcome, reply.reason) == (Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR)
        assert client.stats.listening is Listening.REFUSED
        assert client.inbox.counts["listen:refused"] == 1
    assert len(server.requests) == 1


async def test_an_acknowledgement_that_never_comes_is_a_hang() -> None:
    """Bounded by the call's own deadline."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD)

    async with serving(serve) as server, connected(server.url, era="modern") as client:
        assert (await _listen(client, seconds=0.1)).outcome is Outcome.HANG


async def test_a_server_that_is_not_there_is_named() -> None:
    """Nothing raises, and the attempts to come back are bounded."""
    async with serving([]) as server:
        url = server.url
    async with connected(url, era="modern", limits=Limits(connect_s=0.5)) as client:
        reply = await _listen(client)
        assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.CONNECT_FAILED)
        assert client.stats.listening is Listening.BROKEN


async def test_another_filter_takes_the_place_of_the_one_before() -> None:
    """The old stream ends once the new one is acknowledged, so nothing is missed between."""
    gone: list[Any] = []

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(STREAM_HEAD, _ACKNOWLEDGED)
        await peer.gone()
        gone.append(request.message["params"]["notifications"].get("resourceSubscriptions", ""))

    async with serving(serve) as server, connected(server.url, era="modern") as client:
        assert (await _listen(client)).outcome is Outcome.OK
        with fail_after(WAIT_S):
            reply = await client.listen(frozenset(), deadline_ns=within(WAIT_S))
            await until(lambda: gone)
        assert reply.outcome is Outcome.OK
        assert gone == [["squall://a", "squall://b"]]
        assert client.stats.listening is Listening.OPEN
        assert client.stats.listen_messages == 2
        assert not client.inbox.counts["listen:dropped"]
