"""HTTP+SSE, the transport of 2024-11-05: on the official server, and on one that plays foul."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from anyio import create_task_group, fail_after
from pydantic_core import to_json

from harness.outcome import EndedBy, Outcome, Reason
from harness.wire.endpoint import Endpoint
from harness.wire.limits import Limits
from harness.wire.listen import Listening
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from harness.wire.sse_legacy import SseClient
from tests.echo_server import server as official
from tests.echo_server import standing
from tests.wire.scripted import (
    CLOCK,
    ECHO,
    STREAM_HEAD,
    WAIT_S,
    Peer,
    Request,
    ScriptedServer,
    chunk,
    error,
    event,
    http,
    response,
    serving,
    until,
    within,
)

pytestmark = pytest.mark.anyio

PLACE = "/messages?session_id=abc"
RESULT: dict[str, Any] = {
    "protocolVersion": "2024-11-05",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "scripted", "version": "1"},
}


@contextlib.asynccontextmanager
async def speaking(url: str, **options: Any) -> AsyncIterator[SseClient]:
    """A client whose sockets are closed at the end."""
    options = {"limits": Limits(hang_grace_s=0.1), "schemas": SchemaBook(), **options}
    client = SseClient(Endpoint.from_url(url), now_ns=CLOCK.now_ns, **options)
    try:
        with fail_after(WAIT_S):
            yield client
    finally:
        await client.close(deadline_ns=0)
        client.drop_connections()
        await asyncio.sleep(0)


async def call(client: SseClient, *, seconds: float = WAIT_S, **options: Any) -> Reply:
    """One call of the tool `echo`."""
    return await client.request(
        "tools/call", ECHO, name="echo", deadline_ns=within(seconds), **options
    )


class Stage:
    """A scripted server of this transport: `place` is said first, `on_call` answers calls."""

    def __init__(
        self, on_call: Callable[[Stage, Request], Any] | None = None, *, place: str = PLACE
    ) -> None:
        self.stream: Peer | None = None
        self.place = place
        self.on_call = on_call or (lambda stage, request: stage.say(answer(request)))
        self.heads: list[Request] = []

    async def say(self, *messages: bytes) -> None:
        """Send events on the stream."""
        assert self.stream is not None
        await self.stream.send(*(chunk(event(message)) for message in messages))

    async def __call__(self, peer: Peer) -> None:
        """Serve one connection: the stream, or posts."""
        while True:
            request = await peer.request()
            self.heads.append(request)
            if request.method == "GET":
                self.stream = peer
                greeting = f"event: endpoint\r\ndata: {self.place}\r\n\r\n".encode()
                await peer.send(STREAM_HEAD + chunk(b": hello\r\n\r\n" + greeting))
                return
            await self._take(peer, request)

    async def _take(self, peer: Peer, request: Request) -> None:
        message = request.message
        if message.get("method") == "initialize":
            await peer.send(http(b"Accepted", status="202 Accepted", kind="text/plain"))
            await self.say(response(message["id"], RESULT))
        elif message.get("method") == "tools/call":
            refusal = self.on_call(self, request)
            if asyncio.iscoroutine(refusal):
                await peer.send(http(status="202 Accepted"))
                await refusal
            elif isinstance(refusal, bytes):
                await peer.send(refusal)
            else:
                await peer.send(http(status="202 Accepted"))
        else:
            await peer.send(http(status="202 Accepted"))


def answer(request: Request) -> bytes:
    """The right response to a request."""
    return response(request.message["id"])


@contextlib.asynccontextmanager
async def staged(stage: Stage, **options: Any) -> AsyncIterator[tuple[ScriptedServer, SseClient]]:
    """The server and an opened client."""
    async with serving(stage) as scripted, speaking(scripted.url, **options) as client:
        opened = await client.open(deadline_ns=within(WAIT_S))
        assert opened.outcome is Outcome.OK, opened
        yield scripted, client


async def test_the_official_server_is_spoken_to() -> None:
    """Open, several calls in flight, an error, a large body, close; stamps in their order."""
    async with (
        standing(official().sse_app()) as place,
        speaking(f"http://{place}/sse") as client,
    ):
        opened = await client.open(deadline_ns=within(WAIT_S))
        assert opened.outcome is Outcome.OK, opened
        assert client.protocol_version == "2024-11-05"
        assert client.session_id.startswith("/messages/")
        texts = [*(f"hällo {number}" for number in range(8)), "x" * 300_000]
        replies: dict[str, Reply] = {}

        async def ask(text: str) -> None:
            params = to_json({"name": "echo", "arguments": {"text": text}})
            replies[text] = await client.request(
                "tools/call", params, name="echo", deadline_ns=within(WAIT_S)
            )

        async with create_task_group() as group:
            for text in texts:
                group.start_soon(ask, text)
        for text, reply in replies.items():
            assert reply.outcome is Outcome.OK, reply
            assert reply.result["content"][0]["text"] == text
            assert 0 <= reply.sent_ns < reply.first_ns <= reply.done_ns
        unknown = await client.request("no/such", b"{}", deadline_ns=within(WAIT_S))
        assert (unknown.outcome, unknown.reason) == (Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR)
        assert client.stats.listening is Listening.OPEN
        assert await client.close(deadline_ns=within(WAIT_S)) is None
        assert (await call(client)).reason is Reason.STREAM_LOST


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-11-25"])
async def test_another_revision_may_be_pinned(revision: str) -> None:
    """Some servers speak newer ones over this transport; then their header is sent, too."""
    async with (
        standing(official().sse_app()) as place,
        speaking(f"http://{place}/sse", revision=revision) as client,
    ):
        assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
        assert client.protocol_version == revision


async def test_a_stream_that_breaks_fails_what_is_in_flight_and_is_the_sessions_end() -> None:
    """Cleanly or by a reset; what is asked after it is never sent, and a new open mends it."""

    def cut(stage: Stage, request: Request) -> Any:
        del request
        assert stage.stream is not None
        stage.stream.reset()

    async with staged(Stage(cut)) as (_, client):
        broken = await call(client)
        assert (broken.outcome, broken.reason) == (Outcome.TRANSPORT_ERROR, Reason.RESET), broken
        lost = await call(client)
        assert (lost.outcome, lost.reason) == (Outcome.TRANSPORT_ERROR, Reason.STREAM_LOST)
        assert lost.ended_by is EndedBy.NEVER_SENT
        before = client.session_id
        assert before.startswith(PLACE)
        assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
        assert client.session_id != before


async def test_a_refused_post_has_its_status() -> None:
    """404 is how such a server says that it does not know the session."""

    def refuse(stage: Stage, request: Request) -> bytes:
        del stage, request
        return http(b"no session", status="404 Not Found", kind="text/plain")

    async with staged(Stage(refuse)) as (_, client):
        refused = await call(client)
        assert (refused.outcome, refused.status) == (Outcome.HTTP_ERROR, 404), refused
        assert client.stats.listening is Listening.OPEN


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("http://127.0.0.1:1/messages", Reason.FOREIGN_ENDPOINT),
        ("https://elsewhere.test/messages", Reason.FOREIGN_ENDPOINT),
        ("http://[", Reason.FOREIGN_ENDPOINT),
        ("/a b", Reason.FOREIGN_ENDPOINT),
    ],
)
async def test_an_endpoint_elsewhere_is_refused(place: str, reason: Reason) -> None:
    """A credential would go wherever the stream says: only the target's own origin will do."""
    stage = Stage(place=place)
    async with serving(stage) as scripted, speaking(scripted.url) as client:
        opened = await client.open(deadline_ns=within(WAIT_S))
        assert (opened.outcome, opened.reason) == (Outcome.PROTOCOL_ERROR, reason), opened
        assert [request.method for request in stage.heads] == ["GET"]


async def test_an_endpoint_that_never_comes_is_named() -> None:
    """Comments keep the stream alive, and nothing else is ever said."""

    async def mute(peer: Peer) -> None:
        await peer.request()
        await peer.send(STREAM_HEAD, chunk(b": ping\r\n\r\n"))

    async with serving(mute) as scripted, speaking(scripted.url) as client:
        opened = await client.open(deadline_ns=within(0.2))
        assert (opened.outcome, opened.reason) == (Outcome.HANG, Reason.NO_ENDPOINT), opened


@pytest.mark.parametrize(
    ("reply", "outcome", "reason"),
    [
        (http(status="405 Method Not Allowed"), Outcome.HTTP_ERROR, Reason.HTTP_STATUS),
        (http(b"{}"), Outcome.PROTOCOL_ERROR, Reason.WRONG_CONTENT_TYPE),
        (b"nonsense\r\n\r\n", Outcome.PROTOCOL_ERROR, Reason.MALFORMED_HTTP),
    ],
)
async def test_what_is_no_stream_is_named(reply: bytes, outcome: Outcome, reason: Reason) -> None:
    """Refused, something else, or no HTTP at all."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(reply)

    async with serving(serve) as scripted, speaking(scripted.url) as client:
        opened = await client.open(deadline_ns=within(WAIT_S))
        assert (opened.outcome, opened.reason) == (outcome, reason), opened


async def test_responses_to_unknown_ids_answer_nobody() -> None:
    """They are counted; a call that only they came for has no answer."""

    def stray(stage: Stage, request: Request) -> Any:
        del request
        return stage.say(response(4711), response("1"), response(True))

    async with staged(Stage(stray)) as (_, client):
        hung = await call(client, seconds=0.2)
        assert (hung.outcome, hung.reason) == (Outcome.HANG, Reason.HANG), hung
        assert client.stats.foreign_messages == 3

    def stray_and_end(stage: Stage, request: Request) -> Any:
        del request

        async def both() -> None:
            await stage.say(response(4711))
            assert stage.stream is not None
            await stage.stream.send(b"0\r\n\r\n")

        return both()

    async with staged(Stage(stray_and_end)) as (_, client):
        wrong = await call(client)
        assert (wrong.outcome, wrong.reason) == (Outcome.PROTOCOL_ERROR, Reason.WRONG_ID), wrong


async def test_a_second_response_and_a_late_one_are_counted() -> None:
    """Neither disturbs the next call."""

    def twice(stage: Stage, request: Request) -> Any:
        return stage.say(answer(request), answer(request))

    async with staged(Stage(twice)) as (_, client):
        assert (await call(client)).outcome is Outcome.OK
        assert (await call(client)).outcome is Outcome.OK
        await until(lambda: client.stats.duplicate_replies == 2)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (chunk(event(b"{nonsense")), Reason.MALFORMED_JSON),
        (chunk(event(b'{"id":1}')), Reason.NOT_JSONRPC),
        (chunk(event(b'"' + b"x" * 5000 + b'"')), Reason.EVENT_TOO_LARGE),
    ],
)
async def test_an_event_that_cannot_be_read_ends_the_stream(said: bytes, reason: Reason) -> None:
    """Whose answer it was nobody knows: all that is in flight fails by that name."""

    def foul(stage: Stage, request: Request) -> Any:
        del request
        assert stage.stream is not None
        return stage.stream.send(said)

    limits = Limits(hang_grace_s=0.1, event_bytes=4096)
    async with staged(Stage(foul), limits=limits) as (_, client):
        broken = await call(client)
        assert (broken.outcome, broken.reason) == (Outcome.PROTOCOL_ERROR, reason), broken
        assert (await call(client)).reason is Reason.STREAM_LOST


async def test_faults_of_the_agent_leave_the_stream_alone() -> None:
    """A vanished call, a lost reply, and a hang that is cancelled by a notification."""
    silent = Stage(lambda *_: None)
    async with staged(silent) as (_, client):
        gone = await call(client, vanish_after_ns=20_000_000)
        assert (gone.outcome, gone.reason) == (Outcome.ABANDONED, Reason.VANISHED)
        hung = await call(client, seconds=0.1)
        assert hung.outcome is Outcome.HANG
        await until(
            lambda: any(b"notifications/cancelled" in request.body for request in silent.heads)
        )
        assert client.stats.listening is Listening.OPEN
    async with staged(Stage()) as (_, client):
        lost = await call(client, lose_reply=True)
        assert (lost.outcome, lost.reason) == (Outcome.TRANSPORT_ERROR, Reason.REPLY_LOST)
        assert (await call(client)).outcome is Outcome.OK


async def test_what_the_server_asks_is_answered_by_the_rules() -> None:
    """On a POST of its own, as every answer over this transport."""

    def ask(stage: Stage, request: Request) -> Any:
        ping = b'{"jsonrpc":"2.0","id":"p1","method":"ping"}'
        return stage.say(ping, answer(request))

    stage = Stage(ask)
    async with staged(stage) as (_, client):
        assert (await call(client)).outcome is Outcome.OK
        await until(lambda: any(b'"p1"' in request.body for request in stage.heads))
        assert client.stats.server_requests == 1


async def test_an_error_without_an_id_is_the_only_calls_own() -> None:
    """The server could not read the request: with one in flight there is no doubt which."""

    def nameless(stage: Stage, request: Request) -> Any:
        del request
        return stage.say(error(None, -32700))

    async with staged(Stage(nameless)) as (_, client):
        reply = await call(client)
        assert (reply.outcome, reply.reason) == (Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR)


async def test_the_token_goes_with_the_stream_and_with_every_message() -> None:
    """And another one with the one request that is told so."""
    stage = Stage()
    async with serving(stage) as scripted, speaking(scripted.url) as client:
        client.authorization = b"Bearer good"
        assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
        await call(client, authorization=b"")
        assert {request.headers.get("authorization") for request in stage.heads[:-1]} == {
            "Bearer good"
        }
        assert "authorization" not in stage.heads[-1].headers
