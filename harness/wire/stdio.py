"""One agent's MCP client over a server process's standard input and output."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from pydantic_core import to_json

from harness.clock import NS_PER_S
from harness.outcome import EndedBy, Outcome, Reason
from harness.wire import legacy, modern, negotiate
from harness.wire.answering import PING
from harness.wire.arrival import Arrival
from harness.wire.deadlines import NEVER_NS
from harness.wire.exchange import Exchange, first_of
from harness.wire.inbox import ACKNOWLEDGED, PROGRESS, Inbox
from harness.wire.jsonrpc import CallId, encode_notification, encode_request
from harness.wire.limits import Limits
from harness.wire.listen import Listening
from harness.wire.reading import Call, read_failure, read_reply
from harness.wire.receipts import read_receipt, read_withheld
from harness.wire.reply import NO_TIME, Reply
from harness.wire.schemas import SchemaBook
from harness.wire.served import Greeting, Served, Source
from harness.wire.speaker import Era
from harness.wire.stats import WireStats

CANCEL_NS: Final = NS_PER_S  # how long a courtesy message after a hang may take
ANSWERS_MAX: Final = 8  # answers to server requests that wait to be written, per client
PROBE_PARTS: Final = 2  # of the deadline one is spent on finding out whether discovery is known
# A server of the older era may be silent to what comes before the handshake, or die of it.
_SAYS_NOTHING: Final = frozenset({Outcome.HANG, Outcome.TIMEOUT, Outcome.TRANSPORT_ERROR})


class StdioClient:
    """An MCP client over pipes for either era; `close` it when done.

    A session is one life of the server's process, in both eras: `session_id` names it.
    """

    def __init__(
        self,
        source: Source,
        *,
        era: Era,
        now_ns: Callable[[], int],
        schemas: SchemaBook,
        limits: Limits | None = None,
        revision: str = "",
        agent: str = "squall",
        ready_s: float = 0.0,
    ) -> None:
        self.era: Era = era
        self.now_ns = now_ns
        self.schemas = schemas
        self.revision = revision  # the one to speak; empty lets both sides settle on one
        self.agent = agent
        self.inbox = Inbox()
        self.protocol_version = ""
        self.session_id = ""
        self.authorization = b""  # there are no headers; kept, and never sent
        self._wanted: Era = era
        self._source = source
        self._served: Served | None = None
        self._opener: asyncio.Task[object] | None = None  # what it sends needs no opening
        self._left = False  # the client itself has gone away: the next request begins anew
        self._grace_ns = int((limits or Limits()).hang_grace_s * NS_PER_S)
        self._ready_ns = int(ready_s * NS_PER_S)  # a new process may need longer than a call
        self._meta = b""
        self._subscription: Exchange | None = None  # the standing request to listen
        self._acknowledged = asyncio.Event()
        self._uris: frozenset[str] | None = None  # None: nobody has asked to listen
        self._lives = 0
        self._answers: set[asyncio.Task[None]] = set()
        self._processes = self._bytes_out = 0

    # --- sessions ------------------------------------------------------------------------------

    def adopt(self, era: Era, *, version: str, session_id: str = "") -> None:
        """Speak `version` of `era` from now on; the process is the session, whatever its id."""
        del session_id
        self.era, self.protocol_version = era, version
        declared = self.inbox.rules.declare("modern")
        self._meta = to_json(modern.request_meta(self.agent, modern.VERSION, declared))
        if self._served is not None:
            self._served.pipe.batches = version == legacy.BATCH_VERSION

    def forget_session(self) -> None:
        """Know no process any more: the next `open` begins with another, or a shared one."""
        served, self._served = self._served, None
        if served is not None:
            served.pipe.hearers.discard(self._hear)
        self._left = False
        self.session_id = self.protocol_version = ""
        if served is not None and (not self._source.shared or served.pipe.lost):
            served.leave()

    async def open(self, *, deadline_ns: int) -> Reply:
        """Begin to speak; the reply that decided, whose outcome is OK when requests may follow."""
        self.forget_session()
        reply = await self._begin(deadline_ns)
        if reply.outcome is Outcome.OK:
            self._lives += 1
            self.session_id = f"process {self._lives}"
            if self._uris is not None and self.era == "modern":
                await self.listen(self._uris, deadline_ns=deadline_ns)
        else:
            self.forget_session()
        return reply

    async def close(self, *, deadline_ns: int) -> Reply | None:
        """End the process by its input's end; one that is shared goes on for the others."""
        del deadline_ns  # a process has its own times to end in, and its owner waits for it
        served = self._served
        self.forget_session()
        if served is not None and not self._source.shared:
            await served.end()
        return None

    def drop_connections(self) -> None:
        """Let the process go without waiting for its end."""
        self.forget_session()

    async def _begin(self, deadline_ns: int) -> Reply:
        async with self._source.opening:
            if self._served is not None:
                return Reply(Outcome.OK)  # a parallel call has begun it
            self._opener = asyncio.current_task()
            try:
                return await self._open_process(deadline_ns)
            except BaseException:  # the agent gave up: nobody knows what the process has heard
                if self._served is not None:
                    self._served.leave()
                raise
            finally:
                self._opener = None

    async def _open_process(self, deadline_ns: int) -> Reply:
        failure = await self._start()
        if failure is not None:
            return failure
        served = self._served
        assert served is not None
        if served.greeting is not None:
            self.adopt(served.greeting.era, version=served.greeting.version)
            return Reply(Outcome.OK)
        # All processes are one program: what one was found to speak, the next one does.
        self.era = self._source.known_era if self._wanted == "auto" else self._wanted
        ready_ns = max(deadline_ns, self.now_ns() + self._ready_ns)
        reply = await self._negotiate(ready_ns)
        served = self._served
        if reply.outcome is Outcome.OK and served is not None:
            served.greeting = Greeting(era=self.era, version=self.protocol_version)
            self._source.known_era = self.era
        elif served is not None:
            self._served = None
            served.leave()
        return reply

    async def _start(self) -> Reply | None:
        """Have a process; the reply that says so when there is none."""
        try:
            self._served = await self._source.take()
        except OSError as error:
            return Reply(
                Outcome.TRANSPORT_ERROR,
                Reason.CONNECT_FAILED,
                ended_by=EndedBy.NEVER_SENT,
                detail=f"the server cannot be started: {error.strerror or error}",
            )
        self._processes += 1
        pipe = self._served.pipe
        pipe.hearers.add(self._hear)
        if self._served.greeting is None:
            pipe.on_request = self._answer
        return None

    async def _negotiate(self, deadline_ns: int) -> Reply:
        if self.era != "auto":
            return await negotiate.OPENERS[self.era](self, deadline_ns)
        now_ns, grace_ns = self.now_ns(), self._grace_ns
        self._grace_ns = 0
        try:
            probe = await negotiate.open_modern(
                self, now_ns + (deadline_ns - now_ns) // PROBE_PARTS
            )
        finally:
            self._grace_ns = grace_ns
        if probe.outcome not in _SAYS_NOTHING:
            return await negotiate.follow_discovery(self, probe, deadline_ns)
        # Whatever it did with the question, another process has not heard it.
        assert self._served is not None
        self._served.leave()
        failure = await self._start()
        if failure is not None:
            return failure
        return await negotiate.open_legacy(self, deadline_ns)

    # --- messages ------------------------------------------------------------------------------

    @property
    def next_id(self) -> int:
        """The id of the next request, if nothing is awaited before it is made."""
        return self._served.pipe.upcoming_id if self._served is not None else 1

    @property
    def cancels_by_close(self) -> bool:
        """Never: a pipe is closed for all requests or for none."""
        return False

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

        `authorization` and `headers` have no place on a pipe and are not sent. A client that
        vanishes closes the server's input, or abandons the one call where the server is shared.
        """
        del authorization, headers
        if self._left and asyncio.current_task() is not self._opener:
            failure = await self._return(deadline_ns)
            if failure is not None:
                return failure
        served = self._served
        if served is None or served.pipe.lost:
            return _unsent(served)
        if self.era == "modern":
            params = modern.add_meta(params, self._meta)
        call_id = served.pipe.next_id()
        line = encode_request(call_id, method, params) + b"\n"
        call = Call(call_id, method, name, deadline_ns, len(line))
        self._bytes_out += len(line)
        exchange = served.pipe.send(call_id, line, deadline_ns + self._grace_ns)
        timer = None
        if vanish_after_ns is not None:
            after_s = vanish_after_ns / NS_PER_S
            loop = asyncio.get_running_loop()
            timer = loop.call_later(after_s, self._vanish, served, exchange)
        try:
            arrival = await exchange.done
        except BaseException:  # the agent gave up
            served.pipe.give_up(exchange)
            self._cancel(served, call_id, method)
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return self._read(served, arrival, call, lose_reply=lose_reply)

    async def notify(self, method: str, params: bytes, *, deadline_ns: int) -> Reply:
        """Send one notification; OK when the pipe took it."""
        served = self._served
        if served is None or served.pipe.lost:
            return _unsent(served)
        if self.era == "modern":
            params = modern.add_meta(params or b"{}", self._meta)
        line = encode_notification(method, params) + b"\n"
        self._bytes_out += len(line)
        arrival = await served.pipe.send(0, line, deadline_ns + self._grace_ns).done
        return read_receipt(arrival, Call(0, method, "", deadline_ns, len(line)))

    async def listen(self, uris: frozenset[str], *, deadline_ns: int) -> Reply:
        """Hear of changed lists and of updates at `uris` from now on, in the modern era.

        OK once the server has acknowledged it; the request stays open for as long as the process.
        """
        served, before, self._uris = self._served, self._subscription, uris
        if served is None or served.pipe.lost:
            return _unsent(served)
        self.inbox.counts["listen:asked"] += 1
        params = modern.add_meta(modern.listen_params(uris), self._meta)
        call_id = served.pipe.next_id()
        line = encode_request(call_id, modern.LISTEN, params) + b"\n"
        self._acknowledged.clear()
        self._subscription = exchange = served.pipe.send(call_id, line, NEVER_NS)
        left_s = max(0, deadline_ns - self.now_ns()) / NS_PER_S
        await first_of(self._acknowledged, exchange.done, left_s)
        if before is not None and not before.done.done():
            served.pipe.give_up(before)
            self._cancel(served, before.arrival.call_id, modern.LISTEN)
        now_ns, sent_ns = self.now_ns(), exchange.arrival.sent_ns
        if self._acknowledged.is_set():
            return Reply(Outcome.OK, sent_ns=sent_ns, first_ns=now_ns, done_ns=now_ns)
        if not exchange.done.done():
            served.pipe.give_up(exchange, Reason.HANG)
        self._subscription = None
        call = Call(call_id, modern.LISTEN, "", deadline_ns, len(line))
        return self._read(served, exchange.arrival, call, lose_reply=False)

    @property
    def stats(self) -> WireStats:
        """The counters as they stand; of a shared process, they are everybody's."""
        pipe = self._served.pipe if self._served is not None else None
        return WireStats(
            connections_opened=self._processes,
            bytes_in=pipe.bytes_in if pipe else 0,
            bytes_out=self._bytes_out,
            foreign_messages=pipe.foreign_messages if pipe else 0,
            duplicate_replies=pipe.duplicate_replies if pipe else 0,
            server_requests=self.inbox.requests,
            streams_left_open=0,
            listening=Listening.OFF if self._subscription is None else Listening.OPEN,
            listen_messages=0,
            listen_reconnects=0,
        )

    # --- inside --------------------------------------------------------------------------------

    def _read(self, served: Served, arrival: Arrival, call: Call, *, lose_reply: bool) -> Reply:
        if not arrival.reason:
            reply = read_reply(arrival, call, self.schemas)
            return read_withheld(reply) if lose_reply else reply
        reply = read_failure(arrival, call)
        if reply.sent_ns < 0:
            reply.ended_by, reply.done_ns = EndedBy.NEVER_SENT, NO_TIME
        if arrival.reason is Reason.HANG:
            self._cancel(served, call.call_id, call.method)
        return reply

    async def _return(self, deadline_ns: int) -> Reply | None:
        """Begin anew after having gone away; the reply that says so when that fails."""
        reply = await self._begin(deadline_ns)
        if reply.outcome is not Outcome.OK:
            return reply
        self._left = False
        return None

    def _vanish(self, served: Served, exchange: Exchange) -> None:
        if exchange.done.done():
            return
        if self._source.shared:
            # The process is not this client's to end: as a program between would, it cancels.
            served.pipe.give_up(exchange)
            self._cancel(served, exchange.arrival.call_id, "")
            return
        served.pipe.abandon()
        served.leave()
        if self._served is served:
            self._served, self._left = None, True

    def _cancel(self, served: Served, call_id: CallId, method: str) -> None:
        if method in (legacy.INITIALIZE, modern.DISCOVER) or served.pipe.lost:
            return
        params = to_json({"requestId": call_id, "reason": "the client waits no longer"})
        if self.era == "modern":
            params = modern.add_meta(params, self._meta)
        line = encode_notification(legacy.CANCELLED, params) + b"\n"
        served.pipe.send(0, line, self.now_ns() + CANCEL_NS)

    def _hear(self, notification: dict[str, Any]) -> None:
        method = notification.get("method")
        if method == ACKNOWLEDGED:
            self._acknowledged.set()
        if method == PROGRESS and self._source.shared and not self.inbox.watches(notification):
            return  # another's, who shares the process
        self.inbox.hear(notification)

    def _answer(self, request: dict[str, Any]) -> None:
        # The modern era has no server requests: counted, and left alone.
        if self.era != "legacy" or self._served is None or len(self._answers) >= ANSWERS_MAX:
            self.inbox.drop_request()
            return
        task = asyncio.get_running_loop().create_task(self._send_answer(self._served, request))
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _send_answer(self, served: Served, request: dict[str, Any]) -> None:
        began_ns = self.now_ns()
        line = to_json(self.inbox.answer(request)) + b"\n"
        if self.inbox.rules.after_ns and request.get("method") != PING:
            await asyncio.sleep(self.inbox.rules.after_ns / NS_PER_S)
        arrival = await served.pipe.send(0, line, self.now_ns() + self._grace_ns).done
        self.inbox.note_sent(self.now_ns() - began_ns, well=not arrival.reason)


def _unsent(served: Served | None) -> Reply:
    """The reply of a request for which there is no process."""
    return Reply(
        Outcome.TRANSPORT_ERROR,
        Reason.PROCESS_DIED,
        ended_by=EndedBy.NEVER_SENT,
        detail=served.pipe.lost if served is not None else "there is no server process",
    )
