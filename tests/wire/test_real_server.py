from __future__ import annotations

from typing import Any, Literal

import pytest
from anyio import fail_after
from pydantic_core import to_json

from harness.outcome import Outcome, Reason
from harness.wire.limits import Limits
from harness.wire.listen import Listening
from harness.wire.schemas import SchemaBook
from tests.wire.official import Events, official
from tests.wire.scripted import WAIT_S, connected, within

pytestmark = pytest.mark.anyio

Era = Literal["auto", "legacy", "modern"]
_ERAS: tuple[Era, ...] = ("legacy", "modern", "auto")


def _params(tool: str, **arguments: Any) -> bytes:
    return to_json({"name": tool, "arguments": arguments})


@pytest.mark.parametrize("era", _ERAS)
@pytest.mark.parametrize("json_response", [False, True])
async def test_the_official_server_is_spoken_to_in_every_era(era: Era, json_response: bool) -> None:
    """Open, list, call, fail, unknown tool, unknown method, close."""
    schemas = SchemaBook()
    async with (
        official(json_response=json_response) as server,
        connected(server.url, era=era, schemas=schemas) as client,
    ):
        with fail_after(WAIT_S):
            opened = await client.open(deadline_ns=within(WAIT_S))
            assert opened.outcome is Outcome.OK, opened
            assert client.era == ("legacy" if era == "legacy" else "modern")
            assert bool(client.session_id) is (era == "legacy")
            listed = await client.request("tools/list", b"{}", deadline_ns=within(WAIT_S))
            assert listed.outcome is Outcome.OK, listed
            assert "echo" in schemas.validators  # the SDK derives an outputSchema from `str`
            for number in range(3):
                said = f"hällo {number}"
                reply = await client.request(
                    "tools/call",
                    _params("echo", text=said),
                    name="echo",
                    deadline_ns=within(WAIT_S),
                )
                assert reply.outcome is Outcome.OK, reply
                assert reply.result["content"][0]["text"] == said
            failed = await client.request(
                "tools/call", _params("fail"), name="fail", deadline_ns=within(WAIT_S)
            )
            assert (failed.outcome, failed.reason) == (Outcome.TOOL_ERROR, Reason.TOOL_ERROR)
            unknown = await client.request("no/such", b"{}", deadline_ns=within(WAIT_S))
            assert (unknown.outcome, unknown.reason) == (
                Outcome.PROTOCOL_ERROR,
                Reason.JSONRPC_ERROR,
            )
            assert unknown.error is not None
            assert unknown.error["code"] == -32601
            closed = await client.close(deadline_ns=within(WAIT_S))
            assert closed is None if era != "legacy" else closed is not None
            # A stream whose end has not come by the next call costs a connection.
            assert 1 <= client.stats.connections_opened <= 1 + client.stats.streams_left_open


@pytest.mark.parametrize("era", _ERAS)
async def test_progress_before_the_reply_is_passed_over(era: Era) -> None:
    """Notifications share the reply's stream in both eras."""
    async with official() as server, connected(server.url, era=era) as client:
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            params = b'{"name":"progress","arguments":{},"_meta":{"progressToken":1}}'
            reply = await client.request(
                "tools/call", params, name="progress", deadline_ns=within(WAIT_S)
            )
            assert reply.outcome is Outcome.OK, reply
            assert client.stats.foreign_messages >= 3


async def test_a_session_that_ended_is_404_and_opens_anew() -> None:
    """The server forgot it; the client does what the specification says it must."""
    async with (
        official() as server,
        connected(server.url) as client,
        connected(server.url) as other,
    ):
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            other.adopt("legacy", version=client.protocol_version, session_id=client.session_id)
            await other.close(deadline_ns=within(WAIT_S))
            params = _params("echo", text="x")
            lost = await client.request("tools/call", params, deadline_ns=within(WAIT_S))
            assert (lost.outcome, lost.status) == (Outcome.HTTP_ERROR, 404)
            client.forget_session()
            assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
            back = await client.request("tools/call", params, deadline_ns=within(WAIT_S))
            assert back.outcome is Outcome.OK
            await client.close(deadline_ns=within(WAIT_S))


async def test_a_reply_stream_that_the_server_leaves_is_resumed() -> None:
    """The SDK's own polling: it ends the stream, and replays what came after."""
    async with (
        official(event_store=Events(), retry_interval=10) as server,
        connected(server.url) as client,
    ):
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            reply = await client.request(
                "tools/call", _params("leave"), name="leave", deadline_ns=within(WAIT_S)
            )
            assert (reply.outcome, reply.resumed >= 1) == (Outcome.OK, True), reply
            assert reply.result["content"][0]["text"] == "back"
            await client.close(deadline_ns=within(WAIT_S))


async def test_a_standing_stream_is_opened_and_ended() -> None:
    """The server takes the GET; closing the session ends it."""
    async with official() as server, connected(server.url, listen=True) as client:
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            assert client.stats.listening is Listening.OPEN
            await client.close(deadline_ns=within(WAIT_S))
            assert str(client.stats.listening) == "off"


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_hang_is_cancelled_at_the_server(era: Era) -> None:
    """By message in the handshake era, by closing in the modern one: the handler stops."""
    limits = Limits(hang_grace_s=0.1)
    async with official() as server, connected(server.url, era=era, limits=limits) as client:
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            reply = await client.request(
                "tools/call", _params("slow"), name="slow", deadline_ns=within(0.2)
            )
            assert (reply.outcome, reply.reason) == (Outcome.HANG, Reason.HANG)
            await server.cancelled.wait()
            await client.close(deadline_ns=within(WAIT_S))


async def test_a_body_over_the_servers_limit_is_413() -> None:
    """5 MiB against the SDK's 4: refused by status, whatever happens to the connection."""
    async with official() as server, connected(server.url, era="modern") as client:
        with fail_after(WAIT_S):
            params = _params("echo", text="x" * 5 * 1024 * 1024)
            for _ in range(3):
                reply = await client.request(
                    "tools/call", params, name="echo", deadline_ns=within(WAIT_S)
                )
                assert (reply.outcome, reply.status) == (Outcome.HTTP_ERROR, 413), reply
