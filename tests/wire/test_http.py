from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.outcome import Reason
from harness.wire.http import BrokenReplyError, ChunkedBody, Kind, LengthBody, parse_head


def test_a_head_keeps_what_matters_to_mcp() -> None:
    """Names are case-insensitive, values trimmed, the rest is dropped."""
    head = parse_head(
        b"HTTP/1.1 401 Unauthorized\r\nCONTENT-type: Application/JSON; charset=utf-8\r\n"
        b"content-Length:\t12 \r\nMCP-Session-Id: abc\r\nRetry-After: 3\r\n"
        b"WWW-Authenticate: Bearer\r\nWWW-Authenticate: Basic\r\nX-Other: y"
    )
    assert (head.status, head.kind, head.length) == (401, Kind.JSON, 12)
    assert (head.session_id, head.retry_after) == ("abc", "3")
    assert head.challenge == "Bearer, Basic"
    assert head.keep_alive
    assert head.whole


@pytest.mark.parametrize(
    ("raw", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK", True),
        (b"HTTP/1.1 200 OK\r\nConnection: close", False),
        (b"HTTP/1.1 200 OK\r\nConnection: Upgrade, Close", False),
        (b"HTTP/1.0 200 OK", False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked", False),
    ],
)
def test_a_connection_is_kept_only_where_http_says_so(raw: bytes, keep_alive: bool) -> None:
    """A reply with both a length and chunks is not trusted twice."""
    assert parse_head(raw).keep_alive is keep_alive


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/2 200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 200OK",
        b"HTTP/1.1 600 No",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 200 OK\r\nName : value",
        b"HTTP/1.1 200 OK\r\n: value",
        b"HTTP/1.1 200 OK\r\nno colon",
        b"HTTP/1.1 200 OK\r\nA: b\r\n folded",
        b"HTTP/1.1 200 OK\r\nA: b\nB: c",
        b"HTTP/1.1 200 OK\r\nA: b\rB: c",
        b"HTTP/1.1 200 OK\r\nA: \0",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1_0",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        b"HTTP/1.1 200 OK\r\nMcp-Session-Id: \xff",
        b"HTTP/1.1 200 OK\r\nMcp-Session-Id:",
    ],
)
def test_a_head_that_breaks_the_grammar_is_malformed(raw: bytes) -> None:
    """What two readers could read in two ways is refused."""
    with pytest.raises(BrokenReplyError) as raised:
        parse_head(raw)
    assert raised.value.reason is Reason.MALFORMED_HTTP


def test_equal_lengths_said_twice_are_one() -> None:
    """RFC 9110 allows a recipient to take repeated equal values as one."""
    assert parse_head(b"HTTP/1.1 200 OK\r\nContent-Length: 5, 5").length == 5


@given(raw=st.binary(max_size=200))
def test_any_head_is_read_or_malformed(raw: bytes) -> None:
    """No bytes make the parser crash."""
    try:
        head = parse_head(b"HTTP/1.1 200 OK\r\n" + raw)
    except BrokenReplyError as error:
        assert error.reason is Reason.MALFORMED_HTTP  # noqa: PT017 - either is right
    else:
        assert head.status == 200


@given(
    payloads=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    cuts=st.lists(st.integers(min_value=0), max_size=12),
    rest=st.binary(max_size=5),
    trailer=st.sampled_from([b"", b"X-Trailer: y\r\n"]),
    extension=st.sampled_from([b"", b";name=value", b" ; a"]),
)
def test_any_cutting_of_chunks_gives_the_same_payload(
    payloads: list[bytes], cuts: list[int], rest: bytes, trailer: bytes, extension: bytes
) -> None:
    """Sizes, extensions and trailers may be cut anywhere; what follows the end is handed back."""
    stream = b"".join(b"%X%b\r\n%b\r\n" % (len(one), extension, one) for one in payloads)
    stream += b"0\r\n" + trailer + b"\r\n" + rest
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    body, payload, behind = ChunkedBody(1000), b"", b""
    for start, end in pairwise(edges):
        segment = stream[start:end]
        if body.done:
            behind += segment
            continue
        payload += body.feed(segment)
        behind += body.rest
    assert body.done
    assert (payload, behind) == (b"".join(payloads), rest)


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"xyz\r\n", Reason.MALFORMED_HTTP),
        (b"0x5\r\nhello\r\n", Reason.MALFORMED_HTTP),
        (b"+5\r\nhello\r\n", Reason.MALFORMED_HTTP),
        (b"5\nhello\n", Reason.MALFORMED_HTTP),
        (b"5\r\nhelloo\r\n", Reason.MALFORMED_HTTP),
        (b"fffffffffffffffff\r\n", Reason.MALFORMED_HTTP),
        (b"5;" + b"x" * 5000, Reason.MALFORMED_HTTP),
        (b"0\r\n" + b"A: b\r\n" * 500, Reason.HEADER_TOO_LARGE),
    ],
)
def test_broken_chunks_are_named(stream: bytes, reason: Reason) -> None:
    """A size must be hex, a line must end in CRLF, trailers must end."""
    with pytest.raises(BrokenReplyError) as raised:
        ChunkedBody(1000).feed(stream)
    assert raised.value.reason is reason


def test_a_body_of_known_length_hands_back_what_follows() -> None:
    """The next reply's bytes are not this one's."""
    body = LengthBody(5)
    assert body.feed(b"hel") == b"hel"
    assert body.feed(b"lo!!") == b"lo"
    assert (body.done, body.rest) == (True, b"!!")
