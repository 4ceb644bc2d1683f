"""One agent's MCP client: requests go in as encoded parameters, judged replies come out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import to_json

from harness.clock import NS_PER_S
from harness.outcome import Outcome, Reason
from harness.wire import legacy, modern, negotiate
from harness.wire.answers import Answers
from harness.wire.arrival import Arrival
from harness.wire.connection import LARGE_BYTES
from harness.wire.endpoint import Endpoint
from harness.wire.heads import modern_headers, render_head
from harness.wire.inbox import Inbox
from harness.wire.jsonrpc import (
    CallId,
    decode,
    encode_named,
    encode_notification,
    encode_request,
)
from harness.wire.limits import Limits
from harness.wire.listen import NO_CALL, Listener, Listening
from harness.wire.pool import Pool, Unconnected
from harness.wire.reading import Call, read_reply
from harness.wire.receipts import read_listening, read_receipt, read_unconnected, read_withheld
from harness.wire.reply import Reply
from harness.wire.resume import can_resume, resume_stream, with_last_event_id
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Era
from harness.wire.stats import WireStats

# One for all clients that are told no other: there are thousands.
_LIMITS: Final = Limits()
_NO_URIS: Final[frozenset[str]] = frozenset()
CANCEL_NS: Final = NS_PER_S  # how long a courtesy message after a hang may take


class WireClient:
    """An MCP client over Streamable HTTP for either era; `close` it when done.

    `session_id` is empty while there is no session; `protocol_version` is empty until `open` has
    succeeded, save in the modern era, where every request names it.
    """

    __slots__ = (
        "_answers", "_authorization", "_grace_ns", "_head", "_listen",
        "_listener", "_meta", "_next_id", "_pool", "_resume", "_uris", "agent",
        "endpoint", "era", "inbox", "now_ns", "protocol_version", "revision", "schemas",
        "session_id",
    )  # fmt: skip

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        era: Era,
        now_ns: Callable[[], int],
        limits: Limits | None = None,
        schemas: SchemaBook,
        listen: bool = False,
        resume: bool = True,
        revision: str = "",
        agent: str = "squall",
    ) -> None:
        self.endpoint = endpoint
        self.era: Era = era
        self.now_ns = now_ns
        self.schemas = schemas
        self.revision = revision  # the one to speak; empty lets both sides settle on one
        self.agent = agent
        self.protocol_version = ""
        self.session_id = ""
        limits = limits or _LIMITS
        self.inbox = Inbox()
        self._pool = Pool(endpoint, now_ns, limits, self._answer, self._hear)
        self._grace_ns = int(limits.hang_grace_s * NS_PER_S)
        self._listen = listen
        self._resume = resume
        self._listener: Listener | None = None
        self._uris = _NO_URIS
        self._answers: Answers | None = None
        self._authorization = b""
        self._meta = b""
        self._next_id = 1
        self._head = b""
        self.forget_session()

    # --- credentials and sessions --------------------------------------------------------------

    @property
    def authorization(self) -> bytes:
        """The value of the Authorization header; empty for none."""
        return self._authorization

    @authorization.setter
    def authorization(self, value: bytes) -> None:
        self._authorization = value
        self._render()

    def adopt(self, era: Era, *, version: str, session_id: str = "") -> None:
        """Speak `version` of `era` from now on, inside the session when there is one."""
        self.era = era
        self.protocol_version = version
        self.session_id = session_id
        self._pool.batches = version == legacy.BATCH_VERSION
        if era == "modern":
            declared = self.inbox.rules.declare("modern")
            self._meta = to_json(modern.request_meta(self.agent, modern.VERSION, declared))
        self._render()

    def forget_session(self) -> None:
        """Know no session any more: the next `open` begins a new one without the old id."""
        if self._listener is not None:
            self._listener.stop()
        self.adopt(self.era, version=modern.VERSION if self.era == "modern" else "")

    async def open(self, *, deadline_ns: int) -> Reply:
        """Begin to speak: handshake, discovery, or whichever of the two the server understands.

        Returns the reply that decided; its outcome is OK when the client may be used.
        """
        self.forget_session()
        reply = await negotiate.OPENERS[self.era](self, deadline_ns)
        if reply.outcome is not Outcome.OK:
            self.forget_session()
        elif self.era == "legacy" and self._listen:
            if self._listener is None:
                self._listener = self._make_listener(self._make_get)
            await self._listener.start()
        elif self.era == "modern" and (self._listen or self._uris):
            await self.listen(self._uris, deadline_ns=deadline_ns)
        return reply

    async def close(self, *, deadline_ns: int) -> Reply | None:
        """End the session at the server when there is one, then every connection."""
        if self._listener is not None:
            self._listener.stop()
        reply = None
        if self.session_id:
            head = self._render_for("DELETE", self._authorization) + b"\r\n"
            reply = await self._send_receipted(head, deadline_ns, deadline_ns, also_fine=(405,))
        self.forget_session()
        if self._answers is not None:
            self._answers.cancel()
        self._pool.drop(reset=False)
        return reply

    def drop_connections(self) -> None:
        """Reset every socket at once; the session itself stays known."""
        self._pool.drop(reset=True)
        if self._listener is not None:
            self._listener.drop(reset=True)

    # --- messages ------------------------------------------------------------------------------

    @property
    def next_id(self) -> int:
        """The id of the next request, if nothing is awaited before it is made."""
        return self._next_id

    @property
    def cancels_by_close(self) -> bool:
        """Whether a request is cancelled by leaving it, as over HTTP in the modern era."""
        return self.era == "modern"

    async def request(  # noqa: C901  the hot path's branches are not calls
        self,
        method: str,
        params: bytes,
        *,
        name: str = "",
        deadline_ns: int,
        authorization: bytes | None = None,
        lose_reply: bool = False,
        vanish_after_ns: int | None = None,
        headers: bytes = b"",
        call_id: CallId | None = None,
    ) -> Reply:
        """Send one request and give what came of it; never raises for what a server may do.

        `params` is an encoded JSON object. `authorization` overrides the client's for this one
        request (empty sends none), `headers` are further lines, each ended by CRLF.
        `vanish_after_ns` counts from the moment of sending. `call_id` is one that misbehaves:
        0, empty, or another request's.

        Raises:
            ValueError: an authorization holds control characters.
        """
        number = self._next_id
        self._next_id = number + 1
        head = self._head
        if authorization is not None:
            head = self._render_for("POST", authorization)
        if self.era == "modern":
            params, headers = self._dress(method, params, name, headers)
        if call_id is None:
            call_id, body = number, encode_request(number, method, params)
        else:
            body = encode_named(call_id, method, params)
        request = b"%b%bContent-Length: %d\r\n\r\n%b" % (head, headers, len(body), body)
        expires_ns, pool = deadline_ns + self._grace_ns, self._pool
        call = Call(call_id, method, name, deadline_ns, len(request), pool.batches)
        connection = pool.take()
        if connection is None:
            fresh = await pool.connect(deadline_ns)
            if isinstance(fresh, Unconnected):
                return read_unconnected(fresh)
            connection = fresh
        try:
            if vanish_after_ns is not None:
                connection.vanish_later(vanish_after_ns)
            if len(request) <= LARGE_BYTES:
                arrival = await connection.send(call_id, request, expires_ns)
            else:
                arrival = await (await connection.send_large(call_id, request, expires_ns))
        except BaseException:
            # The agent gave up. In the modern era the close is the cancel.
            connection.abort()
            raise
        if arrival.reason:
            pool.give_back(connection)
            return await self._read_broken(arrival, call, expires_ns, lose_reply=lose_reply)
        reply = read_reply(arrival, call, self.schemas)
        if lose_reply:
            connection.abort(reset=True)
            return read_withheld(reply)
        pool.give_back(connection)
        return reply

    def render(self, method: str, params: bytes, *, name: str = "") -> bytes:
        """The bytes of one request, for whoever sends it over a connection of its own."""
        headers, number = b"", self._next_id
        self._next_id = number + 1
        if self.era == "modern":
            params, headers = self._dress(method, params, name, headers)
        body = encode_request(number, method, params)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (self._head, headers, len(body), body)

    async def notify(self, method: str, params: bytes, *, deadline_ns: int) -> Reply:
        """Send one notification; OK when the server took it."""
        headers = b""
        if self.era == "modern":
            params, headers = self._dress(method, params, "", headers)
        body = encode_notification(method, params)
        return await self._post(body, headers, deadline_ns, deadline_ns + self._grace_ns)

    async def listen(self, uris: frozenset[str], *, deadline_ns: int) -> Reply:
        """Hear of changed lists and of updates at `uris` from now on, in the modern era.

        OK once the server has acknowledged it; the stream before it ends only then.
        """
        before, self._uris = self._listener, uris
        self._listener = listener = self._make_listener(self._make_listen)
        if before is not None:
            listener.take_over(before)
        sent_ns = self.now_ns()
        acknowledged = await listener.listen()
        left_s = max(0, deadline_ns - self.now_ns()) / NS_PER_S
        await asyncio.wait({acknowledged}, timeout=left_s)
        if before is not None:
            before.stop()
        return read_listening(acknowledged, modern.LISTEN, sent_ns, self.now_ns(), self.schemas)

    @property
    def stats(self) -> WireStats:
        """The counters as they stand."""
        pool, listener = self._pool, self._listener
        return WireStats(
            connections_opened=pool.connections_opened,
            bytes_in=pool.bytes_in + (listener.bytes_in if listener else 0),
            bytes_out=pool.bytes_out + (listener.bytes_out if listener else 0),
            foreign_messages=pool.foreign_messages,
            duplicate_replies=pool.duplicate_replies,
            server_requests=self.inbox.requests,
            streams_left_open=pool.streams_left_open,
            listening=listener.state if listener else Listening.OFF,
            listen_messages=listener.messages if listener else 0,
            listen_reconnects=listener.reconnects if listener else 0,
        )

    # --- inside --------------------------------------------------------------------------------

    async def _read_broken(
        self, broken: Arrival, call: Call, expires_ns: int, *, lose_reply: bool
    ) -> Reply:
        last, resumed = broken, 0
        if self._resume and self.era == "legacy" and can_resume(broken):
            sent_ns, first_ns = broken.sent_ns, broken.first_ns
            last, resumed = await resume_stream(
                broken, call, expires_ns, self._pool, self._render_get
            )
            last.sent_ns, last.first_ns = sent_ns, first_ns
        reply = read_reply(last, call, self.schemas)
        reply.resumed = resumed
        if lose_reply and not last.reason:
            self._pool.drop(reset=True)
            return read_withheld(reply)
        if last.reason is Reason.HANG and self.era == "legacy" and call.method != legacy.INITIALIZE:
            await self._cancel(call.call_id)
        return reply

    async def _cancel(self, call_id: CallId) -> None:
        params = to_json({"requestId": call_id, "reason": "no reply by the deadline"})
        limit_ns = self.now_ns() + CANCEL_NS
        await self._post(encode_notification(legacy.CANCELLED, params), b"", limit_ns, limit_ns)

    async def _post(self, body: bytes, headers: bytes, deadline_ns: int, expires_ns: int) -> Reply:
        head = b"%b%bContent-Length: %d\r\n\r\n" % (self._head, headers, len(body))
        return await self._send_receipted(head + body, deadline_ns, expires_ns)

    async def _send_receipted(
        self, request: bytes, deadline_ns: int, expires_ns: int, *, also_fine: tuple[int, ...] = ()
    ) -> Reply:
        call = Call(0, "", "", deadline_ns, len(request))
        connection = self._pool.take() or await self._pool.connect(deadline_ns)
        if isinstance(connection, Unconnected):
            return read_unconnected(connection)
        try:
            arrival = await connection.send(0, request, expires_ns)
        except BaseException:
            connection.abort()
            raise
        self._pool.give_back(connection)
        return read_receipt(arrival, call, also_fine=also_fine)

    def _dress(self, method: str, params: bytes, name: str, headers: bytes) -> tuple[bytes, bytes]:
        headers = modern_headers(method, name) + headers
        if method == "tools/call" and self.schemas.asks_headers(name):
            arguments = decode(params).get("arguments") or {}
            headers += self.schemas.param_headers(name, arguments)
        return modern.add_meta(params, self._meta), headers

    def _answer(self, request: dict[str, Any]) -> None:
        if self.era != "legacy":  # the modern era has no server requests: counted, and left alone
            self.inbox.drop_request()
            return
        if self._answers is None:
            self._answers = Answers(self._post_answer, self.now_ns)
        self._answers.take(request, self.inbox)

    async def _post_answer(self, body: bytes) -> Reply:
        limit_ns = self.now_ns() + self._grace_ns
        return await self._post(body, b"", limit_ns, limit_ns)

    def _hear(self, notification: dict[str, Any]) -> None:
        self.inbox.hear(notification)

    def _make_listener(self, make_request: Callable[[bytes], tuple[int, bytes]]) -> Listener:
        return Listener(
            self.endpoint,
            self._pool,
            resume=self._resume,
            make_request=make_request,
            counts=self.inbox.counts,
        )

    def _make_get(self, last_id: bytes) -> tuple[int, bytes]:
        return NO_CALL, with_last_event_id(self._render_get(), last_id)

    def _make_listen(self, _: bytes) -> tuple[int, bytes]:
        call_id = self._next_id
        self._next_id = call_id + 1
        params, headers = self._dress(modern.LISTEN, modern.listen_params(self._uris), "", b"")
        body = encode_request(call_id, modern.LISTEN, params)
        head = b"%b%bContent-Length: %d\r\n\r\n" % (self._head, headers, len(body))
        return call_id, head + body

    def _render(self) -> None:
        self._head = self._render_for("POST", self._authorization)

    def _render_get(self) -> bytes:
        return self._render_for("GET", self._authorization)

    def _render_for(self, method: str, authorization: bytes) -> bytes:
        version = self.protocol_version
        return render_head(
            method,
            self.endpoint,
            authorization=authorization,
            session_id=self.session_id,
            protocol_version=version if version >= legacy.HEADER_SINCE else "",
        )
