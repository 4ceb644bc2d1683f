from __future__ import annotations

import resource
import sys

import pytest
from anyio import fail_after

from harness.outcome import EndedBy, Outcome, Reason
from harness.wire.limits import KIB, MIB, Limits
from tests.wire.scripted import (
    CLOCK,
    STREAM_HEAD,
    WAIT_S,
    Peer,
    answering,
    call,
    chunk,
    connected,
    event,
    http,
    response,
    serving,
)

pytestmark = pytest.mark.anyio

_GROWTH_KIB_MAX = 64 * KIB


def _peak_kib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // KIB if sys.platform == "darwin" else peak


async def test_a_body_announced_too_large_is_named_at_once() -> None:
    """A gigabyte is refused by its announcement: not a byte of it is waited for."""
    head = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n"
    )
    async with serving(answering(lambda _: head)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.PROTOCOL_ERROR, Reason.BODY_TOO_LARGE)
    assert (reply.status, reply.reply_bytes) == (200, len(head))
    assert reply.ended_by is EndedBy.REPLY


async def test_an_endless_chunked_body_ends_at_the_limit() -> None:
    """A server that never stops sending is cut off, and memory stays where it was."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        piece = chunk(b"x" * (256 * KIB))
        while True:
            await peer.send(piece)

    before_kib = _peak_kib()
    async with (
        serving(serve) as server,
        connected(server.url, limits=Limits(body_bytes=2 * MIB)) as client,
    ):
        with fail_after(WAIT_S):
            replies = [await call(client) for _ in range(5)]
    assert {reply.reason for reply in replies} == {Reason.BODY_TOO_LARGE}
    assert all(reply.reply_bytes < 4 * MIB for reply in replies)
    assert _peak_kib() - before_kib < _GROWTH_KIB_MAX


async def test_an_endless_event_is_cut_off() -> None:
    """An event without a blank line cannot grow past its limit."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD, chunk(b"data: "))
        while True:
            await peer.send(chunk(b"x" * (64 * KIB)))

    async with (
        serving(serve) as server,
        connected(server.url, limits=Limits(event_bytes=MIB)) as client,
    ):
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.PROTOCOL_ERROR, Reason.EVENT_TOO_LARGE)
    assert reply.reply_bytes < 2 * MIB


async def test_a_stream_of_too_many_events_is_endless() -> None:
    """Notifications are welcome before a reply, but not for ever."""
    note = event(b'{"jsonrpc":"2.0","method":"notifications/message"}')
    made = (STREAM_HEAD, *(chunk(note * 10) for _ in range(3)))
    async with (
        serving(answering(lambda _: made)) as server,
        connected(server.url, limits=Limits(events_max=25)) as client,
    ):
        with fail_after(WAIT_S):
            reply = await call(client)
        assert client.stats.foreign_messages == 25
    assert (reply.outcome, reply.reason) == (Outcome.PROTOCOL_ERROR, Reason.ENDLESS_STREAM)


@pytest.mark.parametrize(
    "bomb",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20_000,
        b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 200_000,
        b"HTTP/1.1 200 OK\r\nX-A: " + b"b" * 70_000 + b"\r\n\r\n",
        STREAM_HEAD + b"0\r\n" + b"X-Trailer: b\r\n" * 20_000,
    ],
    ids=["lines", "line", "whole", "trailers"],
)
async def test_a_header_bomb_is_named(bomb: bytes) -> None:
    """Heads and trailers are bounded, whether or not they end."""
    async with serving(answering(lambda _: bomb)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.PROTOCOL_ERROR, Reason.HEADER_TOO_LARGE)


async def test_interim_replies_without_end_are_named() -> None:
    """A server that says 100 for ever never gets to its reply."""
    made = b"HTTP/1.1 100 Continue\r\n\r\n" * 20
    async with serving(answering(lambda _: made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.PROTOCOL_ERROR, Reason.MALFORMED_HTTP)


async def test_a_slow_trickle_lasts_until_the_deadline() -> None:
    """A reply that is still coming in when the grace is over is no hang: it is too late."""

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        for byte in http(response(request.message["id"]) + b" " * 100_000):
            await peer.send(bytes([byte]))

    async with (
        serving(serve) as server,
        connected(server.url, era="modern", limits=Limits(hang_grace_s=0.1)) as client,
    ):
        with fail_after(WAIT_S):
            reply = await call(client, seconds=0.1)
        assert CLOCK.now_ns() > reply.sent_ns
    assert (reply.outcome, reply.reason) == (Outcome.TIMEOUT, Reason.DEADLINE)
    assert reply.ended_by is EndedBy.DEADLINE
    assert reply.first_ns > 0
    assert "trickling" in reply.detail


async def test_a_large_request_waits_for_a_slow_reader() -> None:
    """16 MiB go out in slices: the peer's pace is the pace, and the whole body arrives."""
    size = 16 * MIB

    def made(length: int) -> bytes:
        return http(response(1, {"content": [{"type": "text", "text": str(length)}]}))

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(made(len(request.message["params"]["text"])))

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await client.request(
                "tools/call",
                b'{"name":"echo","text":"%b"}' % (b"x" * size),
                name="echo",
                deadline_ns=CLOCK.now_ns() + WAIT_S * 10**9,
            )
    assert reply.outcome is Outcome.OK
    assert reply.result["content"][0]["text"] == str(size)
    assert reply.request_bytes > size


@pytest.mark.parametrize("reset", [False, True])
async def test_a_refusal_of_a_large_body_is_read_though_the_server_hangs_up(reset: bool) -> None:
    """413 and a close while the body is being sent: the status counts, not the broken pipe."""

    async def serve(peer: Peer) -> None:
        await peer.read(1000)
        await peer.send(http(b"too large", status="413 Content Too Large", kind="text/plain"))
        if reset:
            peer.reset()
        else:
            peer.end()

    params = b'{"name":"echo","text":"%b"}' % (b"x" * (16 * MIB))
    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            for _ in range(5):
                reply = await client.request(
                    "tools/call", params, deadline_ns=CLOCK.now_ns() + WAIT_S * 10**9
                )
                assert (reply.outcome, reply.status) == (Outcome.HTTP_ERROR, 413)


async def test_a_large_body_nobody_reads_ends_by_the_deadline() -> None:
    """A server that stops reading cannot hold a client for ever."""

    async def serve(peer: Peer) -> None:
        await peer.read(1000)
        await peer.stall()

    params = b'{"name":"echo","text":"%b"}' % (b"x" * (16 * MIB))
    async with (
        serving(serve) as server,
        connected(server.url, era="modern", limits=Limits(hang_grace_s=0.1)) as client,
    ):
        with fail_after(WAIT_S):
            reply = await client.request("tools/call", params, deadline_ns=CLOCK.now_ns() + 10**8)
    assert (reply.outcome, reply.reason) == (Outcome.HANG, Reason.HANG)


async def test_a_reset_in_the_middle_of_a_large_body_is_a_failed_sending() -> None:
    """No answer came before the reset: the request was never whole at the server."""

    async def serve(peer: Peer) -> None:
        await peer.read(1000)
        peer.reset()

    params = b'{"name":"echo","text":"%b"}' % (b"x" * (16 * MIB))
    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await client.request(
                "tools/call", params, deadline_ns=CLOCK.now_ns() + WAIT_S * 10**9
            )
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.SEND_FAILED)
