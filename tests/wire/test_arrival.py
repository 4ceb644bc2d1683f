from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from harness.clock import RunClock
from harness.outcome import Outcome, Reason
from harness.wire.arrival import Arrival, KnownHead, Pieces
from harness.wire.endpoint import Endpoint
from harness.wire.http import BrokenReplyError
from harness.wire.limits import Limits
from harness.wire.pool import Pool
from harness.wire.reading import Call, read_reply
from harness.wire.schemas import SchemaBook
from tests.wire.scripted import LAST_CHUNK, chunk, event, http, response

_LIMITS = Limits(header_bytes=4096, body_bytes=65536, event_bytes=65536, events_max=50)
_ENDPOINT = Endpoint.from_url("http://127.0.0.1/mcp")
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
_CUTS = st.lists(st.integers(min_value=0), max_size=10)


def _read(reply: bytes, cuts: list[int], *, closed: bool) -> tuple[Outcome, Reason, int, Any]:
    """Feed `reply` as a connection would, cut in places, and judge what came of it."""
    pool = Pool(_ENDPOINT, RunClock().now_ns, _LIMITS, lambda _: None, lambda _: None)
    arrival = Arrival(1)
    edges = [0, *sorted(cut % (len(reply) + 1) for cut in cuts), len(reply)]
    segments = [reply[start:end] for start, end in pairwise(edges)]
    over = False
    now_ns = 0
    try:
        for segment in filter(None, segments):
            now_ns += 1
            if over:
                break
            if arrival.first_ns < 0:
                if arrival.take_whole(segment, now_ns, KnownHead()):
                    over = True
                    continue
                arrival.pieces = Pieces(arrival, _LIMITS, pool)
            assert arrival.pieces is not None
            over = arrival.pieces.feed(segment, now_ns)
    except BrokenReplyError as error:
        if arrival.message is None:
            arrival.reason = error.reason
        over = True
    if not over and arrival.message is None:
        until_close = arrival.pieces is not None and arrival.pieces.until_close
        if closed and until_close and arrival.sse is None:
            arrival.done_ns = now_ns
        else:
            arrival.reason = Reason.CLOSED_EARLY
    result = read_reply(arrival, Call(1, "tools/call", "echo", 10**9, 0), SchemaBook())
    return result.outcome, result.reason, result.status, result.result


def _content(text: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}]}


@given(text=_TEXTS, cuts=_CUTS, kind=st.integers(min_value=0, max_value=5))
def test_any_cutting_of_a_right_reply_gives_the_same_result(
    text: str, cuts: list[int], kind: int
) -> None:
    """Length, chunks, close, streams in one chunk or many: the segments do not matter."""
    body = response(1, _content(text))
    json_head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    note = event(b'{"jsonrpc":"2.0","method":"notifications/x"}')
    chunked = b"Transfer-Encoding: chunked\r\n\r\n"
    half = len(body) // 2
    replies = (
        http(body),
        json_head + chunked + chunk(body[:half]) + chunk(body[half:]) + LAST_CHUNK,
        json_head + b"\r\n" + body,
        _STREAM + chunked + chunk(event(body)) + LAST_CHUNK,
        _STREAM + chunked + chunk(note) + chunk(event(body, id="3", line_end=b"\n")) + LAST_CHUNK,
        _STREAM + b"Content-Length: %d\r\n\r\n" % len(note + event(body)) + note + event(body),
    )
    assert _read(replies[kind], cuts, closed=True) == (
        Outcome.OK,
        Reason.NONE,
        200,
        _content(text),
    )


@given(reply=st.binary(max_size=300), cuts=_CUTS, start=st.sampled_from([b"", b"HTTP/1.1 200 "]))
def test_any_bytes_give_a_named_outcome(reply: bytes, cuts: list[int], start: bytes) -> None:
    """Noise is never a crash and never a success."""
    outcome, reason, _, _ = _read(start + reply, cuts, closed=False)
    assert outcome is not Outcome.OK
    assert reason is not Reason.NONE


_PARTS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.0 503 Busy\r\n",
        b"Content-Type: application/json\r\n",
        b"Content-Type: text/event-stream\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 99999999\r\n",
        b"Content-Encoding: br\r\n",
        b"Connection: close\r\n",
        b"\r\n",
        b"\n",
        b"5\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffff\r\n",
        b"data: {}\n\n",
        b"id: 1\r\n",
        b": \r\n",
        response(1, {"content": []}),
        to_json([1, {"jsonrpc": "2.0"}]),
        event(response(1, {"content": []})),
        event(response(2, {"content": []})),
        chunk(event(response(1, {"content": []}))),
        b"\x00",
        b"\xff\xfe",
    ]
)


@given(parts=st.lists(_PARTS, max_size=14), cuts=_CUTS)
def test_any_mixture_of_plausible_parts_gives_a_named_outcome(
    parts: list[bytes], cuts: list[int]
) -> None:
    """Almost-right replies reach further into the parsers than noise does."""
    outcome, reason, _, result = _read(b"".join(parts), cuts, closed=True)
    assert (outcome is Outcome.OK) == (reason is Reason.NONE)
    if outcome is Outcome.OK:
        assert result == {"content": []}
