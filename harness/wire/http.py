"""HTTP/1.1 responses read strictly: the head in one pass, the body in whatever pieces arrive."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final, Protocol

from harness.outcome import Reason

UNANNOUNCED: Final = -1
CACHED_HEAD_BYTES: Final = 1024
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [^\x00-\x08\x0a-\x1f\x7f]*)?")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
CHUNK_START: Final = re.compile(rb"([0-9A-Fa-f]{1,15})\r\n")
_CHUNK_LINE_BYTES = 4096
_LAST_CHUNK = b"0\r\n\r\n"
_NO_BODY_STATUSES = frozenset({204, 304})


class BrokenReplyError(Exception):
    """The peer's bytes break HTTP or a bound; `reason` names which."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the reason beside the sentence for people."""
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Kind(IntEnum):
    """What a body claims to be."""

    ABSENT = 0
    JSON = 1
    SSE = 2
    OTHER = 3


@dataclass(slots=True)
class Head:
    """The status line and the few headers that matter to a client of MCP."""

    status: int = 0
    length: int = UNANNOUNCED
    chunked: bool = False
    keep_alive: bool = True
    kind: Kind = Kind.ABSENT
    encoded: bool = False
    session_id: str = ""
    challenge: str = ""
    retry_after: str = ""
    # A final reply whose body is announced in bytes and is no stream: the hot path's case.
    whole: bool = False

    @property
    def bodiless(self) -> bool:
        """Whether HTTP says that nothing follows this head."""
        return self.status in _NO_BODY_STATUSES


def parse_head(raw: bytes) -> Head:
    """The head in `raw`, which ends before the blank line; treat the value as frozen.

    Raises:
        BrokenReplyError: the bytes are not an HTTP/1.x response head.
    """
    # CR and LF may only come as a pair, and NUL never: everything else here is smuggling.
    if raw.count(b"\r\n") != raw.count(b"\n") or raw.count(b"\r\n") != raw.count(b"\r"):
        raise BrokenReplyError(Reason.MALFORMED_HTTP, "a bare CR or LF in the response head")
    lines = raw.split(b"\r\n")
    status_line = _STATUS_LINE.fullmatch(lines[0])
    if status_line is None:
        shown = lines[0][:40].decode("latin-1")
        raise BrokenReplyError(Reason.MALFORMED_HTTP, f"not an HTTP/1.x status line: {shown!r}")
    head = Head(status=int(status_line[2]), keep_alive=status_line[1] == b"1")
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or b"\0" in value:
            raise BrokenReplyError(Reason.MALFORMED_HTTP, "a malformed header line")
        reader = _READERS.get(name.lower())
        if reader is not None:
            reader(head, value.strip(b" \t"))
    if head.chunked and head.length != UNANNOUNCED:
        # RFC 9112 §6.3: chunked wins, and the connection is not to be trusted afterwards.
        head.length, head.keep_alive = UNANNOUNCED, False
    head.whole = (
        head.length >= 0
        and head.status >= 200  # noqa: PLR2004 - the first final status
        and not head.encoded
        and not head.bodiless
        and head.kind is not Kind.SSE
    )
    return head


parse_small_head = lru_cache(maxsize=512)(parse_head)
"""`parse_head` for heads of at most `CACHED_HEAD_BYTES`: servers repeat themselves for a second."""


def _read_length(head: Head, value: bytes) -> None:
    lengths = {part.strip(b" \t") for part in value.split(b",")}
    length = lengths.pop()
    if lengths or not _LENGTH.fullmatch(length) or head.length not in (UNANNOUNCED, int(length)):
        raise BrokenReplyError(Reason.MALFORMED_HTTP, "a Content-Length that is not one number")
    head.length = int(length)


def _read_transfer_encoding(head: Head, value: bytes) -> None:
    codings = [part.strip(b" \t").lower() for part in value.split(b",")]
    if codings[-1] != b"chunked" or codings.count(b"chunked") > 1 or head.chunked:
        raise BrokenReplyError(Reason.MALFORMED_HTTP, "a Transfer-Encoding other than chunked")
    head.chunked = True
    head.encoded = head.encoded or len(codings) > 1


def _read_connection(head: Head, value: bytes) -> None:
    options = {part.strip(b" \t").lower() for part in value.split(b",")}
    if b"close" in options:
        head.keep_alive = False
    elif b"keep-alive" in options:
        head.keep_alive = True


def _read_content_type(head: Head, value: bytes) -> None:
    media_type = value.partition(b";")[0].strip(b" \t").lower()
    if media_type == b"application/json":
        head.kind = Kind.JSON
    elif media_type == b"text/event-stream":
        head.kind = Kind.SSE
    else:
        head.kind = Kind.OTHER


def _read_content_encoding(head: Head, value: bytes) -> None:
    head.encoded = head.encoded or value.lower() not in (b"", b"identity")


def _read_session_id(head: Head, value: bytes) -> None:
    # The specification allows visible ASCII only; anything else would break our own head.
    if not value or any(byte < 0x21 or byte > 0x7E for byte in value):  # noqa: PLR2004
        raise BrokenReplyError(Reason.MALFORMED_HTTP, "a session id that is not visible ASCII")
    head.session_id = value.decode("ascii")


def _read_challenge(head: Head, value: bytes) -> None:
    challenge = value.decode("latin-1")
    head.challenge = f"{head.challenge}, {challenge}" if head.challenge else challenge


def _read_retry_after(head: Head, value: bytes) -> None:
    head.retry_after = value.decode("latin-1")


_READERS = {
    b"content-length": _read_length,
    b"transfer-encoding": _read_transfer_encoding,
    b"connection": _read_connection,
    b"content-type": _read_content_type,
    b"content-encoding": _read_content_encoding,
    b"mcp-session-id": _read_session_id,
    b"www-authenticate": _read_challenge,
    b"retry-after": _read_retry_after,
}


class Body(Protocol):
    """Finds where a body ends; `rest` holds what came behind its end."""

    done: bool
    rest: bytes

    def feed(self, received: bytes) -> bytes:
        """The payload inside `received`."""
        ...


class LengthBody:
    """A body whose size was announced."""

    __slots__ = ("_missing", "done", "rest")

    def __init__(self, length: int) -> None:
        self._missing = length
        self.done = length == 0
        self.rest = b""

    def feed(self, received: bytes) -> bytes:
        """The payload inside `received`; all of it until the announced size is there."""
        if len(received) < self._missing:
            self._missing -= len(received)
            return received
        payload, self.rest = received[: self._missing], received[self._missing :]
        self._missing, self.done = 0, True
        return payload


class OpenBody:
    """A body that lasts until the peer closes."""

    __slots__ = ("done", "rest")

    def __init__(self) -> None:
        self.done = False
        self.rest = b""

    def feed(self, received: bytes) -> bytes:
        """All of it."""
        return received


class ChunkedBody:
    """A body in chunks; trailers are read and dropped, within a bound."""

    __slots__ = ("_after_data", "_line", "_missing", "_trailer_bytes", "_trailers", "done", "rest")

    def __init__(self, trailer_bytes: int) -> None:
        self._line = b""
        self._missing = 0
        self._after_data = False
        self._trailers = False
        self._trailer_bytes = trailer_bytes
        self.done = False
        self.rest = b""

    def feed(self, received: bytes) -> bytes:
        """The payload inside `received`.

        Raises:
            BrokenReplyError: the chunks are malformed, or their lines or trailers too long.
        """
        if not (self._missing or self._line or self._after_data or self._trailers):
            # The hot path: segments that hold exactly one chunk, or exactly the last one.
            if received == _LAST_CHUNK:
                self.done = True
                return b""
            start = CHUNK_START.match(received)
            if start is not None:
                begin, end = start.end(), start.end() + int(start[1], 16)
                if end + 2 == len(received) and received.endswith(b"\r\n"):
                    self.done = begin == end
                    return received[begin:end]
        return self._feed_slowly(received)

    def _feed_slowly(self, received: bytes) -> bytes:
        pieces: list[bytes] = []
        at, size = 0, len(received)
        while at < size and not self.done:
            if self._missing:
                piece = received[at : at + self._missing]
                pieces.append(piece)
                at += len(piece)
                self._missing -= len(piece)
                self._after_data = self._missing == 0
                continue
            end = received.find(b"\n", at)
            self._line += received[at:] if end < 0 else received[at : end + 1]
            if len(self._line) > _CHUNK_LINE_BYTES:
                raise BrokenReplyError(Reason.MALFORMED_HTTP, "a chunk's line is too long")
            if end < 0:
                break
            at = end + 1
            self._end_line()
        if self.done:
            self.rest = received[at:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _end_line(self) -> None:
        line, self._line = self._line, b""
        if not line.endswith(b"\r\n"):
            raise BrokenReplyError(Reason.MALFORMED_HTTP, "a chunk's line ends in a bare LF")
        if self._after_data:
            if line != b"\r\n":
                raise BrokenReplyError(Reason.MALFORMED_HTTP, "a chunk longer than it announced")
            self._after_data = False
        elif self._trailers:
            self._trailer_bytes -= len(line)
            if self._trailer_bytes < 0:
                raise BrokenReplyError(Reason.HEADER_TOO_LARGE, "trailers without end")
            self.done = line == b"\r\n"
        else:
            match = _CHUNK_SIZE.fullmatch(line[:-2])
            if match is None:
                raise BrokenReplyError(Reason.MALFORMED_HTTP, "a chunk without a size")
            self._missing = int(match[1], 16)
            self._trailers = self._missing == 0
