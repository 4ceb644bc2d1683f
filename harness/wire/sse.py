"""Server-sent events, read from pieces of any size; CRLF, LF and CR all end a line."""

from __future__ import annotations

from typing import Final

from harness.outcome import Reason
from harness.wire.http import BrokenReplyError

ENDPOINT_BYTES_MAX: Final = 4096
RETRY_MS_MAX: Final = 600_000
_RETRY_DIGITS: Final = 9
_BOM: Final = b"\xef\xbb\xbf"
_EVENT_LINE: Final = b"event: message"
_DATA_START: Final = b"data: "


def plain_event(lines: list[bytes]) -> bytes | None:
    """The data of the one event in `lines` when it has a type, one data line, and nothing else."""
    if (
        len(lines) == 3  # noqa: PLR2004 - type, data, blank
        and lines[0] == _EVENT_LINE
        and lines[1].startswith(_DATA_START)
        and not lines[2]
    ):
        return lines[1][len(_DATA_START) :]
    return None


class SseParser:
    """Turns bytes into the data of `message` events, and remembers what resuming needs.

    `last_id` is the id of the last whole event (empty when none was given), `retry_ms` the last
    reconnection time the server asked for (-1 when it did not), `ignored` events of other types.
    """

    __slots__ = (
        "_begun",
        "_data",
        "_event_bytes",
        "_event_bytes_max",
        "_id",
        "_skip_lf",
        "_tail",
        "_type",
        "endpoint",
        "ignored",
        "last_id",
        "retry_ms",
    )

    def __init__(self, event_bytes_max: int) -> None:
        self._event_bytes_max = event_bytes_max
        self._event_bytes = 0
        self._begun = False
        self._skip_lf = False
        self._tail: bytearray | None = None
        self._data: list[bytes] = []
        self._type = b""
        self._id: bytes | None = None
        self.last_id = b""
        self.retry_ms = -1
        self.ignored = 0
        self.endpoint = b""  # what an `endpoint` event said, which only HTTP+SSE has

    @property
    def in_event(self) -> bool:
        """Whether an event has begun that is not whole yet."""
        return bool(self._data or self._tail)

    def feed(self, received: bytes) -> list[bytes]:
        """The data of every event that `received` completes, in order; empty data is left out.

        Raises:
            BrokenReplyError: one event is larger than the limit.
        """
        if self._skip_lf and received:
            self._skip_lf = False
            if received[0] == 0x0A:  # noqa: PLR2004 - the LF of a CRLF cut in two
                received = received[1:]
        if not received:
            return []
        lines = received.splitlines()
        last = received[-1]
        if last != 0x0A and last != 0x0D:  # noqa: PLR1714, PLR2004 - the hot path
            open_line = lines.pop()
        else:
            open_line = b""
            self._skip_lf = last == 0x0D  # noqa: PLR2004
        if self._tail is not None and lines:
            lines[0] = bytes(self._tail) + lines[0]
            self._tail = None
        if not (self._event_bytes or self._tail or open_line or self._data):
            # The hot path: nothing is open, and this is one whole event of the commonest form.
            event = plain_event(lines)
            if event and len(received) <= self._event_bytes_max:
                self._begun = True
                return [event]
        return self._read_lines(lines, open_line)

    def _read_lines(self, lines: list[bytes], open_line: bytes) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if line:
                self._event_bytes += len(line)
                if self._event_bytes > self._event_bytes_max:
                    raise self._too_large()
                self._take(line)
            else:
                self._dispatch(events)
        if open_line:
            self._keep(open_line)
        return events

    def _keep(self, open_line: bytes) -> None:
        if self._tail is None:
            self._tail = bytearray()
        self._tail += open_line
        if self._event_bytes + len(self._tail) > self._event_bytes_max:
            raise self._too_large()

    def _too_large(self) -> BrokenReplyError:
        self._tail, self._data = None, []
        limit = self._event_bytes_max
        return BrokenReplyError(Reason.EVENT_TOO_LARGE, f"one event is over {limit} bytes")

    def _take(self, line: bytes) -> None:
        if not self._begun:
            self._begun = True
            line = line.removeprefix(_BOM)
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            return
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._type = value
        elif field == b"id":
            if b"\0" not in value:
                self._id = value
        elif field == b"retry":
            if value.isdigit() and len(value) <= _RETRY_DIGITS:
                self.retry_ms = min(int(value), RETRY_MS_MAX)
        elif field == b"data":
            self._data.append(b"")
        elif not field:
            # A comment keeps a connection alive and is part of no event: it must not add up.
            self._event_bytes -= len(line)

    def _dispatch(self, events: list[bytes]) -> None:
        data = self._data
        if self._id is not None:
            self.last_id = self._id
            self._id = None
        if data:
            self._data = []
            if self._type and self._type != b"message":
                self.ignored += 1
                if self._type == b"endpoint":
                    self.endpoint = data[0][:ENDPOINT_BYTES_MAX]
            else:
                whole = data[0] if len(data) == 1 else b"\n".join(data)
                if whole:
                    events.append(whole)
        self._type = b""
        self._event_bytes = 0
