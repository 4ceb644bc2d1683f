from __future__ import annotations

import asyncio

import pytest
from anyio import fail_after

from harness.outcome import Outcome, Reason
from harness.wire.limits import Limits
from tests.wire.scripted import (
    LAST_CHUNK,
    STREAM_HEAD,
    WAIT_S,
    Peer,
    Request,
    answering,
    call,
    chunk,
    connected,
    error,
    event,
    http,
    response,
    serving,
)

pytestmark = pytest.mark.anyio

_NOTE = b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}'


def _stream(*payloads: bytes) -> bytes:
    return STREAM_HEAD + b"".join(chunk(payload) for payload in payloads) + LAST_CHUNK


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"], ids=["crlf", "lf", "cr"])
async def test_every_line_end_of_the_standard_is_read(line_end: bytes) -> None:
    """CRLF, LF and CR all end a line of an event stream."""

    def made(request: Request) -> bytes:
        return _stream(event(response(request.message["id"]), line_end=line_end))

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK


async def test_all_that_may_come_before_a_reply_is_passed_over() -> None:
    """Priming event, comments, retry, other types, progress, and data on many lines."""

    def made(request: Request) -> bytes:
        head, tail = b'{"jsonrpc":"2.0","id":', b',"result":{"content":[]}}'
        call_id = str(request.message["id"]).encode()
        return _stream(
            b"id: 1\ndata: \n\n",
            b": a comment\n\n",
            b"retry: 10\n\n",
            b"event: ping\ndata: {}\n\n",
            event(_NOTE) * 3,
            b"data:" + head + b"\ndata:" + call_id + b"\ndata: " + tail + b"\n\n",
        )

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            replies = [await call(client) for _ in range(2)]
        assert client.stats.foreign_messages == 6
    assert [reply.outcome for reply in replies] == [Outcome.OK, Outcome.OK]
    assert server.connections == 1


async def test_a_notification_alone_in_one_segment_is_no_reply() -> None:
    """The shortest stream there is, with something else in it than the response."""
    made = answering(lambda _: _stream(event(_NOTE)))
    async with serving(made) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.STREAM_ENDED)
    assert reply.status == 200


@pytest.mark.parametrize(
    ("payload", "outcome", "reason"),
    [
        (event(response(7)), Outcome.PROTOCOL_ERROR, Reason.WRONG_ID),
        (event(_NOTE) + event(response(7)), Outcome.PROTOCOL_ERROR, Reason.WRONG_ID),
        (event(b"{"), Outcome.PROTOCOL_ERROR, Reason.MALFORMED_JSON),
        (event(_NOTE) + event(b"{"), Outcome.PROTOCOL_ERROR, Reason.MALFORMED_JSON),
        (event(b"[]"), Outcome.PROTOCOL_ERROR, Reason.NOT_JSONRPC),
        (event(_NOTE) + event(b"{}"), Outcome.PROTOCOL_ERROR, Reason.NOT_JSONRPC),
        (event(error(1, -32603)), Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR),
        (event(_NOTE) + event(error(1, 0)), Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR),
        (b": nothing\n\n", Outcome.TRANSPORT_ERROR, Reason.STREAM_ENDED),
        (b"data: {\n", Outcome.TRANSPORT_ERROR, Reason.STREAM_ENDED),
    ],
)
async def test_each_broken_stream_has_its_own_name(
    payload: bytes, outcome: Outcome, reason: Reason
) -> None:
    """What a stream may end with instead of a result."""
    made = answering(lambda _: _stream(payload))
    async with serving(made) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (outcome, reason)


async def test_a_response_to_another_id_does_not_hide_the_right_one() -> None:
    """It is counted as foreign, and the wait goes on."""

    def made(request: Request) -> bytes:
        return _stream(event(response(99)), event(response(request.message["id"])))

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
        assert client.stats.foreign_messages == 1


async def test_a_second_reply_to_the_same_call_is_counted() -> None:
    """A duplicate is a finding about the server, not about the call."""

    def made(request: Request) -> bytes:
        return _stream(event(response(request.message["id"])) * 2)

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
        assert client.stats.duplicate_replies == 1


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_a_stream_cut_without_an_event_id_cannot_be_resumed(how: str) -> None:
    """There is nothing to resume from: the call fails at once."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD, chunk(event(_NOTE)))
        getattr(peer, how)()

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    expected = Reason.RESET if how == "reset" else Reason.CLOSED_EARLY
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, expected)
    assert reply.resumed == 0
    assert server.connections == 1


async def test_a_stream_until_close_that_ends_without_a_response_has_ended() -> None:
    """Without chunks the close is the end of the stream, in order."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", event(_NOTE))
        peer.end()

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.STREAM_ENDED)


async def test_server_requests_are_answered_politely() -> None:
    """`ping` gets its pong, everything else a -32601, each by a POST of its own."""
    answered = asyncio.Event()

    async def serve(peer: Peer) -> None:
        while True:
            request = await peer.request()
            message = request.message
            if "method" not in message:
                await peer.send(http(status="202 Accepted"))
                if len([one for one in server.requests if "method" not in one.message]) == 2:
                    answered.set()
                continue
            asked = (
                b'{"jsonrpc":"2.0","id":"p","method":"ping"}',
                b'{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage","params":{}}',
            )
            await peer.send(STREAM_HEAD, *(chunk(event(one)) for one in asked))
            await answered.wait()
            await peer.send(chunk(event(response(message["id"]))) + LAST_CHUNK)

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
        assert client.stats.server_requests == 2
    answers = {one.message["id"]: one.message for one in server.requests[1:]}
    assert answers["p"]["result"] == {}
    assert answers[5]["error"]["code"] == -32601


async def test_a_flood_of_server_requests_is_answered_within_a_bound() -> None:
    """A server cannot make a client open connections without end."""
    ping = event(b'{"jsonrpc":"2.0","id":1,"method":"ping"}')

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        if request.message.get("method") == "tools/call":
            await peer.send(STREAM_HEAD, chunk(ping * 200))
            await peer.send(chunk(event(response(request.message["id"]))) + LAST_CHUNK)

    async with (
        serving(serve) as server,
        connected(server.url, limits=Limits(hang_grace_s=0.2)) as client,
    ):
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
        assert client.stats.server_requests == 200
        assert client._answers is not None
        assert len(client._answers._tasks) <= 8
        await client.close(deadline_ns=0)
    assert server.connections <= 9


@pytest.mark.parametrize(
    ("version", "outcome"),
    [("2025-03-26", Outcome.OK), ("2025-11-25", Outcome.PROTOCOL_ERROR)],
)
async def test_a_batch_in_an_event_is_read_where_its_version_had_batches(
    version: str, outcome: Outcome
) -> None:
    """2025-03-26 alone allows several messages at once."""

    def made(request: Request) -> bytes:
        return _stream(event(b"[" + _NOTE + b"," + response(request.message["id"]) + b"]"))

    async with serving(answering(made)) as server, connected(server.url) as client:
        client.adopt("legacy", version=version)
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is outcome
