"""A server that plays scripts, our client on its other end, and what must hold all the same."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from pydantic_core import from_json, to_json

from harness.outcome import Outcome, Reason
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.limits import KIB, Limits
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from tests.wire.hostile.messages import right
from tests.wire.hostile.replies import Script, script
from tests.wire.hostile.tape import Tape
from tests.wire.scripted import CLOCK, within

Era = Literal["legacy", "modern"]
GOOD: Final = "good"
LIMITS: Final = Limits(
    header_bytes=2 * KIB, event_bytes=8 * KIB, body_bytes=16 * KIB, events_max=50, hang_grace_s=0.02
)
STALL_S: Final = 0.02  # what is never answered need not be waited for
PATIENT_S: Final = 10.0
CASE_S: Final = 30.0
PLAYS_MAX: Final = 6  # replies that one case may spoil; after that the server is good


class WrongError(Exception):
    """The client did what it must not do, whatever a server does."""


@dataclass(eq=False)
class Play:
    """One case under way: the tape that its replies are read from."""

    tape: Tape
    plays: int = 0


class Server(asyncio.Protocol):
    """One connection of the server."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._seen = b""
        self._transport: asyncio.Transport | None = None
        self._playing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone; nobody is there to be played to."""
        del exc
        if self._playing is not None:
            self._playing.cancel()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and answer each whole request in turn."""
        self._seen += data
        if self._playing is None or self._playing.done():
            self._next()

    def _next(self) -> None:
        head, found, rest = self._seen.partition(b"\r\n\r\n")
        if not found:
            return
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) < length:
            return
        body, self._seen = rest[:length], rest[length:]
        loop = asyncio.get_running_loop()
        self._playing = loop.create_task(self._play(self._stage.reply(head, body)))
        self._playing.add_done_callback(self._played)

    def _played(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._next()

    async def _play(self, played: Script) -> None:
        transport = self._transport
        assert transport is not None
        for segment in played.segments:
            if transport.is_closing():
                return
            transport.write(segment)
            # Both ends share one loop: a turn or two let the client read before the next.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        if transport.is_closing():
            return  # its number may be another connection's by now
        if played.ending == "close":
            transport.close()
        elif played.ending == "reset":
            raw = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()


@dataclass(eq=False)
class Stage:
    """A server and what has come of the cases that were played on it."""

    port: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    cases: int = 0
    complaints: list[str] = field(default_factory=list)  # of the loop's: nobody caught them
    _plays: dict[str, Play] = field(default_factory=dict)

    def reply(self, head: bytes, body: bytes) -> Script:
        """What to answer to one request: by the tape of its case, or well."""
        method, path, _ = head.split(b"\r\n", 1)[0].split(b" ")
        said: Any = from_json(body) if body else {}
        play = self._plays.get(path.decode())
        call_id, asked = said.get("id"), str(said.get("method", ""))
        nonce = str((said.get("params") or {}).get("arguments", {}).get("text", ""))
        spoils = play is not None and play.plays < PLAYS_MAX and not nonce.startswith(GOOD)
        if play is not None and spoils:
            play.plays += 1
            return script(play.tape, call_id=call_id, method=asked, nonce=nonce)
        if method != b"POST":
            return _plain(b"405 Method Not Allowed")
        if "id" not in said or not asked:
            return _plain(b"202 Accepted")
        sound = right(call_id, asked, nonce)
        head_ = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        return Script(segments=(head_ % len(sound) + sound,))

    async def case(self, number: str, data: bytes) -> Counter[str]:
        """Play one case: every reply has a named outcome, and the client serves on afterwards.

        Raises:
            WrongError: saying what it did instead.
        """
        tape = Tape(data)
        path = f"/{number}"
        play = self._plays[path] = Play(tape=tape)
        era: Era = tape.one(("legacy", "modern"))
        client = WireClient(
            Endpoint.from_url(f"http://127.0.0.1:{self.port}{path}"),
            era=era,
            now_ns=CLOCK.now_ns,
            limits=LIMITS,
            schemas=SchemaBook(),
            listen=tape.below(8) == 1,
        )
        told: Counter[str] = Counter()
        try:
            async with asyncio.timeout(CASE_S):
                await self._provoke(client, tape, told)
                play.plays = PLAYS_MAX
                await self._serve_on(client, era, number)
        except TimeoutError:
            raise WrongError("no outcome within 30 s") from None
        finally:
            client.forget_session()
            client.drop_connections()
            del self._plays[path]
        self.cases += 1
        self.outcomes += told
        return told

    async def _provoke(self, client: WireClient, tape: Tape, told: Counter[str]) -> None:
        way = tape.below(8)
        # A server that says nothing is waited for as long as the case says: briefly.
        patience_s = STALL_S if tape.below(2) else 2 * STALL_S
        if way == 7:
            _check(told, await client.open(deadline_ns=within(patience_s)))
            return
        era: Era = client.era if client.era != "auto" else "legacy"
        version = "2026-07-28" if era == "modern" else tape.one(("2025-11-25", "2025-03-26"))
        client.adopt(era, version=version, session_id="s" if era == "legacy" else "")
        if way == 6:
            reply = await client.notify("notifications/x", b"{}", deadline_ns=within(patience_s))
            _check(told, reply)
            return
        for number in range(1 + tape.below(2)):
            params = to_json({"name": "echo", "arguments": {"text": f"bad-{number}"}})
            reply = await client.request(
                "tools/call", params, name="echo", deadline_ns=within(patience_s),
                lose_reply=tape.seldom(12), vanish_after_ns=2_000_000 if tape.seldom(12) else None,
            )  # fmt: skip
            _check(told, reply)

    async def _serve_on(self, client: WireClient, era: Era, number: str) -> None:
        """Whatever came before: a good server's reply is read as what it is."""
        version = "2026-07-28" if era == "modern" else "2025-11-25"
        client.forget_session()
        client.drop_connections()
        client.adopt(era, version=version)
        nonce = f"{GOOD}-{number}"
        params = to_json({"name": "echo", "arguments": {"text": nonce}})
        reply = await client.request(
            "tools/call", params, name="echo", deadline_ns=within(PATIENT_S)
        )
        if reply.outcome is not Outcome.OK or reply.result["content"][0]["text"] != nonce:
            raise WrongError(f"afterwards a good reply was read as {reply}")


def _check(told: Counter[str], reply: Reply) -> None:
    """Hold one reply against what every reply must be.

    Raises:
        WrongError: it is not.
    """
    outcome, reason = Outcome(reply.outcome), Reason(reply.reason)
    if (outcome is Outcome.OK) != (reason is Reason.NONE):
        raise WrongError(f"{outcome.name} for the reason {reason.name}: {reply}")
    if outcome is Outcome.OK and reply.result is not None and not isinstance(reply.result, dict):
        raise WrongError(f"a success without a result: {reply}")
    if outcome is not Outcome.OK and reply.sent_ns < 0 <= reply.done_ns:
        raise WrongError(f"done without having been sent: {reply}")
    if reply.error is not None and not isinstance(reply.error.get("code"), int):
        raise WrongError(f"an error without a code: {reply}")
    if not 0 <= reply.status <= 999 or len(reply.detail) > 500:
        raise WrongError(f"a status or a detail out of bounds: {reply}")
    told[f"{outcome.name} {reason.name}"] += 1


def _plain(status: bytes) -> Script:
    return Script(segments=(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n",))


@contextlib.asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    """A stage on the running loop; what nobody catches there is a complaint."""
    loop = asyncio.get_running_loop()
    stage = Stage()

    def complain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        stage.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    before = loop.get_exception_handler()
    loop.set_exception_handler(complain)
    server = await loop.create_server(lambda: Server(stage), "127.0.0.1", 0, backlog=512)
    stage.port = server.sockets[0].getsockname()[1]
    try:
        yield stage
    finally:
        server.close()
        await asyncio.sleep(0.05)
        loop.set_exception_handler(before)
