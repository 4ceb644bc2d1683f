from __future__ import annotations

import pytest
from anyio import fail_after

from harness.outcome import Outcome, Reason
from harness.wire.limits import Limits
from tests.wire.scripted import (
    LAST_CHUNK,
    STREAM_HEAD,
    WAIT_S,
    Peer,
    Serve,
    call,
    chunk,
    connected,
    event,
    http,
    response,
    serving,
)

pytestmark = pytest.mark.anyio

_PRIMING = b"id: e0\nretry: 5\ndata: \n\n"


async def _prime_and_end(peer: Peer) -> None:
    await peer.request()
    await peer.send(STREAM_HEAD, chunk(_PRIMING))
    peer.end()


async def _prime_and_reset(peer: Peer) -> None:
    await peer.request()
    await peer.send(STREAM_HEAD, chunk(_PRIMING))
    peer.reset()


async def _prime_and_finish(peer: Peer) -> None:
    await peer.request()
    await peer.send(STREAM_HEAD, chunk(_PRIMING) + LAST_CHUNK)
    await _deliver(peer)


async def _deliver(peer: Peer) -> None:
    await peer.request()
    await peer.send(STREAM_HEAD + chunk(event(response(1), id="e9")) + LAST_CHUNK)


async def _move_on(peer: Peer) -> None:
    await peer.request()
    await peer.send(STREAM_HEAD, chunk(b"id: e5\ndata: \n\n"))
    peer.end()


@pytest.mark.parametrize("first", [_prime_and_end, _prime_and_reset, _prime_and_finish])
async def test_a_broken_stream_with_an_event_id_is_resumed(first: Serve) -> None:
    """The rest of the reply is fetched with `Last-Event-ID` after the server's own `retry:`."""
    async with serving([first, _deliver]) as server, connected(server.url) as client:
        client.authorization = b"Bearer abc"
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.resumed) == (Outcome.OK, 1)
    again = server.requests[1]
    assert (again.method, again.headers["last-event-id"]) == ("GET", "e0")
    assert again.headers["accept"] == "text/event-stream"
    assert again.headers["authorization"] == "Bearer abc"
    assert reply.first_ns < reply.done_ns


async def test_a_resumed_stream_that_breaks_again_goes_on_from_its_own_last_id() -> None:
    """Each stream moves the place to resume from."""
    script = [_prime_and_end, _move_on, _prime_and_end, _deliver]
    async with serving(script) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.resumed) == (Outcome.OK, 3)
    assert [one.headers.get("last-event-id") for one in server.requests] == [None, "e0", "e5", "e0"]


async def test_resuming_in_vain_gives_up() -> None:
    """A server that always ends the stream without news is left after a few attempts."""

    async def nothing_new(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD + LAST_CHUNK)
        peer.end()

    async with serving([_prime_and_end, nothing_new]) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.STREAM_ENDED)
    assert reply.resumed == 5


async def test_a_refused_resumption_ends_the_call_with_the_first_reason() -> None:
    """405 means that this server does not resume."""

    async def refuse(peer: Peer) -> None:
        await peer.request()
        await peer.send(http(status="405 Method Not Allowed"))

    async with serving([_prime_and_end, refuse]) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY)
    assert (reply.resumed, len(server.requests)) == (0, 2)
    assert "405" in reply.detail


@pytest.mark.parametrize("options", [{"resume": False}, {"era": "modern"}])
async def test_nobody_resumes_who_must_not(options: dict[str, object]) -> None:
    """By policy, or because the modern era has no resumption: the call just fails."""
    async with (
        serving(_prime_and_end) as server,
        connected(server.url, **options) as client,  # type: ignore[arg-type]
    ):
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY)
    assert server.connections == 1


async def test_a_retry_beyond_the_deadline_is_not_waited_for() -> None:
    """The server may ask for minutes; the call has its own bound."""

    async def later(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD, chunk(b"id: e0\nretry: 600000\ndata: \n\n"))
        peer.end()

    async with (
        serving(later) as server,
        connected(server.url, limits=Limits(hang_grace_s=0.1)) as client,
    ):
        with fail_after(WAIT_S):
            reply = await call(client, seconds=1)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY)
    assert "600000 ms" in reply.detail
