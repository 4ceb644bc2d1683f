"""The official client as a `Speaker`: what real agents run, for a few sessions beside our own.

It costs a millisecond of processor a call, hides statuses and dies whole with one broken
connection; so it is no load generator, but a witness. When it has died, the next request begins a
new one, as an application would.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from pydantic import ValidationError
from pydantic_core import from_json

from harness.clock import NS_PER_S
from harness.errors import leaves
from harness.outcome import EndedBy, Outcome, Reason
from harness.wire import modern
from harness.wire.endpoint import Endpoint
from harness.wire.inbox import Inbox
from harness.wire.limits import Limits
from harness.wire.listen import Listening
from harness.wire.reply import Reply
from harness.wire.sdk_answers import callbacks
from harness.wire.sdk_door import Door
from harness.wire.speaker import Era
from harness.wire.stats import WireStats

OK_STATUS: Final = 200
NOT_FOUND: Final = 404
END_S: Final = 1.0  # how long a cancelled task of the client may take to leave
READ_S: Final = 300.0
_MODES: Final[dict[Era, str]] = {"auto": "auto", "legacy": "legacy", "modern": modern.VERSION}
# What the official client says instead of what it was told.
_STREAM_ENDED, _TIMED_OUT, _INTERNAL = -32000, -32001, -32603
_SESSION_GONE: Final = frozenset({"Session terminated", "Session not found", "Not Found"})


class SdkSpeaker:
    """One session of the official client; `close` it when done."""

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        era: Era,
        now_ns: Callable[[], int],
        limits: Limits | None = None,
    ) -> None:
        """Nothing is connected before `open`."""
        self.era: Era = era
        self.protocol_version = ""
        self.inbox = Inbox()
        self.births = 0  # how many clients it took; one that died took the session with it
        self._asked_era: Era = era
        self._endpoint = endpoint
        self._now_ns = now_ns
        self._grace_ns = int((limits or Limits()).hang_grace_s * NS_PER_S)
        self._door = Door(endpoint)
        self._client: Client | None = None
        self._life: asyncio.Task[None] | None = None
        self._leave = asyncio.Event()
        self._death = ""
        for name in ("mcp", "httpx2", "client"):  # nobody configured them: they would shout
            logging.getLogger(name).addHandler(logging.NullHandler())

    @property
    def session_id(self) -> str:
        """The session's id, which the official client keeps to itself; empty without one."""
        return self._door.session_id

    @session_id.setter
    def session_id(self, value: str) -> None:
        self._door.session_id = value

    @property
    def authorization(self) -> bytes:
        """The value of the Authorization header; empty for none."""
        return self._door.authorization

    @authorization.setter
    def authorization(self, value: bytes) -> None:
        self._door.authorization = value

    @property
    def next_id(self) -> int:
        """Nothing that anybody could know: the official client counts for itself."""
        return 0

    @property
    def cancels_by_close(self) -> bool:
        """It cancels by itself what is no longer waited for."""
        return True

    @property
    def stats(self) -> WireStats:
        """What can be said from outside: how many clients there were."""
        return WireStats(
            connections_opened=self.births, bytes_in=0, bytes_out=0, foreign_messages=0,
            duplicate_replies=0, server_requests=0, streams_left_open=0, listening=Listening.OFF,
            listen_messages=0, listen_reconnects=0,
        )  # fmt: skip

    # --- a client's life -------------------------------------------------------------------------

    async def open(self, *, deadline_ns: int) -> Reply:
        """Begin a new client and let it shake hands or discover."""
        self.forget_session()
        sent_ns = self._now_ns()
        loop = asyncio.get_running_loop()
        # The client before may still be leaving through its own.
        door, self._door = self._door, Door(self._endpoint)
        self._door.authorization = door.authorization
        ready: asyncio.Future[None] = loop.create_future()
        self._leave = asyncio.Event()
        life = self._life = loop.create_task(self._live(ready, self._door))
        self.births += 1
        await self._wait({life, ready}, deadline_ns)
        if self._client is not None:
            self.protocol_version = self._client.protocol_version
            self.era = "modern" if self.protocol_version == modern.VERSION else "legacy"
            return self._stamped(Reply(Outcome.OK, status=OK_STATUS), sent_ns)
        if not life.done():
            self.drop_connections()
            return self._stamped(Reply(Outcome.TIMEOUT, Reason.DEADLINE), sent_ns)
        return self._stamped(self._dead(), sent_ns)

    async def _live(self, ready: asyncio.Future[None], door: Door) -> None:
        """Be the one task that enters and leaves the client, as its scopes demand."""
        self._death = ""
        timeout, leave = httpx2.Timeout(30.0, read=READ_S), self._leave
        try:
            async with (
                httpx2.AsyncClient(transport=door, timeout=timeout) as http,
                Client(
                    streamable_http_client(self._endpoint.url, http_client=http),
                    mode=_MODES[self._asked_era],
                    cache=None,
                    **callbacks(self.inbox),
                ) as client,
            ):
                self._client = client
                ready.set_result(None)
                await leave.wait()
        except Exception as error:  # noqa: BLE001  whatever it dies of, its session has to say so
            self._death = ", ".join(dict.fromkeys(type(one).__name__ for one in leaves(error)))
        finally:
            if self._door is door:
                self._client = None
            if not ready.done():
                ready.set_result(None)

    def forget_session(self) -> None:
        """Let the client go; the next `open` begins another."""
        self.drop_connections()
        self._door.session_id = ""
        self.protocol_version = ""

    def drop_connections(self) -> None:
        """End the client at once, and its connections with it."""
        if self._life is not None:
            self._life.cancel()
        self._life = self._client = None

    async def close(self, *, deadline_ns: int) -> Reply | None:
        """Let the client say goodbye, which ends its session at the server."""
        life = self._life
        if life is not None and not life.done():
            self._leave.set()
            await self._wait({life}, deadline_ns)
        self.forget_session()
        return None

    # --- messages --------------------------------------------------------------------------------

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
        """Send one request as the official client does; it does not misbehave on purpose."""
        del name, authorization, lose_reply, vanish_after_ns, headers
        if self._client is None:
            opened = await self.open(deadline_ns=deadline_ns)
            if opened.outcome is not Outcome.OK:
                return opened
        client, life = self._client, self._life
        assert client is not None
        assert life is not None
        self._door.refusal_status = 0
        sent_ns = self._now_ns()
        asking = asyncio.get_running_loop().create_task(_ask(client, method, from_json(params)))
        try:
            await self._wait({asking, life}, deadline_ns + self._grace_ns)
        finally:
            if not asking.done():
                asking.cancel()
        reply = await self._read(asking, life)
        reply = self._stamped(reply, sent_ns)
        if reply.outcome is Outcome.OK and reply.done_ns > deadline_ns:
            reply.outcome, reply.reason = Outcome.TIMEOUT, Reason.LATE_REPLY
        return reply

    async def notify(self, method: str, params: bytes, *, deadline_ns: int) -> Reply:
        """Nothing: the official client notifies by itself."""
        del method, params, deadline_ns
        return Reply(Outcome.OK)

    async def listen(self, uris: frozenset[str], *, deadline_ns: int) -> Reply:
        """Not through this client: the sessions beside it listen."""
        del uris, deadline_ns
        return Reply(Outcome.ABANDONED, Reason.CANCELLED, ended_by=EndedBy.CLIENT)

    async def _read(self, asking: asyncio.Task[dict[str, Any]], life: asyncio.Task[None]) -> Reply:
        if not asking.done() or asking.cancelled():
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await asyncio.wait({asking}, timeout=END_S)
            if life.done():
                return self._dead()
            return Reply(Outcome.HANG, Reason.HANG, ended_by=EndedBy.DEADLINE)
        error = asking.exception()
        if error is None:
            result = asking.result()
            if result.get("isError") is True:
                return Reply(Outcome.TOOL_ERROR, Reason.TOOL_ERROR, OK_STATUS, result)
            return Reply(Outcome.OK, Reason.NONE, OK_STATUS, result)
        if life.done():
            return self._dead()
        return self._failed(error)

    def _failed(self, error: BaseException) -> Reply:
        """What an exception of the official client stands for."""
        match error:
            case MCPError():
                return self._refused(error)
            case ValidationError():
                return Reply(Outcome.WRONG, Reason.RESULT_SHAPE, OK_STATUS)
            case RuntimeError():  # the tool promised an output schema, and did not keep to it
                return Reply(Outcome.WRONG, Reason.SCHEMA, OK_STATUS)
        detail = f"the official client raised {type(error).__name__}"
        return Reply(Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY, detail=detail)

    def _refused(self, error: MCPError) -> Reply:
        """What one of its own errors stands for; some of them are the server's, word for word."""
        code, said, status = error.code, error.message, self._door.refusal_status
        reply = Reply(
            Outcome.PROTOCOL_ERROR, Reason.JSONRPC_ERROR, OK_STATUS,
            error={"code": code, "message": said}, detail=said,
        )  # fmt: skip
        if said in _SESSION_GONE or (code == _INTERNAL and status):
            status = status or NOT_FOUND
            reply = Reply(Outcome.HTTP_ERROR, Reason.HTTP_STATUS, status, detail=said)
        elif code == _STREAM_ENDED:
            reply = Reply(Outcome.TRANSPORT_ERROR, Reason.STREAM_ENDED, detail=said)
            reply.ended_by = EndedBy.CLOSED
        elif code == _TIMED_OUT:
            reply = Reply(Outcome.TIMEOUT, Reason.DEADLINE, ended_by=EndedBy.DEADLINE)
        return reply

    def _dead(self) -> Reply:
        """What became of everything that a client had in flight when it died."""
        if self._door.refusal_status:
            return Reply(
                Outcome.HTTP_ERROR, Reason.HTTP_STATUS, self._door.refusal_status,
                detail="the official client ended",
            )  # fmt: skip
        detail = f"the official client died: {self._death or 'it was ended'}"
        return Reply(
            Outcome.TRANSPORT_ERROR, Reason.CLOSED_EARLY, ended_by=EndedBy.CLOSED, detail=detail
        )

    def _stamped(self, reply: Reply, sent_ns: int) -> Reply:
        reply.sent_ns = sent_ns
        reply.first_ns = reply.done_ns = self._now_ns()
        return reply

    async def _wait(self, awaited: set[asyncio.Future[Any]], until_ns: int) -> None:
        left_s = max(0.0, (until_ns - self._now_ns()) / NS_PER_S)
        await asyncio.wait(awaited, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)


async def _ask(client: Client, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """Ask through the method of the official client that an application would use."""
    match method:
        case "tools/call":
            result: Any = await client.call_tool(params["name"], params.get("arguments"))
        case "resources/read":
            result = await client.read_resource(params["uri"])
        case "prompts/get":
            result = await client.get_prompt(params["name"], params.get("arguments"))
        case "tools/list":
            result = await client.list_tools(cursor=params.get("cursor"))
        case "resources/list":
            result = await client.list_resources(cursor=params.get("cursor"))
        case "prompts/list":
            result = await client.list_prompts(cursor=params.get("cursor"))
        case _:
            # `squall check` lets no other step through; what does not fit is no server's doing.
            assert method == "ping", method
            result = await client.send_ping()
    told: dict[str, Any] = result.model_dump(mode="json", by_alias=True, exclude_none=True)
    return told
