"""One reply as it arrives: whole in one segment, which is the hot path, or in pieces."""

from __future__ import annotations

from typing import Any, Final, Protocol

from harness.outcome import Reason
from harness.wire.http import (
    CACHED_HEAD_BYTES,
    CHUNK_START,
    Body,
    BrokenReplyError,
    ChunkedBody,
    Head,
    Kind,
    LengthBody,
    OpenBody,
    parse_head,
    parse_small_head,
)
from harness.wire.jsonrpc import CallId, decode
from harness.wire.limits import Limits
from harness.wire.reply import NO_TIME
from harness.wire.sse import SseParser, plain_event

FINAL_STATUS: Final = 200
REFUSAL_STATUS: Final = 300
INTERIM_HEADS_MAX: Final = 16
_SWITCHING = 101
_OK_LINE = b"HTTP/1.1 200"
_LAST_CHUNK = b"\r\n0\r\n\r\n"
# Names for the hot path: a member of an enumeration costs three look-ups each time.
_NONE = Reason.NONE
_SSE = Kind.SSE


def decode_event(data: bytes) -> Any:
    """The JSON of one event.

    Raises:
        BrokenReplyError: it is none.
    """
    try:
        return decode(data)
    except ValueError as error:
        raise BrokenReplyError(Reason.MALFORMED_JSON, f"in an event: {error}") from error


class EventTaker(Protocol):
    """Who reads the events of a reply's stream."""

    def take_event(self, arrival: Arrival, data: bytes, now_ns: int) -> None:
        """Read one event; put `message` and `done_ns` on the arrival when it is the reply.

        Raises:
            BrokenReplyError: the event breaks JSON or JSON-RPC.
        """
        ...


class Arrival:
    """What has come of the reply to one request.

    `reason` is NONE while nothing is wrong; `head` is None until one came. A JSON reply lies in
    `body`, as does the only event of a stream that came whole; of any other stream, `message`
    is the decoded reply. Stamps are run nanoseconds, -1 for what has not happened.
    """

    __slots__ = (
        "body", "call_id", "detail", "done_ns", "ended_ns", "first_ns", "head", "message",
        "pieces", "reason", "reply_bytes", "sent_ns",
    )  # fmt: skip

    def __init__(self, call_id: CallId) -> None:
        self.call_id = call_id
        self.head: Head | None = None
        self.body: bytes | bytearray = b""
        self.message: dict[str, Any] | None = None
        self.pieces: Pieces | None = None
        self.reason = _NONE
        self.detail = ""
        self.sent_ns = self.first_ns = self.done_ns = self.ended_ns = NO_TIME
        self.reply_bytes = 0

    @property
    def sse(self) -> SseParser | None:
        """The reply's stream, when it is one that came in pieces."""
        return None if self.pieces is None else self.pieces.sse

    @property
    def whole_stream(self) -> bool:
        """Whether this is a stream that came whole in one segment."""
        return self.pieces is None and self.head is not None and self.head.kind is _SSE

    @property
    def partial(self) -> bool:
        """Whether some of a reply is here but not all; comments and bare heads do not count."""
        pieces = self.pieces
        in_event = pieces is not None and pieces.sse is not None and pieces.sse.in_event
        return bool(self.body or in_event or (pieces is not None and pieces.pending))

    def take_whole(self, data: bytes, now_ns: int, known: KnownHead) -> bool:
        """Read the first segment if it is all of a plain reply; False leaves it to `Pieces`.

        Raises:
            BrokenReplyError: the segment's head is malformed.
        """
        self.first_ns = now_ns
        if not data.startswith(known.raw) and not known.learn(data):
            return False
        if len(data) == known.reply_bytes:
            self.body = data[known.size_bytes :]
        elif known.streams and data.endswith(_LAST_CHUNK):
            event = _only_event(data, known.size_bytes)
            if event is None:
                return False
            self.body = event
        else:
            return False
        self.head = known.head
        self.reply_bytes = len(data)
        self.done_ns = now_ns
        return True


class KnownHead:
    """The last head of a connection: servers repeat theirs, and comparing is cheap.

    `reply_bytes` is how long a plain reply under this head is, -1 where it does not say.
    """

    __slots__ = ("head", "raw", "reply_bytes", "size_bytes", "streams")

    def __init__(self) -> None:
        self.raw = b"\0"  # begins no reply
        self.size_bytes = 1
        self.reply_bytes = -1
        self.streams = False
        self.head = Head()

    def learn(self, data: bytes) -> bool:
        """Read the head that `data` begins with; False when it is not a small and whole 200.

        Raises:
            BrokenReplyError: the head is malformed.
        """
        if not data.startswith(_OK_LINE):
            return False
        end = data.find(b"\r\n\r\n", 0, CACHED_HEAD_BYTES)
        if end < 0:
            return False
        self.head = head = parse_small_head(data[:end])
        self.raw = data[: end + 4]
        self.size_bytes = end + 4
        self.reply_bytes = self.size_bytes + head.length if head.whole else -1
        self.streams = head.kind is _SSE and head.chunked and not head.encoded
        return True


def _only_event(data: bytes, start: int) -> bytes | None:
    """The data of the one event in the one chunk of `data`; None when it is not so simple."""
    chunk = CHUNK_START.match(data, start)
    if chunk is None:
        return None
    begin = chunk.end()
    if begin + int(chunk[1], 16) + len(_LAST_CHUNK) != len(data):
        return None
    lines = data[begin : -len(_LAST_CHUNK)].splitlines()
    if len(lines) == 4 and lines[0].startswith(b"id:"):  # noqa: PLR2004 - with an id before it
        del lines[0]
    event = plain_event(lines)
    # A notification or a server's request is not the reply: the stream must be read as one.
    return None if event is None or b'"method"' in event else event


class Pieces:
    """Reads a reply from segments of any size."""

    __slots__ = (
        "_arrival", "_framer", "_interim_heads", "_limits", "_taker", "behind", "events",
        "other_ids", "pending", "spoke", "sse",
    )  # fmt: skip

    def __init__(self, arrival: Arrival, limits: Limits, taker: EventTaker) -> None:
        self._arrival = arrival
        self._limits = limits
        self._taker = taker
        self._framer: Body | None = None
        self._interim_heads = 0
        self.behind = False  # bytes came behind the end of the reply: nobody knows what they are
        self.pending = b""  # of a head that is not whole
        self.sse: SseParser | None = None
        self.spoke = False  # an event has begun
        self.events = 0
        self.other_ids = 0

    @property
    def until_close(self) -> bool:
        """Whether the peer's close is the end of the body, not a break."""
        return isinstance(self._framer, OpenBody)

    def begin(self, data: bytes, now_ns: int, known: KnownHead) -> bool:
        """`feed` the first segment, whose head need not be read again when it is a known one."""
        head_bytes = known.size_bytes
        if data.startswith(known.raw) and head_bytes <= self._limits.header_bytes:
            self._begin_body(known.head)
            data = data[head_bytes:]
        return self.feed(data, now_ns)

    def feed(self, data: bytes, now_ns: int) -> bool:
        """Read one segment; True when the body has ended with it.

        Raises:
            BrokenReplyError: the bytes break HTTP, SSE, JSON-RPC or a limit.
        """
        while self._framer is None:
            rest = self._read_head(data)
            if rest is None:
                return False
            data = rest
        framer = self._framer
        if not framer.done:
            if data:
                self._read_body(framer, data, now_ns)
            if not framer.done:
                return False
            data = framer.rest
        self.behind = bool(data)
        if self.sse is None:
            self._arrival.done_ns = now_ns
        elif self._arrival.message is None:
            raise BrokenReplyError(Reason.STREAM_ENDED, "")
        return True

    def _read_head(self, data: bytes) -> bytes | None:
        pending = self.pending + data if self.pending else data
        if not pending.startswith(b"HTTP/"[: len(pending)]):
            raise BrokenReplyError(Reason.MALFORMED_HTTP, "the reply does not begin with HTTP/")
        limit = self._limits.header_bytes
        end = pending.find(b"\r\n\r\n")
        if end > limit or (end < 0 and len(pending) > limit):
            raise BrokenReplyError(Reason.HEADER_TOO_LARGE, f"the head is over {limit} bytes")
        if end < 0:
            if b"\n\n" in pending:
                raise BrokenReplyError(Reason.MALFORMED_HTTP, "the head's lines end in bare LF")
            self.pending = pending
            return None
        self.pending = b""
        raw = pending[:end]
        head = parse_small_head(raw) if end <= CACHED_HEAD_BYTES else parse_head(raw)
        if head.status >= FINAL_STATUS:
            self._begin_body(head)
        else:
            self._interim_heads += 1
            if self._interim_heads > INTERIM_HEADS_MAX or head.status == _SWITCHING:
                raise BrokenReplyError(Reason.MALFORMED_HTTP, "interim replies without end")
        rest = pending[end + 4 :]
        return rest if rest or self._framer is not None else None

    def _begin_body(self, head: Head) -> None:
        self._arrival.head = head
        limit = self._limits.body_bytes
        streamed = head.kind is Kind.SSE and head.status < REFUSAL_STATUS
        if head.encoded:
            raise BrokenReplyError(Reason.ENCODED, "a content coding that was not asked for")
        if head.bodiless:
            self._framer = LengthBody(0)
        elif head.chunked:
            self._framer = ChunkedBody(self._limits.header_bytes)
        elif head.length < 0:
            self._framer = OpenBody()
        elif head.length > limit and not streamed:
            raise BrokenReplyError(
                Reason.BODY_TOO_LARGE, f"a body of {head.length} bytes was announced"
            )
        else:
            self._framer = LengthBody(head.length)
        if streamed and not head.bodiless:
            self.sse = SseParser(self._limits.event_bytes)

    def _read_body(self, framer: Body, data: bytes, now_ns: int) -> None:
        payload = framer.feed(data)
        if not payload:
            return
        arrival = self._arrival
        if self.sse is not None:
            events = self.sse.feed(payload)
            if not self.spoke and (events or self.sse.in_event):
                self.spoke = True
                arrival.first_ns = now_ns  # a head alone, or a comment, has said nothing yet
            for event in events:
                self.events += 1
                if self.events > self._limits.events_max:
                    raise BrokenReplyError(
                        Reason.ENDLESS_STREAM, f"over {self._limits.events_max} events and no end"
                    )
                self._taker.take_event(arrival, event, now_ns)
        elif framer.done and not arrival.body:
            arrival.body = payload
        else:
            if isinstance(arrival.body, bytes):
                arrival.body = bytearray()
            arrival.body += payload
        limit = self._limits.body_bytes
        if len(arrival.body) > limit:
            raise BrokenReplyError(Reason.BODY_TOO_LARGE, f"the body is over {limit} bytes")
