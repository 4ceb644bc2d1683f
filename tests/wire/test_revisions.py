"""Each revision of the protocol against a server that speaks only that one, headers and all."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
from anyio import fail_after
from pydantic_core import to_json

from harness.outcome import Outcome, Reason
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from tests.echo_server import server as official
from tests.echo_server import standing
from tests.wire.scripted import (
    CLOCK,
    SESSION,
    WAIT_S,
    Request,
    answering,
    call,
    error,
    http,
    response,
    serving,
    within,
)

pytestmark = pytest.mark.anyio

HEADER: Final = "mcp-protocol-version"
LEGACY: Final = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")


@contextlib.asynccontextmanager
async def pinned(url: str, revision: str) -> AsyncIterator[WireClient]:
    """A client that speaks one revision."""
    client = WireClient(
        Endpoint.from_url(url),
        era="modern" if revision == "2026-07-28" else "legacy",
        now_ns=CLOCK.now_ns,
        schemas=SchemaBook(),
        revision=revision,
    )
    try:
        with fail_after(WAIT_S):
            yield client
    finally:
        client.forget_session()
        client.drop_connections()


def handshake(message: Any, version: str) -> bytes:
    """The reply to `initialize` of a server that always says `version`."""
    result = {
        "protocolVersion": version,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "one", "version": "1"},
    }
    return http(response(message["id"], result), headers=(f"Mcp-Session-Id: {SESSION}",))


def strict(revision: str) -> Any:
    """What a server of the handshake era says that knows one revision, and its rules of headers."""

    def reply(request: Request) -> bytes:
        if request.method == "DELETE":
            return http()
        message = request.message
        if message.get("method") == "initialize":
            if message["params"]["protocolVersion"] != revision or HEADER in request.headers:
                return http(error(message["id"], -32602, "Unsupported protocol version"))
            return handshake(message, revision)
        told = request.headers.get(HEADER)
        if told != (revision if revision >= "2025-06-18" else None):
            return http(error(None, -32600, "bad version header"), status="400 Bad Request")
        if "id" not in message:
            return http(status="202 Accepted")
        return http(response(message["id"]))

    return answering(reply)


@pytest.mark.parametrize("revision", LEGACY)
async def test_a_pinned_revision_is_offered_and_its_headers_are_sent(revision: str) -> None:
    """None before 2025-06-18, always from then on, and never with the handshake itself."""
    async with serving(strict(revision)) as scripted, pinned(scripted.url, revision) as client:
        opened = await client.open(deadline_ns=within(WAIT_S))
        assert opened.outcome is Outcome.OK, opened
        assert client.protocol_version == revision
        assert (await call(client)).outcome is Outcome.OK
        closed = await client.close(deadline_ns=within(WAIT_S))
        assert closed is not None
        assert closed.outcome is Outcome.OK


@pytest.mark.parametrize("revision", LEGACY)
async def test_without_a_pin_both_sides_settle_on_what_the_server_speaks(revision: str) -> None:
    """The newest is offered, and the server's answer is taken."""

    def reply(request: Request) -> bytes:
        if request.method == "DELETE":
            return http()
        if request.message.get("method") == "initialize":
            return handshake(request.message, revision)
        if "id" not in request.message:
            return http(status="202 Accepted")
        assert request.headers.get(HEADER) == (revision if revision >= "2025-06-18" else None)
        return http(response(request.message["id"]))

    async with serving(answering(reply)) as scripted, pinned(scripted.url, "") as client:
        assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
        assert client.protocol_version == revision
        assert (await call(client)).outcome is Outcome.OK


async def test_another_revision_than_the_pinned_one_is_not_spoken() -> None:
    """The server answers with its own, as it may; who pinned one wants that and no other."""

    def reply(request: Request) -> bytes:
        return handshake(request.message, "2025-11-25")

    async with serving(answering(reply)) as scripted, pinned(scripted.url, "2025-06-18") as client:
        opened = await client.open(deadline_ns=within(WAIT_S))
        assert (opened.outcome, opened.reason) == (Outcome.WRONG, Reason.RESULT_SHAPE)
        assert "2025-11-25" in opened.detail
        assert "2025-06-18" in opened.detail
        assert client.protocol_version == ""


@pytest.mark.parametrize("revision", [*LEGACY, "2026-07-28"])
async def test_the_official_server_speaks_each_revision(revision: str) -> None:
    """It takes up what the client offers."""
    async with (
        standing(official().streamable_http_app()) as place,
        pinned(f"http://{place}/mcp", revision) as client,
    ):
        opened = await client.open(deadline_ns=within(WAIT_S))
        assert opened.outcome is Outcome.OK, opened
        assert client.protocol_version == revision
        params = to_json({"name": "echo", "arguments": {"text": "hello"}})
        reply = await client.request("tools/call", params, name="echo", deadline_ns=within(WAIT_S))
        assert reply.outcome is Outcome.OK, reply
        await client.close(deadline_ns=within(WAIT_S))


@pytest.mark.parametrize(("revision", "outcome"), [
    ("2025-03-26", Outcome.OK), ("2025-06-18", Outcome.PROTOCOL_ERROR),
])  # fmt: skip
async def test_a_batch_as_a_reply_is_read_where_its_revision_had_batches(
    revision: str, outcome: Outcome
) -> None:
    """The reply is the member with the call's id, whatever else the server put beside it."""

    def reply(request: Request) -> bytes:
        message = request.message
        if message.get("method") == "initialize":
            return handshake(message, revision)
        if "id" not in message:
            return http(status="202 Accepted")
        log = b'{"jsonrpc":"2.0","method":"notifications/message","params":{}}'
        return http(b"[%b,%b]" % (log, response(message["id"])))

    async with serving(answering(reply)) as scripted, pinned(scripted.url, revision) as client:
        assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
        assert (await call(client)).outcome is outcome
