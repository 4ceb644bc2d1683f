"""Requests written exactly as somebody wants them, right or wrong, and what is heard in return.

For agents that misbehave on purpose: nothing here corrects a head, follows a redirect or judges.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from pydantic_core import to_json

from harness.clock import NS_PER_S
from harness.outcome import Reason
from harness.wire.arrival import Arrival, KnownHead, decode_event
from harness.wire.connection import Connection
from harness.wire.endpoint import Endpoint
from harness.wire.heads import checked_authorization
from harness.wire.jsonrpc import decode
from harness.wire.limits import MIB, Limits
from harness.wire.pool import Pool, Unconnected, dial

EVENTS_KEPT_MAX: Final = 200
EVENT_KEPT_BYTES: Final = 4096
# An odd request is owed a short answer: who sends more is cut off.
LIMITS: Final = Limits(event_bytes=4 * MIB, body_bytes=4 * MIB, events_max=10_000, hang_grace_s=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """What came back to one request; `status` is 0 where nothing did, and `reason` says why."""

    reason: Reason = Reason.NONE
    detail: str = ""
    status: int = 0
    code: int = 0  # of a JSON-RPC error; 0 where there was none
    error: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    session_id: str = ""
    challenge: str = ""
    events: tuple[bytes, ...] = ()  # of a stream, cut short
    last_event_id: str = ""
    sent_ns: int = 0
    done_ns: int = 0

    @property
    def served(self) -> bool:
        """Whether it was answered with a result, or with a stream that carried something."""
        return self.status == 200 and self.code == 0 and (self.result is not None or self.carried)  # noqa: PLR2004

    @property
    def carried(self) -> bool:
        """Whether a stream brought a message."""
        return any(self.events)

    @property
    def words(self) -> str:
        """It in a few words, for people."""
        if not self.status:
            return self.reason.name.lower().replace("_", " ")
        said = "" if self.error is None else f", error {self.code}"
        return f"HTTP {self.status}{said}"


class Mouth:
    """Sends what it is given to one endpoint; a context manager that leaves no connection."""

    def __init__(self, endpoint: Endpoint, now_ns: Callable[[], int]) -> None:
        """Nothing is connected before the first request."""
        self.endpoint = endpoint
        self._now_ns = now_ns
        self._pool = _Ears(endpoint, now_ns)
        self._next_id = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._pool.drop(reset=False)

    async def post(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        headers: Mapping[str, str | None] | None = None,
        limit_s: float,
        notification: bool = False,
    ) -> Heard:
        """Send one JSON-RPC message; `headers` replace ours by name, None leaves one out."""
        message: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
        if not notification:
            message["id"], self._next_id = self._next_id, self._next_id + 1
        if params is not None:
            message["params"] = params
        return await self.ask("POST", headers=headers, body=to_json(message), limit_s=limit_s)

    async def ask(
        self,
        method: str,
        *,
        headers: Mapping[str, str | None] | None = None,
        body: bytes = b"",
        path: str = "",
        limit_s: float,
    ) -> Heard:
        """Send one request and hear it out, for `limit_s` at most; never raises for the server.

        A stream is heard until it ended, the time is over or, after a POST, a response came on it.
        """
        request = render(self.endpoint, method, path, headers or {}, body)
        deadline_ns = self._now_ns() + round(limit_s * NS_PER_S)
        connection = self._pool.take() or await self._pool.connect(deadline_ns)
        if isinstance(connection, Unconnected):
            return Heard(reason=connection.reason, detail=connection.detail)
        self._pool.heard[connection] = kept = _Kept(until_response=method == "POST")
        try:
            arrival = await connection.send(0, request, deadline_ns)
        except BaseException:
            connection.abort()
            raise
        finally:
            self._pool.heard.pop(connection, None)
        self._pool.give_back(connection)
        return _read(arrival, kept.events)


@dataclass(slots=True)
class _Kept:
    """The events of one reply."""

    until_response: bool
    events: list[bytes] = field(default_factory=list)


class _Ears(Pool):
    """Connections that keep the events of their streams, whatever they are."""

    __slots__ = ("heard",)

    def __init__(self, endpoint: Endpoint, now_ns: Callable[[], int]) -> None:
        super().__init__(endpoint, now_ns, LIMITS, _ignore, _ignore)
        self.heard: dict[Connection, _Kept] = {}

    async def connect(self, deadline_ns: int) -> Connection | Unconnected:
        connection = _Reader(self, asyncio.get_running_loop())
        failure = await dial(connection, self._endpoint, self, deadline_ns)
        if failure is not None:
            return failure
        self._open.append(connection)
        return connection

    def take_event(self, arrival: Arrival, data: bytes, now_ns: int) -> None:
        message = decode_event(data) if data else None
        kept = next((k for c, k in self.heard.items() if c.arrival is arrival), None)
        if kept is None:
            return
        if len(kept.events) < EVENTS_KEPT_MAX:
            kept.events.append(data[:EVENT_KEPT_BYTES])
        answers = isinstance(message, dict) and ("result" in message or "error" in message)
        if answers and kept.until_response and arrival.message is None:
            arrival.message, arrival.done_ns = message, now_ns


class _Reader(Connection):
    """A connection that reads every stream piece by piece: the short way forgets event ids."""

    __slots__ = ()

    def __init__(self, owner: Pool, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(owner, loop)
        self._known_head = _Unlearned()


class _Unlearned(KnownHead):
    __slots__ = ()

    def learn(self, data: bytes) -> bool:
        del data
        return False


def render(
    endpoint: Endpoint,
    method: str,
    path: str,
    headers: Mapping[str, str | None],
    body: bytes,
) -> bytes:
    """Give the bytes of a request; `headers` replace the usual ones by name, whatever their case.

    Raises:
        ValueError: a header's value would break the head apart.
    """
    lines: dict[str, str | None] = {"host": endpoint.authority, "user-agent": "squall"}
    if method == "POST":
        lines["accept"] = "application/json, text/event-stream"
        lines["content-type"] = "application/json"
        lines["content-length"] = str(len(body))
    elif method == "GET":
        lines["accept"] = "text/event-stream"
    lines |= {name.lower(): value for name, value in headers.items()}
    head = [f"{method} {path or endpoint.path} HTTP/1.1".encode("ascii")]
    for name, value in lines.items():
        if value is not None:
            checked = checked_authorization(value.encode("latin-1"))
            head.append(b"%b: %b" % (name.title().encode("ascii"), checked))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def _read(arrival: Arrival, events: list[bytes]) -> Heard:
    head, sse = arrival.head, arrival.sse
    message: Any = arrival.message
    if message is None and arrival.body:
        try:
            message = decode(bytes(arrival.body))
        except ValueError:
            message = None  # a page of HTML, say: the status is all it has to tell
    error = message.get("error") if isinstance(message, dict) else None
    result = message.get("result") if isinstance(message, dict) else None
    code = error.get("code") if isinstance(error, dict) else 0
    return Heard(
        reason=arrival.reason,
        detail=arrival.detail,
        status=head.status if head is not None else 0,
        code=code if isinstance(code, int) else 0,
        error=error if isinstance(error, dict) else None,
        result=result if isinstance(result, dict) else None,
        session_id=head.session_id if head is not None else "",
        challenge=head.challenge if head is not None else "",
        events=tuple(events),
        last_event_id=_last_id(sse.last_id if sse is not None else b""),
        sent_ns=arrival.sent_ns,
        done_ns=max(arrival.done_ns, arrival.ended_ns),
    )


def _last_id(last_id: bytes) -> str:
    """An event id that a header can carry; there is no asking for another."""
    text = last_id.decode("latin-1")
    return text if text.isprintable() else ""


def _ignore(message: dict[str, Any]) -> None:
    del message
