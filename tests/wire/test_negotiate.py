from __future__ import annotations

from typing import Any

import pytest
from anyio import fail_after

from harness.outcome import Outcome
from harness.wire.speaker import Era
from tests.wire.scripted import (
    LAST_CHUNK,
    STREAM_HEAD,
    WAIT_S,
    Request,
    answering,
    call,
    chunk,
    connected,
    error,
    event,
    http,
    legacy_reply,
    response,
    serving,
    within,
)

pytestmark = pytest.mark.anyio

_DISCOVERED: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}


def _is_modern(request: Request) -> bool:
    return request.headers.get("mcp-protocol-version") == "2026-07-28"


def _modern_reply(request: Request) -> bytes:
    message = request.message
    results = {"server/discover": _DISCOVERED, "tools/list": {"tools": []}}
    return http(response(message["id"], results.get(message["method"], {"content": []})))


async def test_a_modern_request_says_twice_what_it_is() -> None:
    """Version, method and name in the head; version, capabilities and client in `_meta`."""
    async with (
        serving(answering(_modern_reply)) as server,
        connected(server.url, era="modern") as client,
    ):
        with fail_after(WAIT_S):
            opened = await client.open(deadline_ns=within(WAIT_S))
            called = await call(client)
            assert await client.close(deadline_ns=within(WAIT_S)) is None
    assert (opened.outcome, opened.result) == (Outcome.OK, _DISCOVERED)
    assert called.outcome is Outcome.OK
    discover, tool = server.requests
    assert discover.headers["mcp-method"] == "server/discover"
    assert "mcp-name" not in discover.headers
    assert (tool.headers["mcp-method"], tool.headers["mcp-name"]) == ("tools/call", "echo")
    assert tool.headers["mcp-protocol-version"] == "2026-07-28"
    assert "mcp-session-id" not in tool.headers
    meta = tool.message["params"]["_meta"]
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert meta["io.modelcontextprotocol/clientCapabilities"] == {}
    assert tool.message["params"]["name"] == "echo"


async def test_a_modern_client_needs_no_opening() -> None:
    """Discovery is a MAY: the first request already says everything."""
    async with (
        serving(answering(_modern_reply)) as server,
        connected(server.url, era="modern") as client,
    ):
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
    assert server.requests[0].headers["mcp-protocol-version"] == "2026-07-28"


async def test_annotated_arguments_are_repeated_as_headers() -> None:
    """A tool whose schema asks for `Mcp-Param-*` gets them from the modern client."""
    schema = {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
    }
    tool = {"name": "echo", "inputSchema": schema}

    def made(request: Request) -> bytes:
        if request.message["method"] == "tools/list":
            return http(response(request.message["id"], {"tools": [tool]}))
        return _modern_reply(request)

    async with serving(answering(made)) as server, connected(server.url, era="modern") as client:
        with fail_after(WAIT_S):
            await client.request("tools/list", b"{}", deadline_ns=within(WAIT_S))
            params = '{"name":"echo","arguments":{"region":"Köln"}}'.encode()
            await client.request("tools/call", params, name="echo", deadline_ns=within(WAIT_S))
    assert server.requests[1].headers["mcp-param-region"] == "=?base64?S8O2bG4=?="


async def test_auto_takes_the_modern_era_where_it_is_spoken() -> None:
    """Discovery and one more request agree."""
    async with (
        serving(answering(_modern_reply)) as server,
        connected(server.url, era="auto") as client,
    ):
        with fail_after(WAIT_S):
            assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
        assert (client.era, client.protocol_version) == ("modern", "2026-07-28")


def _bad_request(_: Request) -> bytes:
    return http(
        error(None, -32000, "Bad Request: Server not initialized"), status="400 Bad Request"
    )


def _unknown_method(request: Request) -> bytes:
    return http(error(request.message["id"], -32601))


def _plain_404(_: Request) -> bytes:
    return http(b"not found", status="404 Not Found", kind="text/plain")


def _not_acceptable(_: Request) -> bytes:
    return http(status="406 Not Acceptable")


def _unsupported_version(request: Request) -> bytes:
    return http(
        error(request.message["id"], -32022, "unsupported", data={"supported": ["2025-11-25"]}),
        status="400 Bad Request",
    )


def _only_discovery(request: Request) -> bytes:
    """A stateful Go server: discovery answers in an event stream, all else is refused."""
    if request.message["method"] == "server/discover":
        made = event(response(request.message["id"], _DISCOVERED))
        return STREAM_HEAD + chunk(made) + LAST_CHUNK
    return _unsupported_version(request)


def _old_versions_only(request: Request) -> bytes:
    result = {"supportedVersions": ["2025-11-25"], "capabilities": {}}
    return http(response(request.message["id"], result))


@pytest.mark.parametrize(
    "to_modern",
    [
        _bad_request,
        _unknown_method,
        _plain_404,
        _not_acceptable,
        _unsupported_version,
        _only_discovery,
        _old_versions_only,
    ],
)
async def test_auto_falls_back_to_the_handshake(to_modern: Any) -> None:
    """Every way in which legacy servers have been seen to refuse a modern request."""

    def made(request: Request) -> bytes:
        return to_modern(request) if _is_modern(request) else legacy_reply(request)

    async with serving(answering(made)) as server, connected(server.url, era="auto") as client:
        with fail_after(WAIT_S):
            reply = await client.open(deadline_ns=within(WAIT_S))
            assert (reply.outcome, client.era) == (Outcome.OK, "legacy")
            assert client.protocol_version == "2025-11-25"
            assert (await call(client)).outcome is Outcome.OK
            client.forget_session()
            before = len(server.requests)
            await client.open(deadline_ns=within(WAIT_S))
    assert server.requests[before].message["method"] == "initialize"  # the era stays known


@pytest.mark.parametrize("era", ["modern", "auto"])
async def test_a_version_that_is_refused_and_offered_at_once_is_asked_for_again(era: Era) -> None:
    """Once, as the specification says of a version that both sides know."""
    told = {"supported": ["2026-07-28"]}
    asked = 0

    def made(request: Request) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 1:
            return http(error(request.message["id"], -32022, data=told), status="400 Bad Request")
        return _modern_reply(request)

    async with serving(answering(made)) as server, connected(server.url, era=era) as client:
        with fail_after(WAIT_S):
            reply = await client.open(deadline_ns=within(WAIT_S))
        assert (reply.outcome, client.era) == (Outcome.OK, "modern")
    methods = [request.message["method"] for request in server.requests]
    assert methods[:2] == ["server/discover", "server/discover"]


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden", "503 Busy", "429 Slow"])
async def test_auto_does_not_guess_from_a_refusal(status: str) -> None:
    """A missing credential or a busy server says nothing about the era."""
    async with (
        serving(answering(lambda _: http(status=status))) as server,
        connected(server.url, era="auto") as client,
    ):
        with fail_after(WAIT_S):
            reply = await client.open(deadline_ns=within(WAIT_S))
        assert client.era == "auto"
    assert (reply.outcome, str(reply.status)) == (Outcome.HTTP_ERROR, status[:3])
    assert len(server.requests) == 1


async def test_auto_tells_of_a_server_that_speaks_neither() -> None:
    """The handshake's own failure is what a user needs to see."""
    page = http(b"<html>", kind="text/html")
    async with (
        serving(answering(lambda _: page)) as server,
        connected(server.url, era="auto") as client,
    ):
        with fail_after(WAIT_S):
            reply = await client.open(deadline_ns=within(WAIT_S))
        assert client.era == "auto"
    assert reply.outcome is Outcome.PROTOCOL_ERROR
    assert server.requests[-1].message["method"] == "initialize"
