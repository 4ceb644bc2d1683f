"""One agent's MCP client over HTTP+SSE, as of 2024-11-05: one stream, and POSTs beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from pydantic_core import to_json

from harness.clock import NS_PER_S
from harness.outcome import EndedBy, Outcome, Reason
from harness.wire import legacy
from harness.wire.answers import Answers
from harness.wire.arrival import REFUSAL_STATUS, Arrival
from harness.wire.awaited import Awaited
from harness.wire.connection import LARGE_BYTES, Connection
from harness.wire.endpoint import Endpoint
from harness.wire.heads import render_head
from harness.wire.http import BrokenReplyError, Head, Kind
from harness.wire.inbox import Inbox
from harness.wire.jsonrpc import Sort, encode_notification, encode_request, sort_message
from harness.wire.limits import Limits
from harness.wire.listen import Listening
from harness.wire.negotiate import refuse_version
from harness.wire.pool import Pool, Unconnected
from harness.wire.reading import Call, read_reply
from harness.wire.receipts import read_receipt, read_unconnected, read_withheld
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Era
from harness.wire.sse_stream import NO_CALL, EventStream
from harness.wire.stats import WireStats

OFFERED_VERSION: Final = "2024-11-05"  # the only revision that specifies this transport
CANCEL_NS: Final = NS_PER_S  # how long a courtesy message after a hang may take
_STREAMED: Final = Head(status=200, kind=Kind.SSE)


class SseClient:
    """An MCP client over HTTP+SSE; `close` it when done.

    The stream is the session: when it breaks, what was in flight fails for the stream's reason, and
    what is asked after that is never sent (`STREAM_LOST`) until a session is opened anew.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        now_ns: Callable[[], int],
        schemas: SchemaBook,
        limits: Limits | None = None,
        revision: str = "",
        agent: str = "squall",
    ) -> None:
        self.era: Era = "legacy"
        self.endpoint = endpoint
        self.now_ns = now_ns
        self.schemas = schemas
        self.revision = revision
        self.agent = agent
        self.inbox = Inbox()
        self.protocol_version = ""
        self.session_id = ""
        limits = limits or Limits()
        self._grace_ns = int(limits.hang_grace_s * NS_PER_S)
        # A POST's own reply is a receipt: what it might stream is not for us.
        self._pool = Pool(endpoint, now_ns, limits, lambda _: None, lambda _: None)
        self._stream: EventStream | None = None
        self._answers = Answers(self._post_answer, now_ns)
        self._waiting: dict[int, Awaited] = {}
        self._authorization = b""
        self._next_id = 1
        self._lives = 0
        self._strays = self._duplicates = self._foreign = 0

    # --- credentials and sessions --------------------------------------------------------------

    @property
    def authorization(self) -> bytes:
        """The value of the Authorization header; empty for none."""
        return self._authorization

    @authorization.setter
    def authorization(self, value: bytes) -> None:
        self._authorization = value

    @property
    def next_id(self) -> int:
        """The id of the next request, if nothing is awaited before it is made."""
        return self._next_id

    @property
    def cancels_by_close(self) -> bool:
        """Never: what a server does for a call does not end with the POST."""
        return False

    def forget_session(self) -> None:
        """Know no session any more: the stream ends, and the next `open` asks for another."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.stop()
            self._pool.bytes_in += stream.bytes_in
            self._pool.bytes_out += stream.bytes_out
        self._fail_all(Reason.STREAM_ENDED, "the session was given up")
        self.session_id = self.protocol_version = ""

    async def open(self, *, deadline_ns: int) -> Reply:
        """Ask for a stream, learn where messages go, and shake hands."""
        self.forget_session()
        self._stream = stream = EventStream(self.endpoint, self._pool, self)
        failed = await stream.open(self._head("GET", self.endpoint), deadline_ns)
        reply: Reply
        if isinstance(failed, Unconnected):
            reply = read_unconnected(failed)
        elif failed is not None:
            reply = read_reply(failed, Call(NO_CALL, "", "", deadline_ns, 0), self.schemas)
            if failed.reason is Reason.NO_ENDPOINT:
                reply.outcome, reply.reason = Outcome.HANG, Reason.NO_ENDPOINT
                reply.ended_by = EndedBy.DEADLINE
        else:
            reply = await self._shake_hands(deadline_ns)
        if reply.outcome is not Outcome.OK:
            self.forget_session()
        return reply

    async def _shake_hands(self, deadline_ns: int) -> Reply:
        declared = self.inbox.rules.declare("legacy")
        version = self.revision or OFFERED_VERSION
        offered = to_json(legacy.initialize_params(self.agent, declared, version))
        reply = await self.request(legacy.INITIALIZE, offered, deadline_ns=deadline_ns)
        if reply.outcome is not Outcome.OK:
            return reply
        version = reply.result["protocolVersion"]
        if version != (self.revision or version) or version not in legacy.VERSIONS:
            refuse_version(reply, version, self.revision)
            return reply
        self.protocol_version = version
        receipt = await self.notify(legacy.INITIALIZED, b"", deadline_ns=deadline_ns)
        stream = self._stream
        if receipt.outcome is not Outcome.OK:
            return receipt
        if stream is None or stream.where is None or not stream.up:
            return _stream_lost()
        stream.batches = version <= legacy.BATCH_VERSION
        self._lives += 1
        # Not every server gives each session a place of its own.
        self.session_id = f"{stream.where.path} ({self._lives})"
        return reply

    async def close(self, *, deadline_ns: int) -> Reply | None:
        """End the stream, which ends the session, then every connection."""
        del deadline_ns  # there is nothing to be said
        self._answers.cancel()
        self.forget_session()
        self._pool.drop(reset=False)
        return None

    def drop_connections(self) -> None:
        """Reset every socket at once, and the session with them."""
        self._pool.drop(reset=True)
        if self._stream is not None:
            self._stream.break_off()

    # --- messages ------------------------------------------------------------------------------

    async def request(
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
    ) -> Reply:
        """Send one request and give what came of it; never raises for what a server may do.

        A client that vanishes cuts the POST and waits no longer; the stream goes on.

        Raises:
            ValueError: an authorization holds control characters.
        """
        stream = self._stream
        if stream is None or stream.where is None or not stream.up:
            return _stream_lost()
        call_id = self._next_id
        self._next_id = call_id + 1
        body = encode_request(call_id, method, params)
        head = self._post_head(stream.where, body, headers, authorization)
        call = Call(call_id, method, name, deadline_ns, len(head) + len(body))
        loop = asyncio.get_running_loop()
        waiting = self._waiting[call_id] = Awaited(call_id, self._strays, loop)
        timers: list[asyncio.TimerHandle] = []
        try:
            failure = await self._send(waiting, head + body, deadline_ns)
            if failure is not None:
                return failure
            left_s = (deadline_ns + self._grace_ns - self.now_ns()) / NS_PER_S
            timers.append(loop.call_later(max(0.0, left_s), self._give_up, waiting, Reason.HANG))
            if vanish_after_ns is not None:
                after_s = vanish_after_ns / NS_PER_S
                timers.append(loop.call_later(after_s, self._give_up, waiting, Reason.VANISHED))
            arrival = await waiting.done
        except BaseException:  # the agent gave up
            waiting.fail(Reason.VANISHED, "", self.now_ns())
            raise
        finally:
            del self._waiting[call_id]
            for timer in timers:
                timer.cancel()
        return await self._read(arrival, call, stream, lose_reply=lose_reply)

    async def notify(self, method: str, params: bytes, *, deadline_ns: int) -> Reply:
        """Send one notification; OK when the server took it."""
        return await self._post(encode_notification(method, params), deadline_ns, self._grace_ns)

    async def listen(self, uris: frozenset[str], *, deadline_ns: int) -> Reply:
        """There is nothing to ask for: whatever the server says comes on the one stream."""
        del uris, deadline_ns
        return Reply(Outcome.OK) if self._stream is not None and self._stream.up else _stream_lost()

    @property
    def stats(self) -> WireStats:
        """The counters as they stand."""
        pool, stream = self._pool, self._stream
        return WireStats(
            connections_opened=pool.connections_opened,
            bytes_in=pool.bytes_in + (stream.bytes_in if stream else 0),
            bytes_out=pool.bytes_out + (stream.bytes_out if stream else 0),
            foreign_messages=self._foreign + self._strays,
            duplicate_replies=self._duplicates,
            server_requests=self.inbox.requests,
            streams_left_open=pool.streams_left_open,
            listening=Listening.OFF if stream is None else _STATES[stream.up],
            listen_messages=stream.messages if stream else 0,
            listen_reconnects=0,
        )

    # --- what the stream brings ----------------------------------------------------------------

    def take_message(self, message: Any, size_bytes: int, now_ns: int) -> None:
        """Give a response to whoever waits for it; hear or answer the rest.

        Raises:
            BrokenReplyError: it is no JSON-RPC.
        """
        sort = sort_message(message, NO_CALL)
        if sort is Sort.BROKEN:
            raise BrokenReplyError(Reason.NOT_JSONRPC, "an event that is no JSON-RPC 2.0 message")
        if sort is Sort.REQUEST:
            self._foreign += 1
            self._answers.take(message, self.inbox)
        elif sort is Sort.NOTIFICATION:
            self._foreign += 1
            self.inbox.hear(message)
        else:
            self._take_response(message, size_bytes, now_ns)

    def _take_response(self, message: dict[str, Any], size_bytes: int, now_ns: int) -> None:
        answered = message.get("id")
        if answered is None and len(self._waiting) == 1:
            (answered,) = self._waiting  # whose else could it be that the server could not read
        known = type(answered) is int and 0 < answered < self._next_id
        waiting = self._waiting.get(answered) if known and answered is not None else None
        if waiting is None or waiting.done.done():
            if known:
                self._duplicates += 1  # or late: its call has ended
            else:
                self._strays += 1
            return
        arrival = waiting.arrival
        arrival.head, arrival.message = _STREAMED, message
        arrival.first_ns = arrival.done_ns = now_ns
        arrival.reply_bytes = size_bytes
        waiting.resolve(arrival)

    def take_end(self, arrival: Arrival) -> None:
        """The stream is over: nothing that is in flight will be answered."""
        self._fail_all(arrival.reason or Reason.STREAM_ENDED, arrival.detail)

    # --- inside --------------------------------------------------------------------------------

    def _fail_all(self, reason: Reason, detail: str) -> None:
        now_ns = self.now_ns()
        for waiting in tuple(self._waiting.values()):
            if reason is Reason.STREAM_ENDED and self._strays > waiting.strays:
                strange = "the stream ended with responses to ids that nobody had sent only"
                waiting.fail(Reason.WRONG_ID, strange, now_ns)
            else:
                waiting.fail(reason, detail, now_ns)

    def _give_up(self, waiting: Awaited, reason: Reason) -> None:
        waiting.fail(reason, "", self.now_ns())

    async def _send(self, waiting: Awaited, request: bytes, deadline_ns: int) -> Reply | None:
        """Post a request; the reply that says so when there was no connection for it."""
        connection = self._pool.take() or await self._pool.connect(deadline_ns)
        if isinstance(connection, Unconnected):
            return read_unconnected(connection)
        if waiting.done.done():  # the stream broke meanwhile
            self._pool.give_back(connection)
            return _stream_lost()
        waiting.connection = connection
        call_id, expires_ns = waiting.arrival.call_id, deadline_ns + self._grace_ns
        waiting.arrival.sent_ns = self.now_ns()
        if len(request) <= LARGE_BYTES:
            done = connection.send(call_id, request, expires_ns)
        else:
            done = await connection.send_large(call_id, request, expires_ns)
        waiting.arrival.sent_ns = connection.arrival.sent_ns
        done.add_done_callback(partial(self._posted, waiting, connection))
        return None

    def _posted(
        self, waiting: Awaited, connection: Connection, done: asyncio.Future[Arrival]
    ) -> None:
        """The server has taken the request, or has refused it, or has gone."""
        waiting.connection = None
        self._pool.give_back(connection)
        arrival = done.result()
        taken = arrival.head is not None and arrival.head.status < REFUSAL_STATUS
        if not taken or arrival.reason not in (Reason.NONE, Reason.STREAM_ENDED):
            waiting.resolve(arrival)

    async def _read(
        self, arrival: Arrival, call: Call, stream: EventStream, *, lose_reply: bool
    ) -> Reply:
        reply = read_reply(arrival, call, self.schemas)
        if lose_reply and not arrival.reason:
            return read_withheld(reply)
        if arrival.reason is Reason.HANG:
            if stream.in_event and len(self._waiting) == 0:
                reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.DEADLINE
                reply.detail = "a reply was still trickling in"
            if call.method != legacy.INITIALIZE:
                said = {"requestId": call.call_id, "reason": "no reply by the deadline"}
                body = encode_notification(legacy.CANCELLED, to_json(said))
                await self._post(body, self.now_ns() + CANCEL_NS, 0)
        return reply

    async def _post_answer(self, body: bytes) -> Reply:
        return await self._post(body, self.now_ns() + self._grace_ns, 0)

    async def _post(self, body: bytes, deadline_ns: int, grace_ns: int) -> Reply:
        """Post what has no response; the receipt."""
        stream = self._stream
        if stream is None or stream.where is None or not stream.up:
            return _stream_lost()
        request = self._post_head(stream.where, body, b"", None) + body
        connection = self._pool.take() or await self._pool.connect(deadline_ns)
        if isinstance(connection, Unconnected):
            return read_unconnected(connection)
        try:
            arrival = await connection.send(0, request, deadline_ns + grace_ns)
        except BaseException:
            connection.abort()
            raise
        self._pool.give_back(connection)
        return read_receipt(arrival, Call(0, "", "", deadline_ns, len(request)))

    def _post_head(
        self, where: Endpoint, body: bytes, headers: bytes, authorization: bytes | None
    ) -> bytes:
        head = self._head("POST", where, authorization)
        return b"%b%bContent-Length: %d\r\n\r\n" % (head, headers, len(body))

    def _head(self, method: str, where: Endpoint, authorization: bytes | None = None) -> bytes:
        version = self.protocol_version
        return render_head(
            method,
            where,
            authorization=self._authorization if authorization is None else authorization,
            protocol_version=version if version >= legacy.HEADER_SINCE else "",
        )


_STATES: Final = {True: Listening.OPEN, False: Listening.LOST}


def _stream_lost() -> Reply:
    return Reply(
        outcome=Outcome.TRANSPORT_ERROR,
        reason=Reason.STREAM_LOST,
        ended_by=EndedBy.NEVER_SENT,
        detail="the session's stream is gone",
    )
