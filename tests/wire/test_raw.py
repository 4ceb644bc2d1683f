"""Requests as they are written, and what is heard in return."""

from __future__ import annotations

import pytest

from harness.outcome import Reason
from harness.wire.endpoint import Endpoint
from harness.wire.raw import EVENT_KEPT_BYTES, EVENTS_KEPT_MAX, Mouth, render
from tests.wire.scripted import (
    CLOCK,
    LAST_CHUNK,
    STREAM_HEAD,
    Request,
    answering,
    chunk,
    error,
    event,
    http,
    response,
    serving,
)

pytestmark = pytest.mark.anyio
PLENTY_S = 10.0
AT = Endpoint.from_url("http://127.0.0.1:1/mcp")


def test_a_header_is_replaced_whatever_its_case_and_left_out_for_none() -> None:
    """There is one Host, and it is the one that was asked for."""
    raw = render(AT, "POST", "", {"Host": "mcp.example.com", "accept": None}, b"{}")
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /mcp HTTP/1.1"
    assert [line for line in lines if line.lower().startswith(b"host:")] == [
        b"Host: mcp.example.com"
    ]
    assert not any(line.lower().startswith(b"accept:") for line in lines)
    assert b"Content-Length: 2" in lines
    assert body == b"{}"


def test_a_value_that_would_break_the_head_is_refused() -> None:
    """Nobody smuggles a second request, not even on purpose."""
    with pytest.raises(ValueError, match="control"):
        render(AT, "GET", "/health", {"x": "a\r\nb: c"}, b"")


async def test_a_refusal_is_heard_with_its_code_and_challenge() -> None:
    """Status, JSON-RPC error and challenge come as they were sent."""
    body = error(None, -32022, data={"supported": ["2026-07-28"]})
    reply = http(body, status="400 Bad Request", headers=("WWW-Authenticate: Bearer",))
    async with serving(answering(lambda _: reply)) as server:
        with Mouth(Endpoint.from_url(server.url), CLOCK.now_ns) as mouth:
            heard = await mouth.post("tools/list", {}, limit_s=PLENTY_S)
    assert (heard.status, heard.code, heard.challenge) == (400, -32022, "Bearer")
    assert heard.error is not None
    assert heard.error["data"] == {"supported": ["2026-07-28"]}
    assert not heard.served


async def test_an_event_id_is_heard_even_of_a_stream_that_came_whole() -> None:
    """It is what a resumption needs, so it is never skipped."""

    def reply(request: Request) -> bytes:
        return STREAM_HEAD + chunk(event(response(request.message["id"]), id="e7")) + LAST_CHUNK

    async with serving(answering(reply)) as server:
        with Mouth(Endpoint.from_url(server.url), CLOCK.now_ns) as mouth:
            first = await mouth.post("tools/list", {}, limit_s=PLENTY_S)
            second = await mouth.post("tools/list", {}, limit_s=PLENTY_S)
    assert [first.last_event_id, second.last_event_id] == ["e7", "e7"]
    assert first.served
    assert server.connections == 1


async def test_a_resumed_stream_is_heard_to_its_end() -> None:
    """A response on a GET is somebody's, and what comes behind it may be, too; up to a bound."""
    events = b"".join(event(response(n, {"big": "x" * 5000})) for n in range(EVENTS_KEPT_MAX + 5))
    reply = STREAM_HEAD + chunk(events) + LAST_CHUNK
    async with serving(answering(lambda _: reply)) as server:
        with Mouth(Endpoint.from_url(server.url), CLOCK.now_ns) as mouth:
            heard = await mouth.ask("GET", limit_s=PLENTY_S)
    assert len(heard.events) == EVENTS_KEPT_MAX
    assert {len(one) for one in heard.events} == {EVENT_KEPT_BYTES}
    assert heard.reason is Reason.STREAM_ENDED
    assert heard.carried


async def test_a_page_of_html_is_a_status_and_nothing_else() -> None:
    """What is no JSON says no more than its status."""
    reply = http(b"<html>", status="500 Oops", kind="text/html")
    async with serving(answering(lambda _: reply)) as server:
        with Mouth(Endpoint.from_url(server.url), CLOCK.now_ns) as mouth:
            heard = await mouth.ask("GET", path="/health", limit_s=PLENTY_S)
    assert (heard.status, heard.code, heard.result) == (500, 0, None)
    assert server.requests[0].path == "/health"


async def test_an_answer_that_does_not_come_is_given_up() -> None:
    """The wait is bounded, and so is one for a connection."""

    def never(request: Request) -> tuple[bytes, ...]:
        del request
        return ()

    async with serving(answering(never)) as server:
        with Mouth(Endpoint.from_url(server.url), CLOCK.now_ns) as mouth:
            heard = await mouth.ask("GET", limit_s=0.2)
    assert (heard.status, heard.reason) == (0, Reason.HANG)
    with Mouth(AT, CLOCK.now_ns) as mouth:
        refused = await mouth.ask("GET", limit_s=PLENTY_S)
    assert refused.reason is Reason.CONNECT_REFUSED
    assert refused.status == 0


async def test_an_event_id_that_no_header_can_carry_is_none() -> None:
    """A server that sends one cannot have it back."""
    reply = STREAM_HEAD + chunk(event(response(1), id="a\x01b")) + LAST_CHUNK
    async with serving(answering(lambda _: reply)) as server:
        with Mouth(Endpoint.from_url(server.url), CLOCK.now_ns) as mouth:
            heard = await mouth.ask("GET", limit_s=PLENTY_S)
    assert heard.last_event_id == ""
