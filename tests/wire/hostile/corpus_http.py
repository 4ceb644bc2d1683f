"""Replies that a server must not send, each with what the client makes of it.

Every one is the whole answer to a `tools/call` whose id is 7. What the fuzzer finds is added here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.outcome import Outcome, Reason
from tests.wire.hostile.replies import Ending

CALL_ID: Final = 7
RIGHT: Final = b'{"jsonrpc":"2.0","id":7,"result":{"content":[{"type":"text","text":"hi"}]}}'
_OK = b"HTTP/1.1 200 OK\r\n"
_JSON = b"Content-Type: application/json\r\n"
_SSE = b"Content-Type: text/event-stream\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n"


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One hostile reply and what it is called."""

    name: str
    sent: bytes
    outcome: Outcome
    reason: Reason
    ending: Ending = "keep"


def _json(body: bytes) -> bytes:
    return _OK + _JSON + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _sse(stream: bytes) -> bytes:
    return _OK + _SSE + _CHUNKED + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(stream), stream)


def _event(message: bytes) -> bytes:
    return b"event: message\ndata: " + message + b"\n\n"


_PROTOCOL, _WRONG, _TRANSPORT = Outcome.PROTOCOL_ERROR, Outcome.WRONG, Outcome.TRANSPORT_ERROR
_HTTP = (_PROTOCOL, Reason.MALFORMED_HTTP)
_NOT_JSON = (_PROTOCOL, Reason.MALFORMED_JSON)
_NOT_RPC = (_PROTOCOL, Reason.NOT_JSONRPC)
_SHAPE = (_WRONG, Reason.RESULT_SHAPE)
_OTHER_ID = (_PROTOCOL, Reason.WRONG_ID)
_ENDED = (_TRANSPORT, Reason.STREAM_ENDED)
_FINE = (Outcome.OK, Reason.NONE)

_HEADS: Final = {
    "tls on a plain port": (b"\x15\x03\x01\x00\x02\x02\x46", _HTTP),
    "a banner of another protocol": (b"220 mail ready\r\n\r\n", _HTTP),
    "http/0.9": (b"<html>hello</html>\r\n\r\n", _HTTP),
    "no status": (b"HTTP/1.1 \r\n\r\n", _HTTP),
    "a negative status": (b"HTTP/1.1 -200 OK\r\n\r\n", _HTTP),
    "a status of four digits": (b"HTTP/1.1 2000 OK\r\n\r\n", _HTTP),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\n{}", _HTTP),
    "a header without a colon": (_OK + b"no colon\r\nContent-Length: 2\r\n\r\n{}", _HTTP),
    "two lengths that differ": (
        _OK + _JSON + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}",
        _HTTP,
    ),
    "a length below zero": (_OK + _JSON + b"Content-Length: -1\r\n\r\n", _HTTP),
    "a length in hexadecimal": (_OK + _JSON + b"Content-Length: 0x2\r\n\r\n{}", _HTTP),
    "a length with an underscore": (_OK + _JSON + b"Content-Length: 1_0\r\n\r\n{}", _HTTP),
    "a chunk size that is none": (_OK + _JSON + _CHUNKED + b"\r\nzz\r\n{}", _HTTP),
    "a chunk size below zero": (_OK + _JSON + _CHUNKED + b"\r\n-2\r\n{}", _HTTP),
    "a chunk longer than it says": (_OK + _JSON + _CHUNKED + b"\r\n1\r\n{}xx\r\n0\r\n\r\n", _HTTP),
    "interim replies without end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 99, _HTTP),
    "another protocol after all": (b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", _HTTP),
    "a coding nobody asked for": (
        _OK + _JSON + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b",
        (_PROTOCOL, Reason.ENCODED),
    ),
    "a page": (
        _OK + b"Content-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
        (_PROTOCOL, Reason.WRONG_CONTENT_TYPE),
    ),
    "accepted, and no reply": (
        b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        (_PROTOCOL, Reason.NO_REPLY),
    ),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", (_PROTOCOL, Reason.NO_REPLY)),
    "somewhere else": (
        b"HTTP/1.1 301 Moved\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
        (Outcome.HTTP_ERROR, Reason.HTTP_STATUS),
    ),
}

_BODIES: Final = {
    "nothing": (b"", (_PROTOCOL, Reason.NO_REPLY)),
    "blanks": (b"   ", _NOT_JSON),
    "half a message": (RIGHT[:30], _NOT_JSON),
    "something behind it": (RIGHT + b"x", _NOT_JSON),
    "two messages": (RIGHT + RIGHT, _NOT_JSON),
    "a byte order mark": (b"\xef\xbb\xbf" + RIGHT, _NOT_JSON),
    "utf-16": (RIGHT.decode().encode("utf-16"), _NOT_JSON),
    "no utf-8": (RIGHT.replace(b"hi", b"\xff\xfe"), _NOT_JSON),
    "half a surrogate": (RIGHT.replace(b"hi", b"\\ud800"), _NOT_JSON),
    "a raw control character": (RIGHT.replace(b"hi", b"\x01"), _NOT_JSON),
    "nested for ever": (b"[" * 50_000, _NOT_JSON),
    "nested without end in sight": (b"[" * 50_000 + b"]" * 50_000, _NOT_JSON),
    "not a number": (RIGHT.replace(b'"hi"', b"NaN"), _NOT_JSON),
    "infinity": (RIGHT.replace(b'"hi"', b"Infinity"), _NOT_JSON),
    "null": (b"null", _NOT_RPC),
    "a number": (b"7", _NOT_RPC),
    "an empty object": (b"{}", _NOT_RPC),
    "an empty list": (b"[]", _NOT_RPC),
    "a list of null": (b"[null]", _NOT_RPC),
    "a list in a list": (b"[[" + RIGHT + b"]]", _NOT_RPC),
    "no version": (RIGHT.replace(b'"jsonrpc":"2.0",', b""), _NOT_RPC),
    "an old version": (RIGHT.replace(b"2.0", b"1.0"), _NOT_RPC),
    "a result and an error": (
        RIGHT[:-1] + b',"error":{"code":1,"message":"m"}}',
        _NOT_RPC,
    ),
    "neither": (b'{"jsonrpc":"2.0","id":7}', _NOT_RPC),
    "an error that is a word": (b'{"jsonrpc":"2.0","id":7,"error":"no"}', _NOT_RPC),
    "an error without a code": (b'{"jsonrpc":"2.0","id":7,"error":{"message":"m"}}', _NOT_RPC),
    "another id": (RIGHT.replace(b"7", b"8", 1), _OTHER_ID),
    "the id as a word": (RIGHT.replace(b":7", b':"7"'), _OTHER_ID),
    "the id as a fraction": (RIGHT.replace(b":7", b":7.0"), _OTHER_ID),
    "the id as truth": (RIGHT.replace(b":7", b":true"), _OTHER_ID),
    "no result": (b'{"jsonrpc":"2.0","id":7,"result":null}', _SHAPE),
    "a result that is a list": (b'{"jsonrpc":"2.0","id":7,"result":[]}', _SHAPE),
    "a result without content": (b'{"jsonrpc":"2.0","id":7,"result":{}}', _SHAPE),
    "content that is null": (b'{"jsonrpc":"2.0","id":7,"result":{"content":null}}', _SHAPE),
    "content without a type": (b'{"jsonrpc":"2.0","id":7,"result":{"content":[{}]}}', _SHAPE),
    "a wrong that is a word": (
        b'{"jsonrpc":"2.0","id":7,"result":{"content":[],"isError":"yes"}}',
        _SHAPE,
    ),
    "a right reply": (RIGHT, _FINE),
}

_STREAMS: Final = {
    "no event": (b"", _ENDED),
    "comments alone": (b": a\n\n: b\n\n", _ENDED),
    "an event that never ends": (b"data: " + RIGHT, _ENDED),
    "another id": (_event(RIGHT.replace(b"7", b"8", 1)), _OTHER_ID),
    "an event that is no json": (_event(b"hello"), _NOT_JSON),
    "an event that is a number": (_event(b"7"), _NOT_RPC),
    "an event that is null": (_event(b"null"), _NOT_RPC),
    "carriage returns": (_event(RIGHT).replace(b"\n", b"\r"), _FINE),
    "both line ends": (_event(RIGHT).replace(b"\n", b"\r\n"), _FINE),
    "a byte order mark": (b"\xef\xbb\xbf" + _event(RIGHT), _FINE),
    "a reply over two lines": (
        b"data: " + RIGHT.replace(b',"result"', b',\ndata: "result"') + b"\n\n",
        _FINE,
    ),
    "notifications first": (
        _event(b'{"jsonrpc":"2.0","method":"notifications/message"}') * 3 + _event(RIGHT),
        _FINE,
    ),
    "the reply twice": (_event(RIGHT) * 2, _FINE),
    "an absurd retry": (b"retry: " + b"9" * 40 + b"\n" + _event(RIGHT), _FINE),
    "a name of another event": (b"event: other\ndata: " + RIGHT + b"\n\n", _ENDED),
}

CORPUS: Final = (
    *(
        Reply(name=name, sent=sent, outcome=outcome, reason=reason)
        for name, (sent, (outcome, reason)) in _HEADS.items()
    ),
    *(
        Reply(name=f"json: {name}", sent=_json(body), outcome=outcome, reason=reason)
        for name, (body, (outcome, reason)) in _BODIES.items()
    ),
    *(
        Reply(name=f"sse: {name}", sent=_sse(stream), outcome=outcome, reason=reason)
        for name, (stream, (outcome, reason)) in _STREAMS.items()
    ),
    Reply(
        name="less than announced, and the end",
        sent=_json(RIGHT)[:-5],
        outcome=_TRANSPORT,
        reason=Reason.CLOSED_EARLY,
        ending="close",
    ),
    Reply(
        name="half a stream, and a reset",
        sent=_sse(_event(RIGHT))[:-60],
        outcome=_TRANSPORT,
        reason=Reason.RESET,
        ending="reset",
    ),
    Reply(
        name="an end before a word",
        sent=b"",
        outcome=_TRANSPORT,
        reason=Reason.CLOSED_EARLY,
        ending="close",
    ),
    Reply(
        name="a body without a length, to its end",
        sent=_OK + _JSON + b"\r\n" + RIGHT,
        outcome=Outcome.OK,
        reason=Reason.NONE,
        ending="close",
    ),
)
