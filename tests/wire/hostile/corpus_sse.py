"""What a server of HTTP+SSE must not do, each with what the client makes of it.

An `Opening` is the whole stream of a session that does not come about; a `Saying` is what the
stream says (`sent`) to a `tools/call` whose id is 7, the POST being answered by `receipt`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.outcome import Outcome, Reason
from tests.wire.hostile.corpus_http import RIGHT
from tests.wire.hostile.replies import Ending
from tests.wire.hostile.stage import plain

OPEN: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
PLACE: Final = b"event: endpoint\ndata: /messages\n\n"
TAKEN: Final = plain(b"202 Accepted").segments[0]


@dataclass(frozen=True, kw_only=True)
class Opening:
    """One stream that brings no session, and what the opening is called."""

    name: str
    sent: bytes
    outcome: Outcome
    reason: Reason
    ending: Ending = "keep"


@dataclass(frozen=True, kw_only=True)
class Saying:
    """One answer to a call in two parts, and what it is called."""

    name: str
    sent: bytes
    outcome: Outcome
    reason: Reason
    receipt: bytes = TAKEN
    receipt_ending: Ending = "keep"
    ending: Ending = "keep"


def _named(place: bytes) -> bytes:
    return OPEN + b"event: endpoint\ndata: " + place + b"\n\n"


def _event(message: bytes) -> bytes:
    return b"event: message\ndata: " + message + b"\n\n"


_PROTOCOL, _WRONG, _TRANSPORT = Outcome.PROTOCOL_ERROR, Outcome.WRONG, Outcome.TRANSPORT_ERROR
_FOREIGN = (_PROTOCOL, Reason.FOREIGN_ENDPOINT)
_NONE = (Outcome.HANG, Reason.NO_ENDPOINT)
_NOT_JSON = (_PROTOCOL, Reason.MALFORMED_JSON)
_NOT_RPC = (_PROTOCOL, Reason.NOT_JSONRPC)
_HANG = (Outcome.HANG, Reason.HANG)
_FINE = (Outcome.OK, Reason.NONE)
_OTHER = RIGHT.replace(b"7", b"8", 1)

_PLACES: Final = {
    "another host": b"http://evil.example/x",
    "another host without a scheme": b"//evil.example/x",
    "another port": b"http://127.0.0.1:1/x",
    "no port that there is": b"http://127.0.0.1:99999/x",
    "another scheme": b"javascript:alert(1)",
    "half an address": b"http://[::1",
    "a blank": b"/a b",
    "a request of its own": b"/a HTTP/1.1\tHost:evil.example b",
    "a password": b"http://user:word@127.0.0.1/",
    "no ascii": "/\u00e9".encode(),
    "no utf-8": b"/\xff",
    "a null": b"/\x00",
}

_STREAMS: Final = {
    "nothing": (OPEN, _NONE),
    "comments alone": (OPEN + b": a\n\n" * 50, _NONE),
    "another name": (OPEN + b"event: Endpoint\ndata: /messages\n\n", _NONE),
    "a name without an address": (OPEN + b"event: endpoint\n\n", _NONE),
    "an empty address": (OPEN + b"event: endpoint\ndata:\n\n", _NONE),
    "an address that never ends": (OPEN + b"event: endpoint\ndata: /messages", _NONE),
    "an address too long to keep": (
        OPEN + b"event: endpoint\ndata: /" + b"a" * 9_000 + b"\n\n",
        (_PROTOCOL, Reason.EVENT_TOO_LARGE),
    ),
    "a message first that is none": (OPEN + _event(b"hello") + PLACE, _NOT_JSON),
    "a page": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
        (_PROTOCOL, Reason.WRONG_CONTENT_TYPE),
    ),
    "no content": (b"HTTP/1.1 204 No\r\n\r\n", (_PROTOCOL, Reason.WRONG_CONTENT_TYPE)),
    "a refusal": (plain(b"405 Not So").segments[0], (Outcome.HTTP_ERROR, Reason.HTTP_STATUS)),
    "another place for the stream": (
        b"HTTP/1.1 307 There\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
        (Outcome.HTTP_ERROR, Reason.HTTP_STATUS),
    ),
    "a banner of another protocol": (b"220 mail\r\n\r\n", (_PROTOCOL, Reason.MALFORMED_HTTP)),
}

OPENINGS: Final = (
    *(
        Opening(name=f"the address: {name}", sent=_named(place), outcome=outcome, reason=reason)
        for name, place in _PLACES.items()
        for outcome, reason in (_FOREIGN,)
    ),
    *(
        Opening(name=f"the stream: {name}", sent=sent, outcome=outcome, reason=reason)
        for name, (sent, (outcome, reason)) in _STREAMS.items()
    ),
    Opening(
        name="an end before the address",
        sent=OPEN,
        ending="close",
        outcome=_TRANSPORT,
        reason=Reason.STREAM_ENDED,
    ),
    Opening(
        name="a reset before the address",
        sent=OPEN,
        ending="reset",
        outcome=_TRANSPORT,
        reason=Reason.RESET,
    ),
)

_SAID: Final = {
    "the reply": (_event(RIGHT), _FINE),
    "the reply twice": (_event(RIGHT) * 2, _FINE),
    "another's reply first": (_event(_OTHER) + _event(RIGHT), _FINE),
    "an address again": (b"event: endpoint\ndata: http://evil.example/\n\n" + _event(RIGHT), _FINE),
    "an event of another name": (b"event: other\ndata: " + RIGHT + b"\n\n", _HANG),
    "nothing": (b"", _HANG),
    "another's reply alone": (_event(_OTHER), _HANG),
    "the id as a word": (_event(RIGHT.replace(b":7", b':"7"')), _HANG),
    "the id as a fraction": (_event(RIGHT.replace(b":7", b":7.0")), _HANG),
    "the id as truth": (_event(RIGHT.replace(b":7", b":true")), _HANG),
    "a reply that never ends": (b"data: " + RIGHT, (Outcome.TIMEOUT, Reason.DEADLINE)),
    "half a message": (_event(RIGHT[:30]), _NOT_JSON),
    "no utf-8": (_event(RIGHT.replace(b"hi", b"\xff")), _NOT_JSON),
    "nested for ever": (_event(b"[" * 7_000), _NOT_JSON),
    "a number": (_event(b"7"), _NOT_RPC),
    "null": (_event(b"null"), _NOT_RPC),
    "an empty object": (_event(b"{}"), _NOT_RPC),
    "a result and an error": (
        _event(RIGHT[:-1] + b',"error":{"code":1,"message":"m"}}'),
        _NOT_RPC,
    ),
    "a list in a list": (_event(b"[[" + RIGHT + b"]]"), _NOT_RPC),
    "no result": (
        _event(b'{"jsonrpc":"2.0","id":7,"result":null}'),
        (_WRONG, Reason.RESULT_SHAPE),
    ),
    "too much": (
        _event(RIGHT.replace(b"hi", b"x" * 9_000)),
        (_PROTOCOL, Reason.EVENT_TOO_LARGE),
    ),
    "an error without an id": (
        _event(b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m"}}'),
        (_PROTOCOL, Reason.JSONRPC_ERROR),
    ),
}

SAYINGS: Final = (
    *(
        Saying(name=f"said: {name}", sent=said, outcome=outcome, reason=reason)
        for name, (said, (outcome, reason)) in _SAID.items()
    ),
    Saying(
        name="a reply, and the POST never answered",
        sent=_event(RIGHT),
        receipt=b"",
        outcome=Outcome.OK,
        reason=Reason.NONE,
    ),
    Saying(
        name="the POST refused",
        sent=b"",
        receipt=plain(b"400 Bad").segments[0],
        outcome=Outcome.HTTP_ERROR,
        reason=Reason.HTTP_STATUS,
    ),
    Saying(
        name="the POST answered by nonsense",
        sent=b"",
        receipt=b"nonsense\r\n\r\n",
        outcome=_PROTOCOL,
        reason=Reason.MALFORMED_HTTP,
    ),
    Saying(
        name="the POST reset",
        sent=b"",
        receipt=b"",
        receipt_ending="reset",
        outcome=_TRANSPORT,
        reason=Reason.RESET,
    ),
    Saying(
        name="the POST cut off",
        sent=b"",
        receipt=b"",
        receipt_ending="close",
        outcome=_TRANSPORT,
        reason=Reason.CLOSED_EARLY,
    ),
    Saying(
        name="the end of the stream",
        sent=b"",
        ending="close",
        outcome=_TRANSPORT,
        reason=Reason.STREAM_ENDED,
    ),
    Saying(
        name="others' replies, and the end",
        sent=_event(RIGHT.replace(b":7", b":900")),
        ending="close",
        outcome=_PROTOCOL,
        reason=Reason.WRONG_ID,
    ),
    Saying(
        name="half a reply, and a reset",
        sent=_event(RIGHT)[:-9],
        ending="reset",
        outcome=_TRANSPORT,
        reason=Reason.RESET,
    ),
)
