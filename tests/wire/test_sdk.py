"""The official client as one of our speakers, on the official server, in both eras."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import pytest
from anyio import create_task_group, fail_after
from pydantic_core import to_json

from harness.outcome import Outcome, Reason
from harness.scenario.expressions import compile as template
from harness.trust import Trust
from harness.wire.answering import Rules, Sampled
from harness.wire.endpoint import Endpoint
from harness.wire.limits import Limits
from harness.wire.sdk import SdkSpeaker
from tests.echo_server import Papers, server, standing
from tests.wire.official import official
from tests.wire.scripted import CLOCK, WAIT_S, Peer, connected, serving, within

pytestmark = pytest.mark.anyio

Era = Literal["auto", "legacy", "modern"]
_GRACE = Limits(hang_grace_s=0.1)


@contextlib.asynccontextmanager
async def _speaking(
    url: str, *, era: Era = "legacy", via: tuple[str, int] | None = None
) -> AsyncIterator[SdkSpeaker]:
    endpoint = Endpoint.from_url(url, via=via)
    client = SdkSpeaker(endpoint, era=era, now_ns=CLOCK.now_ns, limits=_GRACE)
    try:
        with fail_after(WAIT_S):
            yield client
    finally:
        await client.close(deadline_ns=within(WAIT_S))


def _call(tool: str, **arguments: Any) -> bytes:
    return to_json({"name": tool, "arguments": arguments})


@pytest.mark.parametrize("era", ["legacy", "modern", "auto"])
async def test_it_says_what_the_server_says_in_every_era(era: Era) -> None:
    """A list, a result, a tool's error; stamped around the call."""
    async with official() as server, _speaking(server.url, era=era) as client:
        opened = await client.open(deadline_ns=within(WAIT_S))
        assert opened.outcome is Outcome.OK, opened
        assert client.era == ("legacy" if era == "legacy" else "modern")
        assert bool(client.session_id) is (era == "legacy")
        listed = await client.request("tools/list", b"{}", deadline_ns=within(WAIT_S))
        assert "echo" in [tool["name"] for tool in listed.result["tools"]]
        said = await client.request(
            "tools/call", _call("echo", text="hällo"), deadline_ns=within(WAIT_S)
        )
        assert said.outcome is Outcome.OK, said
        assert said.result["content"][0]["text"] == "hällo"
        assert 0 <= said.sent_ns < said.done_ns
        failed = await client.request("tools/call", _call("fail"), deadline_ns=within(WAIT_S))
        assert failed.outcome is Outcome.TOOL_ERROR, failed


async def test_it_goes_through_the_door_under_its_token() -> None:
    """Its connections go where the endpoint says, and the server still reads its own name."""
    async with official() as server:
        port = int(server.url.split(":")[2].split("/")[0])
        named = f"http://localhost:{port}/mcp"
        async with _speaking(named, era="modern", via=("127.0.0.1", port)) as client:
            client.authorization = b"Bearer secret-token"
            assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
            reply = await client.request("tools/list", b"{}", deadline_ns=within(WAIT_S))
            assert reply.outcome is Outcome.OK, reply

    async def look(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    async with serving(look) as scripted, _speaking(scripted.url) as client:
        client.authorization = b"Bearer secret-token"
        refused = await client.open(deadline_ns=within(WAIT_S))
        assert (refused.outcome, refused.status) == (Outcome.HTTP_ERROR, 401)
        assert "secret" not in refused.detail
        asked = scripted.requests[0]
        assert asked.headers["authorization"] == "Bearer secret-token"
        assert asked.headers["host"] == f"127.0.0.1:{scripted.port}"


async def test_it_verifies_the_targets_name_behind_another_door(tmp_path: Path) -> None:
    """By the same trust as our own client; without it, it does not come up."""
    papers = Papers(tmp_path)
    async with standing(server().streamable_http_app(), **papers.options()) as place:
        port = int(place.rpartition(":")[2])
        for trust, fine in ((Trust(ca=papers.ca), True), (Trust(), False)):
            endpoint = Endpoint.from_url(
                f"https://localhost:{port}/mcp", via=("127.0.0.1", port), trust=trust
            )
            client = SdkSpeaker(endpoint, era="legacy", now_ns=CLOCK.now_ns, limits=_GRACE)
            with fail_after(WAIT_S):
                opened = await client.open(deadline_ns=within(WAIT_S))
                assert (opened.outcome is Outcome.OK) is fine, opened
                await client.close(deadline_ns=within(WAIT_S))


async def test_a_broken_connection_ends_it_whole_and_the_next_request_begins_another() -> None:
    """Everything in flight fails with it; an application would start a new client."""
    async with official() as server, _speaking(server.url) as client:
        await client.open(deadline_ns=within(WAIT_S))
        client.drop_connections()
        reply = await client.request(
            "tools/call", _call("echo", text="x"), deadline_ns=within(WAIT_S)
        )
        assert reply.outcome is Outcome.OK, reply
        assert client.stats.connections_opened == 2
    async with serving(_hang_up) as scripted, _speaking(scripted.url) as client:
        reply = await client.request("tools/list", b"{}", deadline_ns=within(WAIT_S))
        assert reply.outcome is Outcome.TRANSPORT_ERROR, reply
        assert "the official client died" in reply.detail


async def _hang_up(peer: Peer) -> None:
    await peer.request()
    peer.reset()


async def test_what_is_in_flight_when_it_is_dropped_has_an_outcome() -> None:
    """Nobody waits for a client that is gone."""
    async with official() as server, _speaking(server.url) as client:
        await client.open(deadline_ns=within(WAIT_S))
        replies = []

        async def ask() -> None:
            replies.append(
                await client.request("tools/call", _call("slow"), deadline_ns=within(WAIT_S))
            )

        async with create_task_group() as group:
            group.start_soon(ask)
            await server.started.wait()
            client.drop_connections()
        assert replies[0].outcome is Outcome.TRANSPORT_ERROR, replies


async def test_a_reply_that_never_comes_is_a_hang() -> None:
    """At the deadline and the grace after it, as for our own client."""
    async with official() as server, _speaking(server.url, era="modern") as client:
        await client.open(deadline_ns=within(WAIT_S))
        reply = await client.request("tools/call", _call("slow"), deadline_ns=within(0.2))
        assert (reply.outcome, reply.reason) == (Outcome.HANG, Reason.HANG)
        await server.cancelled.wait()


@pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning")
async def test_it_answers_by_the_same_rules_as_our_own_client() -> None:
    """Elicitation, sampling and roots; it declares what there is a rule for, and no more."""
    async with official() as server, _speaking(server.url) as client:
        client.inbox.rules = Rules(
            sampling=Sampled(text=template("an oak"), model="m"),
            elicitation="accept",
            roots=(template("file:///srv"),),
        )
        await client.open(deadline_ns=within(WAIT_S))
        reply = await client.request("tools/call", _call("ask"), deadline_ns=within(WAIT_S))
        assert reply.outcome is Outcome.OK, reply
        said = reply.result["content"][0]["text"]
        assert said.startswith("accept")
        assert "an oak" in said
        assert said.endswith(" 1")
    async with official() as server, _speaking(server.url) as client:
        await client.open(deadline_ns=within(WAIT_S))
        reply = await client.request("tools/call", _call("ask"), deadline_ns=within(WAIT_S))
        assert reply.outcome is Outcome.PROTOCOL_ERROR, reply
        assert "not supported" in reply.detail


async def test_a_session_that_the_server_forgot_is_a_404() -> None:
    """It never begins a new one by itself; the session's policy does."""
    async with (
        official() as server,
        connected(server.url) as other,
        _speaking(server.url) as client,
    ):
        await client.open(deadline_ns=within(WAIT_S))
        other.adopt("legacy", version=client.protocol_version, session_id=client.session_id)
        await other.close(deadline_ns=within(WAIT_S))
        params = _call("echo", text="x")
        lost = await client.request("tools/call", params, deadline_ns=within(WAIT_S))
        assert (lost.outcome, lost.status) == (Outcome.HTTP_ERROR, 404), lost
        assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
        back = await client.request("tools/call", params, deadline_ns=within(WAIT_S))
        assert back.outcome is Outcome.OK, back
