"""What every stage of hostile servers has: cases with a bound, outcomes, and what must hold."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final, cast

from harness.outcome import Outcome, Reason
from harness.wire.limits import KIB, Limits
from harness.wire.reply import Reply
from tests.wire.hostile.replies import Script
from tests.wire.hostile.tape import Tape

GOOD: Final = "good"
LIMITS: Final = Limits(
    header_bytes=2 * KIB,
    event_bytes=8 * KIB,
    body_bytes=16 * KIB,
    events_max=50,
    hang_grace_s=0.02,
    connect_s=60.0,
)
STALL_S: Final = 0.02  # what is never answered need not be waited for
PATIENT_S: Final = 60.0  # a machine that is busy with others may stand still for long
CASE_S: Final = 150.0
PLAYS_MAX: Final = 6  # replies that one case may spoil; after that the server is good


class WrongError(Exception):
    """The client did what it must not do, whatever a server does."""


class Stage(ABC):
    """Where cases are played, and what has come of them."""

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.cases = 0
        self.complaints: list[str] = []  # of the loop's: nobody caught them

    @abstractmethod
    def standing(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Whatever has to be up while cases are played."""

    @abstractmethod
    async def perform(self, number: str, tape: Tape, told: Counter[str]) -> None:
        """Play one case, note every reply in `told`, and see that the client serves on.

        Raises:
            WrongError: saying what it did instead.
        """

    async def case(self, number: str, data: bytes) -> Counter[str]:
        """Play one case: every reply has a named outcome, and the client serves on afterwards.

        Raises:
            WrongError: saying what it did instead.
        """
        told: Counter[str] = Counter()
        try:
            async with asyncio.timeout(CASE_S):
                await self.perform(number, Tape(data), told)
        except TimeoutError:
            raise WrongError(f"no outcome within {CASE_S:.0f} s") from None
        self.cases += 1
        self.outcomes += told
        return told


class HttpStage(Stage):
    """A stage whose servers listen on a port, one path for each case."""

    port = 0

    @abstractmethod
    def reply(self, server: Server, head: bytes, body: bytes) -> Script:
        """What to answer to one request on one connection."""

    @contextlib.asynccontextmanager
    async def standing(self) -> AsyncIterator[None]:
        """One listener for all cases."""
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: Server(self), "127.0.0.1", 0, backlog=512)
        self.port = listener.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            listener.close()


class Server(asyncio.Protocol):
    """One connection of the server."""

    def __init__(self, stage: HttpStage) -> None:
        self._stage = stage
        self._seen = b""
        self._transport: asyncio.Transport | None = None
        self._playing: asyncio.Task[None] | None = None
        self._due: list[Script] = []  # what is to be played beside replies

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone; nobody is there to be played to."""
        del exc
        self._due.clear()
        if self._playing is not None:
            self._playing.cancel()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and answer each whole request in turn."""
        self._seen += data
        self._next()

    def add(self, script: Script) -> None:
        """Play this once what is being played is over."""
        if self._transport is not None and not self._transport.is_closing():
            self._due.append(script)
            self._next()

    def _next(self) -> None:
        if self._playing is not None and not self._playing.done():
            return
        played = self._due.pop(0) if self._due else self._answer()
        if played is None:
            return
        self._playing = asyncio.get_running_loop().create_task(self._play(played))
        self._playing.add_done_callback(self._played)

    def _answer(self) -> Script | None:
        head, found, rest = self._seen.partition(b"\r\n\r\n")
        if not found:
            return None
        length = 0
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line[15:])
        if len(rest) < length:
            return None
        body, self._seen = rest[:length], rest[length:]
        return self._stage.reply(self, head, body)

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


def check(told: Counter[str], reply: Reply) -> None:
    """Hold one reply against what every reply must be, and note it.

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


def check_good(reply: Reply, nonce: str) -> None:
    """See that a good server's reply was read as what it is.

    Raises:
        WrongError: it was not.
    """
    if reply.outcome is not Outcome.OK or reply.result["content"][0]["text"] != nonce:
        raise WrongError(f"afterwards a good reply was read as {reply}")


def plain(status: bytes) -> Script:
    """A reply without a body."""
    return Script(segments=(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n",))


@contextlib.asynccontextmanager
async def staged(stage: Stage) -> AsyncIterator[None]:
    """A stage on the running loop; what nobody catches there is a complaint."""
    loop = asyncio.get_running_loop()

    def complain(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        stage.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    before = loop.get_exception_handler()
    loop.set_exception_handler(complain)
    try:
        async with stage.standing():
            yield
        await asyncio.sleep(0.05)
    finally:
        loop.set_exception_handler(before)
