from __future__ import annotations

import asyncio

import pytest
from anyio import fail_after

from harness.outcome import Outcome, Reason
from harness.wire.listen import Listening
from tests.wire.scripted import (
    INITIALIZE_RESULT,
    SESSION,
    STREAM_HEAD,
    WAIT_S,
    Peer,
    Request,
    answering,
    call,
    chunk,
    connected,
    event,
    http,
    legacy_reply,
    response,
    serving,
    until,
    within,
)

pytestmark = pytest.mark.anyio

_NOTE = b'{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}'


async def test_the_handshake_opens_a_session_that_every_call_names() -> None:
    """initialize, initialized, then calls with session and version; DELETE at the end."""
    async with serving(answering(legacy_reply)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            opened = await client.open(deadline_ns=within(WAIT_S))
            assert (client.session_id, client.protocol_version) == (SESSION, "2025-11-25")
            called = await call(client)
            closed = await client.close(deadline_ns=within(WAIT_S))
    assert (opened.outcome, opened.result) == (Outcome.OK, INITIALIZE_RESULT)
    assert called.outcome is Outcome.OK
    assert closed is not None
    assert (closed.outcome, closed.status) == (Outcome.OK, 200)
    initialize, initialized, tool, delete = server.requests
    assert initialize.message["params"]["protocolVersion"] == "2025-11-25"
    assert not {"mcp-session-id", "mcp-protocol-version"} & set(initialize.headers)
    assert initialized.message == {"jsonrpc": "2.0", "method": "notifications/initialized"}
    for request in (initialized, tool, delete):
        assert request.headers["mcp-session-id"] == SESSION
        assert request.headers["mcp-protocol-version"] == "2025-11-25"
    assert delete.method == "DELETE"


async def test_a_version_nobody_speaks_is_refused() -> None:
    """A server that insists on another version cannot be used, and the reply says why."""

    def made(request: Request) -> bytes:
        result = {**INITIALIZE_RESULT, "protocolVersion": "1999-01-01"}
        return http(response(request.message["id"], result))

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await client.open(deadline_ns=within(WAIT_S))
    assert (reply.outcome, reply.reason) == (Outcome.WRONG, Reason.RESULT_SHAPE)
    assert "1999-01-01" in reply.detail
    assert client.protocol_version == ""


async def test_a_refused_initialized_notification_is_the_reply_of_open() -> None:
    """A session that half opened is not open."""

    def made(request: Request) -> bytes:
        if "id" not in request.message:
            return http(status="500 Oops")
        return legacy_reply(request)

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await client.open(deadline_ns=within(WAIT_S))
        assert (reply.outcome, reply.status) == (Outcome.HTTP_ERROR, 500)
        assert (client.session_id, client.protocol_version) == ("", "")


async def test_a_lost_session_is_opened_anew_without_the_old_id() -> None:
    """404, forget, open: the specification's MUST, in three calls."""
    lost: list[bool] = []

    def made(request: Request) -> bytes:
        if lost and request.method == "POST" and request.message["method"] == "tools/call":
            lost.clear()
            return http(b"gone", status="404 Not Found", kind="text/plain")
        return legacy_reply(request)

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            lost.append(True)
            reply = await call(client)
            assert (reply.outcome, reply.reason) == (Outcome.HTTP_ERROR, Reason.HTTP_STATUS)
            assert reply.status == 404
            client.forget_session()
            assert client.session_id == ""
            assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
            assert (await call(client)).outcome is Outcome.OK
    again = server.requests[3]
    assert again.message["method"] == "initialize"
    assert "mcp-session-id" not in again.headers


async def test_a_delete_that_is_not_allowed_is_fine() -> None:
    """405 on DELETE: the session is the server's to end."""

    def made(request: Request) -> bytes:
        if request.method == "DELETE":
            return http(status="405 Method Not Allowed")
        return legacy_reply(request)

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            reply = await client.close(deadline_ns=within(WAIT_S))
    assert reply is not None
    assert (reply.outcome, reply.status) == (Outcome.OK, 405)


async def test_a_session_id_that_would_break_our_head_is_malformed() -> None:
    """Only visible ASCII may be an id; anything else is the server's mistake."""

    def made(request: Request) -> bytes:
        made = http(response(request.message["id"], INITIALIZE_RESULT))
        return made.replace(b"\r\n", b"\r\nMcp-Session-Id: a b\r\n", 1)

    async with serving(answering(made)) as server, connected(server.url) as client:
        with fail_after(WAIT_S):
            reply = await client.open(deadline_ns=within(WAIT_S))
    assert (reply.outcome, reply.reason) == (Outcome.PROTOCOL_ERROR, Reason.MALFORMED_HTTP)


async def test_a_server_without_a_standing_stream_is_used_without_it() -> None:
    """405 on GET is no failure: the session goes on by POST alone."""
    async with (
        serving(answering(legacy_reply)) as server,
        connected(server.url, listen=True) as client,
    ):
        with fail_after(WAIT_S):
            assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
            await until(lambda: client.stats.listening is Listening.REFUSED)
            assert (await call(client)).outcome is Outcome.OK
    assert [one.method for one in server.requests].count("GET") == 1


async def _standing(peer: Peer) -> None:
    while True:
        request = await peer.request()
        if request.method != "GET":
            await peer.send(legacy_reply(request))
            continue
        last_id = request.headers.get("last-event-id", "")
        await peer.send(STREAM_HEAD, chunk(b"id: s1\nretry: 5\ndata: \n\n" + event(_NOTE)))
        if not last_id:
            peer.reset()
            return


async def test_a_standing_stream_that_breaks_comes_back_from_its_last_id() -> None:
    """The reconnection waits for `retry:` and names the last event."""
    async with serving(_standing) as server, connected(server.url, listen=True) as client:
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            await until(lambda: client.stats.listen_messages >= 2)
            assert str(client.stats.listening) == "open"
            assert client.stats.listen_reconnects == 1
            await client.close(deadline_ns=within(WAIT_S))
        assert client.stats.listening is Listening.OFF
    gets = [one for one in server.requests if one.method == "GET"]
    assert [one.headers.get("last-event-id") for one in gets] == [None, "s1"]
    assert {one.headers["mcp-session-id"] for one in gets} == {SESSION}


async def test_what_a_client_carried_is_counted_across_its_sessions() -> None:
    """A new session does not begin the counters anew, nor ask for the old stream's rest."""
    async with serving(_standing) as server, connected(server.url, listen=True) as client:
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            await until(lambda: client.stats.listen_messages >= 2)
            client.forget_session()
            await client.open(deadline_ns=within(WAIT_S))
            await until(lambda: client.stats.listen_messages >= 4)
            assert client.stats.listen_reconnects == 2
    gets = [one for one in server.requests if one.method == "GET"]
    assert [one.headers.get("last-event-id") for one in gets] == [None, "s1", None, "s1"]


async def test_a_standing_stream_without_resumption_stays_lost() -> None:
    """The declared policy is not to come back: it does not."""
    async with (
        serving(_standing) as server,
        connected(server.url, listen=True, resume=False) as client,
    ):
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            await until(lambda: client.stats.listening is Listening.LOST)
            assert (await call(client)).outcome is Outcome.OK
    assert [one.method for one in server.requests].count("GET") == 1


async def test_a_ping_on_the_standing_stream_is_answered() -> None:
    """A server that probes its clients finds this one alive."""
    ponged = asyncio.Event()

    async def serve(peer: Peer) -> None:
        while True:
            request = await peer.request()
            if request.method == "GET":
                ping = event(b'{"jsonrpc":"2.0","id":"are you there","method":"ping"}')
                await peer.send(STREAM_HEAD, chunk(ping))
            elif "method" not in request.message:
                assert request.message == {"jsonrpc": "2.0", "id": "are you there", "result": {}}
                ponged.set()
                await peer.send(http(status="202 Accepted"))
            else:
                await peer.send(legacy_reply(request))

    async with serving(serve) as server, connected(server.url, listen=True) as client:
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            await ponged.wait()
    assert client.stats.server_requests == 1
