from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
from anyio import fail_after, move_on_after

from harness.outcome import EndedBy, Outcome, Reason
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
    until,
    within,
)

pytestmark = pytest.mark.anyio


@contextlib.contextmanager
def _sockets(count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(socket.socket()) for _ in range(count)]


async def test_a_json_reply_is_ok_with_its_stamps_in_order() -> None:
    """The result, the sizes and the three stamps of a plain call are all there."""
    async with (
        serving(answering(lambda request: http(response(request.message["id"])))) as server,
        connected(server.url) as client,
    ):
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason, reply.status) == (Outcome.OK, Reason.NONE, 200)
    assert reply.result == {"content": [{"type": "text", "text": "hi"}]}
    assert 0 <= reply.sent_ns < reply.first_ns == reply.done_ns
    sent = server.requests[0]
    assert reply.request_bytes == len(sent.raw_head) + len(sent.body)
    assert reply.reply_bytes == len(http(response(1)))


async def test_the_request_asks_for_both_reply_kinds_and_for_no_compression() -> None:
    """What every POST carries, and the header it must never carry."""
    async with (
        serving(answering(lambda request: http(response(request.message["id"])))) as server,
        connected(server.url) as client,
    ):
        client.authorization = b"Bearer abc"
        with fail_after(WAIT_S):
            await call(client)
            await call(client, authorization=b"")
            await call(client, headers=b"X-More: 1\r\n")
    first, second, third = server.requests
    assert first.headers["accept"] == "application/json, text/event-stream"
    assert first.headers["host"] == f"127.0.0.1:{server.port}"
    assert "accept-encoding" not in first.headers
    assert first.headers["authorization"] == "Bearer abc"
    assert "authorization" not in second.headers
    assert third.headers["x-more"] == "1"


async def test_calls_one_after_the_other_share_one_connection() -> None:
    """A session keeps its connection alive."""
    async with (
        serving(answering(lambda request: http(response(request.message["id"])))) as server,
        connected(server.url) as client,
    ):
        with fail_after(WAIT_S):
            for _ in range(5):
                assert (await call(client)).outcome is Outcome.OK
    assert server.connections == client.stats.connections_opened == 1


async def test_calls_in_flight_together_use_connections_of_their_own() -> None:
    """Replies that come back in the opposite order reach the calls they belong to."""
    waiting: list[tuple[Peer, int]] = []

    async def serve(peer: Peer) -> None:
        while True:
            request = await peer.request()
            waiting.append((peer, request.message["id"]))
            if len(waiting) == 3:
                for other, call_id in reversed(waiting):
                    text = {"content": [{"type": "text", "text": str(call_id)}]}
                    await other.send(http(response(call_id, text)))

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            replies = await asyncio.gather(*(call(client) for _ in range(3)))
    assert [reply.result["content"][0]["text"] for reply in replies] == ["1", "2", "3"]
    assert server.connections == 3


@pytest.mark.parametrize(
    ("made", "outcome", "reason", "status"),
    [
        (http(error(1, -32602)), Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR, 200),
        (http(error(None, 0)), Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR, 200),
        (
            http(error(1, -32601), status="404 Not Found"),
            Outcome.PROTOCOL_ERROR,
            Reason.JSONRPC_ERROR,
            404,
        ),
        (
            http(error("server-error", -32600), status="404 Not Found"),
            Outcome.HTTP_ERROR,
            Reason.HTTP_STATUS,
            404,
        ),
        (
            http(b"<html>", status="413 Too Large", kind="text/html"),
            Outcome.HTTP_ERROR,
            Reason.HTTP_STATUS,
            413,
        ),
        (http(status="500 Oops"), Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 500),
        (
            http(b"{", status="502 Bad Gateway"),
            Outcome.HTTP_ERROR,
            Reason.HTTP_STATUS,
            502,
        ),
        (
            http(error(1, -32000), status="401 Unauthorized"),
            Outcome.HTTP_ERROR,
            Reason.HTTP_STATUS,
            401,
        ),
        (
            http(status="307 Moved", headers=("Location: http://elsewhere/",)),
            Outcome.HTTP_ERROR,
            Reason.HTTP_STATUS,
            307,
        ),
        (http(response(2)), Outcome.PROTOCOL_ERROR, Reason.WRONG_ID, 200),
        (http(response("1")), Outcome.PROTOCOL_ERROR, Reason.WRONG_ID, 200),
        (http(response(1.0)), Outcome.PROTOCOL_ERROR, Reason.WRONG_ID, 200),
        (http(response(True)), Outcome.PROTOCOL_ERROR, Reason.WRONG_ID, 200),
        (http(b"{"), Outcome.PROTOCOL_ERROR, Reason.MALFORMED_JSON, 200),
        (http(b"\xff"), Outcome.PROTOCOL_ERROR, Reason.MALFORMED_JSON, 200),
        (http(b"[1]"), Outcome.PROTOCOL_ERROR, Reason.NOT_JSONRPC, 200),
        (http(b"null"), Outcome.PROTOCOL_ERROR, Reason.NOT_JSONRPC, 200),
        (http(b'{"id":1,"result":{}}'), Outcome.PROTOCOL_ERROR, Reason.NOT_JSONRPC, 200),
        (http(b"hello", kind="text/plain"), Outcome.PROTOCOL_ERROR, Reason.WRONG_CONTENT_TYPE, 200),
        (http(status="202 Accepted"), Outcome.PROTOCOL_ERROR, Reason.NO_REPLY, 202),
        (http(status="204 No Content"), Outcome.PROTOCOL_ERROR, Reason.NO_REPLY, 204),
        (http(), Outcome.PROTOCOL_ERROR, Reason.NO_REPLY, 200),
        (
            http(response(1), headers=("Content-Encoding: gzip",)),
            Outcome.PROTOCOL_ERROR,
            Reason.ENCODED,
            200,
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            Outcome.PROTOCOL_ERROR,
            Reason.ENCODED,
            200,
        ),
        (b"SSH-2.0-OpenSSH\r\n", Outcome.PROTOCOL_ERROR, Reason.MALFORMED_HTTP, 0),
        (b"HTTP/1.1 200 OK\n\n", Outcome.PROTOCOL_ERROR, Reason.MALFORMED_HTTP, 0),
        (b"HTTP/1.1 999 OK\r\n\r\n", Outcome.PROTOCOL_ERROR, Reason.MALFORMED_HTTP, 0),
        (http(response(1, {})), Outcome.WRONG, Reason.RESULT_SHAPE, 200),
        (http(response(1, {"content": "hi"})), Outcome.WRONG, Reason.RESULT_SHAPE, 200),
        (http(response(1, [])), Outcome.WRONG, Reason.RESULT_SHAPE, 200),
        (
            http(response(1, {"content": [], "isError": "no"})),
            Outcome.WRONG,
            Reason.RESULT_SHAPE,
            200,
        ),
        (
            http(response(1, {"content": [], "resultType": "input_required"})),
            Outcome.WRONG,
            Reason.RESULT_TYPE,
            200,
        ),
        (
            http(response(1, {"content": [], "isError": True})),
            Outcome.TOOL_ERROR,
            Reason.TOOL_ERROR,
            200,
        ),
    ],
)
async def test_each_answer_has_its_own_name(
    made: bytes, outcome: Outcome, reason: Reason, status: int
) -> None:
    """What a server may say, and what it is called."""
    async with serving(answering(lambda _: made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason, reply.status) == (outcome, reason, status)
    assert reply.done_ns >= reply.first_ns > reply.sent_ns


async def test_a_refusal_keeps_its_challenge_and_its_retry_after() -> None:
    """The session needs both to decide what an agent would do next."""
    challenge = 'Bearer resource_metadata="http://x/y"'
    headers = (f"WWW-Authenticate: {challenge}", "Retry-After: 7")
    made = http(error(1, -32000), status="401 Unauthorized", headers=headers)
    async with serving(answering(lambda _: made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.challenge, reply.retry_after) == (challenge, "7")
    assert reply.error == {"code": -32000, "message": "no"}


async def test_a_refused_connection_is_named() -> None:
    """Nobody listens: nothing was sent."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/mcp"
        async with connected(url) as client:
            with fail_after(WAIT_S):
                reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.CONNECT_REFUSED)
    assert (reply.sent_ns, reply.ended_by) == (-1, EndedBy.NEVER_SENT)


async def test_a_connection_that_is_never_accepted_times_out() -> None:
    """A full backlog drops the handshake; the wait for it has its own bound."""
    with socket.socket() as listener, _sockets(4) as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        async with connected(
            f"http://127.0.0.1:{address[1]}/mcp", limits=Limits(connect_s=0.2)
        ) as client:
            with fail_after(WAIT_S):
                reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.CONNECT_TIMEOUT)


async def test_a_call_cancelled_while_it_connects_leaves_nothing_behind() -> None:
    """The socket that was under way is closed, and the client goes on."""
    with socket.socket() as listener, _sockets(4) as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        async with connected(f"http://127.0.0.1:{address[1]}/mcp") as client:
            with fail_after(WAIT_S):
                with move_on_after(0.1) as scope:
                    await call(client)
                assert scope.cancelled_caught
                assert client.stats.connections_opened == 0


async def test_a_name_that_does_not_resolve_is_a_failed_connection() -> None:
    """A label of 64 letters is longer than any name may have, so nobody is asked."""
    async with connected(f"http://{'a' * 64}.invalid/mcp") as client:
        with fail_after(WAIT_S):
            reply = await call(client)
    assert (reply.outcome, reply.reason) == (Outcome.TRANSPORT_ERROR, Reason.CONNECT_FAILED)


@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-", http(response(1))[:-5]])
async def test_a_reply_cut_short_is_closed_early_or_reset(part: bytes) -> None:
    """How the peer left is told apart, however far it had come."""

    async def end(peer: Peer) -> None:
        await peer.request()
        await peer.send(part)
        peer.end()

    async def reset(peer: Peer) -> None:
        await peer.request()
        await peer.send(part)
        peer.reset()

    async with serving([end, reset]) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            ended, was_reset = await call(client), await call(client)
    assert (ended.outcome, ended.reason) == (Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY)
    assert (was_reset.outcome, was_reset.reason) == (Outcome.TRANSPORT_ERROR, Reason.RESET)
    assert ended.ended_by is was_reset.ended_by is EndedBy.CLOSED
    assert ended.done_ns == was_reset.done_ns == -1


async def test_a_body_without_a_length_lasts_until_the_close() -> None:
    """HTTP/1.0 manners are understood, and cost the connection."""

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n"
        await peer.send(head, response(request.message["id"]))
        peer.end()

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert [(await call(client)).outcome for _ in range(2)] == [Outcome.OK, Outcome.OK]
    assert server.connections == 2


async def test_interim_replies_are_passed_over() -> None:
    """A 100 or 103 before the reply is no reply."""
    hints = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"
    for_one = answering(lambda request: (hints, http(response(request.message["id"]))))
    async with serving(for_one) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK


async def test_a_connection_closed_while_idle_is_replaced_without_a_word() -> None:
    """A close that was seen before the next call is no failure of that call."""
    closed = asyncio.Event()

    async def once(peer: Peer) -> None:
        request = await peer.request()
        await peer.send(http(response(request.message["id"])))
        peer.end()
        closed.set()

    async with serving(once) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
            await closed.wait()
            await until(lambda: not client._pool._open)
            assert (await call(client)).outcome is Outcome.OK
    assert server.connections == 2


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_a_connection_closed_as_soon_as_it_is_open_is_a_transport_error(how: str) -> None:
    """What a proxy does whose server is gone: accept, and close before a word was said."""

    async def serve(peer: Peer) -> None:
        getattr(peer, how)()

    async with serving(serve) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            for _ in range(20):
                reply = await call(client)
                assert reply.outcome is Outcome.TRANSPORT_ERROR
                assert reply.reason in (Reason.CLOSED_EARLY, Reason.RESET, Reason.SEND_FAILED)


async def test_bytes_behind_a_reply_cost_the_connection_and_not_the_reply() -> None:
    """Whatever they are, they must not be read as the next call's reply."""

    def made(request: Request) -> bytes:
        return http(response(request.message["id"])) + http(response(2))

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert [(await call(client)).outcome for _ in range(2)] == [Outcome.OK, Outcome.OK]
    assert server.connections == 2


async def test_connection_close_is_honoured() -> None:
    """The server says it will close: the next call uses a new connection."""

    def made(request: Request) -> bytes:
        return http(response(request.message["id"]), headers=("Connection: close",))

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            assert [(await call(client)).outcome for _ in range(2)] == [Outcome.OK, Outcome.OK]
    assert server.connections == 2


async def test_an_unopened_request_needs_no_session() -> None:
    """A notification is taken by 202, refused by anything else."""

    def made(request: Request) -> bytes:
        return http(status="202 Accepted" if "good" in request.message["method"] else "400 Bad")

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            good = await client.notify("notifications/good", b"", deadline_ns=within(WAIT_S))
            bad = await client.notify("notifications/bad", b"{}", deadline_ns=within(WAIT_S))
    assert (good.outcome, good.status) == (Outcome.OK, 202)
    assert (bad.outcome, bad.reason, bad.status) == (Outcome.HTTP_ERROR, Reason.HTTP_STATUS, 400)
    assert "params" not in server.requests[0].message


async def test_output_that_breaks_its_schema_is_wrong() -> None:
    """The list of tools teaches the client what to hold the tool to."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = {"name": "echo", "inputSchema": {"type": "object"}, "outputSchema": schema}
    given = iter([{"n": 1}, {"n": "one"}, None])

    def made(request: Request) -> bytes:
        message = request.message
        if message["method"] == "tools/list":
            return http(response(message["id"], {"tools": [tool]}))
        structured = next(given)
        result: dict[str, object] = {"content": []}
        if structured is not None:
            result["structuredContent"] = structured
        return http(response(message["id"], result))

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            await client.request("tools/list", b"{}", deadline_ns=within(WAIT_S))
            replies = [await call(client) for _ in range(3)]
    assert [reply.outcome for reply in replies] == [Outcome.OK, Outcome.WRONG, Outcome.WRONG]
    assert {reply.reason for reply in replies[1:]} == {Reason.SCHEMA}
    assert "missing" in replies[2].detail


async def test_an_error_that_breaks_the_schema_is_an_error_and_says_so() -> None:
    """An error needs no structured content, and what it has must conform or hides the error."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    tool = {"name": "echo", "inputSchema": {"type": "object"}, "outputSchema": schema}
    errors: list[dict[str, object]] = [{}, {"n": 1}, {"error": "down"}]
    given = iter([{"structuredContent": one} if one else {} for one in errors])

    def made(request: Request) -> bytes:
        message = request.message
        if message["method"] == "tools/list":
            return http(response(message["id"], {"tools": [tool]}))
        return http(response(message["id"], {"content": [], "isError": True, **next(given)}))

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            await client.request("tools/list", b"{}", deadline_ns=within(WAIT_S))
            replies = [await call(client) for _ in range(3)]
    assert {reply.outcome for reply in replies} == {Outcome.TOOL_ERROR}
    reasons = [reply.reason for reply in replies]
    assert reasons == [Reason.TOOL_ERROR, Reason.TOOL_ERROR, Reason.SCHEMA]


async def test_a_stream_reply_in_one_segment_or_many_is_the_same() -> None:
    """One segment, three, or one byte at a time."""

    def whole(request: Request) -> bytes:
        return STREAM_HEAD + chunk(event(response(request.message["id"]))) + LAST_CHUNK

    def three(request: Request) -> tuple[bytes, ...]:
        return STREAM_HEAD, chunk(event(response(request.message["id"]))), LAST_CHUNK

    def bytewise(request: Request) -> tuple[bytes, ...]:
        return tuple(bytes([byte]) for byte in whole(request))

    for make in (whole, three, bytewise):
        async with serving(answering(make)) as server, connected(server.url) as client:
            with fail_after(WAIT_S):
                replies = [await call(client) for _ in range(2)]
        assert [reply.outcome for reply in replies] == [Outcome.OK, Outcome.OK], make
        # A stream that is open for milliseconds after its reply gives up its connection, and on a
        # busy machine the rest of one in pieces may take so long.
        assert server.connections == 1 or make is not whole
