"""The one value that the wire hands back for everything it sends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.outcome import EndedBy, Outcome, Reason

NO_TIME = -1


@dataclass(slots=True)
class Reply:
    """What came of one request: stamps in run nanoseconds, sizes in bytes, the decoded result.

    `sent_ns` is taken right before the first byte is written, `first_ns` at the first byte of the
    reply, or of its first event where it is a stream that has one, `done_ns` at the segment that
    completed it; each is -1 when it never happened.
    `result` is the JSON-RPC `result`, `error` the JSON-RPC `error` object; both None otherwise.
    `detail` is a short sentence for people and never holds a credential.
    """

    outcome: Outcome
    reason: Reason = Reason.NONE
    status: int = 0
    result: Any = None
    error: dict[str, Any] | None = None
    sent_ns: int = NO_TIME
    first_ns: int = NO_TIME
    done_ns: int = NO_TIME
    request_bytes: int = 0
    reply_bytes: int = 0
    ended_by: EndedBy = EndedBy.REPLY
    challenge: str = ""  # the WWW-Authenticate header, when there was one
    retry_after: str = ""  # the Retry-After header, when there was one
    resumed: int = 0  # how often the reply's stream was resumed with Last-Event-ID
    detail: str = ""
    session_id: str = ""  # the Mcp-Session-Id header, when there was one
    broken_ns: int = NO_TIME  # when the connection broke under the call
