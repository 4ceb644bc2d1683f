"""HTTP and SSE as a hostile server writes them: a reply in segments, and how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Literal

from tests.wire.hostile.messages import message
from tests.wire.hostile.tape import Tape

Ending = Literal["keep", "close", "reset", "stall"]
ENDINGS: Final[tuple[Ending, ...]] = ("keep",) * 11 + ("close", "close", "reset", "stall")
SEGMENTS_MAX: Final = 12
JSON: Final = b"Content-Type: application/json"
SSE: Final = b"Content-Type: text/event-stream"
_STATUSES: Final = (
    b"200 OK", b"200 OK", b"200 OK", b"200 OK", b"200 OK", b"202 Accepted", b"204 No Content",
    b"206 Partial", b"301 Moved", b"304 Same", b"400 Bad", b"401 Who", b"403 No", b"404 Gone",
    b"405 Not So", b"413 Big", b"429 Often", b"500 Oh", b"503 Busy", b"999 Odd", b"099 Odd",
    b"20 OK", b"-200 OK", b"2000 OK", b"abc", b"", b"200", b"\xff\xfe",
)  # fmt: skip
_VERSIONS: Final = (
    b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2", b"http/1.1", b"ICY", b"",
)  # fmt: skip
_MORE: Final = (
    b"Mcp-Session-Id: s", b"Mcp-Session-Id: \x01\x02", b"Mcp-Session-Id:", b"Connection: close",
    b"Connection: keep-alive, close", b"Content-Encoding: gzip", b"Content-Encoding: identity",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Content-Length: 5",
    b"Content-Length: -1", b"Content-Length: 0x10", b"Content-Length: 1_0", b"Content-Length: 5, 5",
    b"Content-Length: 99999999999999999999", b"Content-Length:", b"Retry-After: soon",
    b'WWW-Authenticate: Bearer error="x', b"Content-Type: text/html", b"Content-Type:",
    b"Content-Type: application/json; charset=utf-7", b"X: " + b"y" * 3_000, b": empty",
    b"no colon", b" folded", b"X\x00Y: z", b"X : y", b"Trailer: X", b"Upgrade: h2c",
    b"Location: //evil",
)  # fmt: skip
EVENT_LINES: Final = (
    b": comment", b"id: 1", b"id: 1\x00", b"id:", b"retry: 1", b"retry: 99999999999999",
    b"retry: -1", b"retry: x", b"event: message", b"event: other", b"event:", b"data", b"data:",
    b"nonsense: 1",
    b"\xef\xbb\xbfdata: {}", b":" * 3_000, b"\xff\xfe", b'data: {"jsonrpc":',
)  # fmt: skip
_NOISE: Final = (b"", b"\r\n", b"garbage\r\n\r\n", b"HTTP/1.1", b"\x16\x03\x01" * 9, b"\x00")
_TRAILERS: Final = (b"0\r\n\r\n",) * 12 + (
    b"", b"0\r\n", b"0\r\nX: y\r\n\r\n", b"0\r\n" + b"X: y\r\n" * 900,
)  # fmt: skip
LINE_ENDS: Final = (b"\n", b"\r\n", b"\r")


@dataclass(frozen=True, kw_only=True)
class Script:
    """What is written, piece by piece, and what happens then."""

    segments: tuple[bytes, ...]
    ending: Ending = "keep"


def script(tape: Tape, *, call_id: Any, method: str, nonce: str) -> Script:
    """One reply to a request; of an empty tape, the right one."""
    shape = tape.below(16)
    if shape >= 15:
        said = tape.one(_NOISE)
        return Script(segments=cut(tape, said), ending=tape.one(ENDINGS))
    streamed = shape % 2 == 1
    body = (_stream if streamed else message)(tape, call_id, method, nonce)
    raw = _heads(tape) + _framed(tape, body, SSE if streamed else JSON)
    return Script(segments=cut(tape, spoilt(tape, raw)), ending=tape.one(ENDINGS))


def _heads(tape: Tape) -> bytes:
    if not tape.seldom(16):
        return b""
    interim = tape.one((b"100 Continue", b"103 Hints", b"101 Switching", b"199 Odd"))
    return (b"HTTP/1.1 " + interim + b"\r\n\r\n") * tape.one((1, 2, 40))


def _framed(tape: Tape, body: bytes, kind: bytes) -> bytes:
    version, status, end = b"HTTP/1.1", b"200 OK", b"\r\n"
    if tape.seldom(40):
        version, status = tape.one(_VERSIONS), tape.one(_STATUSES)
    if tape.seldom(12):
        end = tape.one(LINE_ENDS)
    lines = [version + b" " + status, kind]
    framing = tape.below(8)
    if framing <= 3:
        lines.append(b"Content-Length: %d" % (len(body) + _slip(tape)))
    elif framing <= 6:
        lines.append(b"Transfer-Encoding: chunked")
        body = _chunked(tape, body)
    for _ in range(tape.one((0, 0, 0, 1, 2, 5))):
        lines.insert(1 + tape.below(len(lines)), tape.one(_MORE))
    return end.join(lines) + end + end + body


def _slip(tape: Tape) -> int:
    return tape.one((-1, 1, 7, 100_000)) if tape.seldom(24) else 0


def _chunked(tape: Tape, body: bytes) -> bytes:
    pieces = [body]
    if tape.below(2):
        at = tape.below(len(body) + 1)
        pieces = [body[:at], body[at:]]
    made = b""
    for piece in pieces:
        size = b"%x" % (len(piece) + _slip(tape))
        if tape.seldom(24):
            odd = (b"", b"-1", b"0x5", b"zz", b"f" * 40, size + b";ext=1", b" " + size)
            size = tape.one((*odd, b"0" * 3_000))
        made += size + tape.one((b"\r\n",) * 15 + (b"\n",)) + piece
        made += tape.one((b"\r\n",) * 15 + (b"", b"\n", b"xx"))
    return made + tape.one(_TRAILERS)


def _stream(tape: Tape, call_id: Any, method: str, nonce: str) -> bytes:
    end = tape.one(LINE_ENDS)
    made = b""
    for number in range(tape.one((1, 1, 1, 2, 3, 70))):
        lines = [b"event: message"]
        lines += [tape.one(EVENT_LINES) for _ in range(tape.one((0, 0, 1, 3)))]
        # The last one is the likeliest to be the reply.
        lines.append(b"data: " + (message(tape, call_id, method, nonce) if number < 3 else b"{}"))
        made += end.join(lines) + end + tape.one((end,) * 15 + (b"", end * 3))
    return made


def spoilt(tape: Tape, raw: bytes) -> bytes:
    """Damage single bytes, wherever they stand."""
    if not tape.seldom(48):
        return raw
    spoilt = bytearray(raw)
    for _ in range(1 + tape.below(4)):
        if not spoilt:
            break
        at = tape.below(len(spoilt))
        match tape.below(4):
            case 0:
                spoilt[at] ^= 1 << tape.below(8)
            case 1:
                del spoilt[at : at + 1 + tape.below(8)]
            case 2:
                spoilt[at:at] = bytes([tape.byte()]) * (1 + tape.below(4))
            case _:
                del spoilt[at:]
    return bytes(spoilt)


def cut(tape: Tape, raw: bytes) -> tuple[bytes, ...]:
    """The same bytes in a few segments."""
    cuts = sorted(tape.below(len(raw) + 1) for _ in range(tape.one((0, 0, 1, 2, 9))))
    edges = (0, *cuts[: SEGMENTS_MAX - 1], len(raw))
    return tuple(raw[a:b] for a, b in pairwise(edges) if b > a)
