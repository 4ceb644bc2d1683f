"""Standard input and output: real pipes whose far ends are played in the same loop, no process."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

from pydantic_core import from_json, to_json

from harness.wire.pipe import Pipe
from harness.wire.schemas import SchemaBook
from harness.wire.served import Greeting
from harness.wire.speaker import Era
from harness.wire.stdio import StdioClient
from tests.wire.hostile.messages import FILLER, message, right
from tests.wire.hostile.replies import cut, spoilt
from tests.wire.hostile.stage import (
    GOOD,
    LIMITS,
    PATIENT_S,
    PLAYS_MAX,
    STALL_S,
    Stage,
    WrongError,
    check,
    check_good,
)
from tests.wire.hostile.tape import Tape
from tests.wire.scripted import CLOCK, within

Ending = Literal["keep", "close", "die", "deaf"]
ENDINGS: Final[tuple[Ending, ...]] = ("keep",) * 20 + ("die", "die", "close", "deaf")
STATUSES: Final = (0, 1, -9, -11, -64, 255)
CALLS_MAX: Final = 4
NONCE_MAX: Final = 40  # of a call that is large, what is repeated
LINGER_S: Final = 0.02  # what a server may take to end by itself before it is killed
_NOISE: Final = (
    b"", b"listening on stdio", b"\r", b"\x00", b"\x00" * 600, b"\xff\xfe", b"\x1b[2J", b"{", b"[",
    b"Content-Length: 12\r\n\r", b"x" * 20_000, b" " * 20_000, b'{"id":1', b'{"id":1}', b'{"id": 2',
    b'{"jsonrpc":"2.0","id":1,"result":{"content":"' + b"y" * 20_000, b"[1]", b"null",
    b"\xef\xbb\xbf",
    b'{"id":3}' * 3_000, b"\x0b\x0c\x1c\x85", "\u2028\u2029".encode(),
)  # fmt: skip
_LINE_ENDS: Final = (b"\n",) * 24 + (
    b"\r\n",
    b"\r\n",
    b"\r",
    b"",
    b"\n\n",
    b"\x00\n",
    b" \n",
    b"\r\r\n",
)


@dataclass(frozen=True, kw_only=True)
class Lines:
    """What is written to standard output, piece by piece, and what happens then."""

    segments: tuple[bytes, ...]
    ending: Ending = "keep"
    status: int = 0


def lines(tape: Tape, asked: list[tuple[Any, str, str]]) -> Lines:
    """One reply to what was asked last; of an empty tape, the right one."""
    made = b""
    for number in range(tape.one((1, 1, 1, 1, 0, 2, 3, 70)) if asked else 0):
        if tape.seldom(24):
            made += tape.one(_NOISE) + tape.one(_LINE_ENDS)
        # Of several calls in flight each may be meant, and one that is over as well.
        call_id, method, nonce = asked[-1 - tape.below(len(asked))]
        make = right if tape.below(2) else partial(message, tape)
        made += make(call_id, method, nonce) if number < 4 else FILLER
        made += tape.one(_LINE_ENDS)
    waits = (b"",) * tape.one((0, 0, 9))
    segments = waits + cut(tape, spoilt(tape, made))
    return Lines(segments=segments, ending=tape.one(ENDINGS), status=tape.one(STATUSES))


@dataclass(eq=False)
class Play:
    """One case under way: the tape that its servers read from."""

    tape: Tape
    plays: int = 0
    opens_well: bool = False
    asked: list[tuple[Any, str, str]] = field(default_factory=list)  # id, method and nonce
    said: dict[Any, Lines] = field(default_factory=dict)  # to this id, whatever the tape


class Server(asyncio.Protocol):
    """The far ends of one server's pipes; it is told what to do by the play."""

    def __init__(self, play: Play, pipe: Pipe) -> None:
        self.pipe = pipe
        self.greeting: Greeting | None = None
        self.dead = asyncio.Event()
        self._play = play
        self._seen = b""
        self._input: asyncio.ReadTransport | None = None
        self._output: asyncio.WriteTransport | None = None
        self._queue: list[Lines] = []
        self._playing: asyncio.Task[None] | None = None
        self._ending: asyncio.Task[None] | None = None
        pipe.on_lost = self.leave

    async def start(self, *, deaf: bool) -> None:
        """Make the pipes and connect all four ends."""
        loop = asyncio.get_running_loop()
        (input_end, to_server), (from_server, output_end) = os.pipe(), os.pipe()
        await loop.connect_write_pipe(lambda: self.pipe.outlet, _file(to_server, "wb"))
        await loop.connect_read_pipe(lambda: self.pipe, _file(from_server, "rb"))
        output, _ = await loop.connect_write_pipe(_Output, _file(output_end, "wb"))
        self._output = output
        self._input, _ = await loop.connect_read_pipe(lambda: self, _file(input_end, "rb"))
        if deaf:
            self._input.pause_reading()

    def leave(self) -> None:
        """End it, as its owner does."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().create_task(self._end())

    async def end(self) -> None:
        """The same, and wait for it."""
        self.leave()
        assert self._ending is not None
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        self.pipe.outlet.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                await self.dead.wait()
        self._die(-9)
        self.pipe.close()

    def _die(self, status: int) -> None:
        if not self.dead.is_set():
            self.dead.set()
            self._hang_up()
            if self._input is not None:
                self._input.close()
            self.pipe.take_exit(status)

    def _hang_up(self) -> None:
        if self._output is not None and not self._output.is_closing():
            self._output.close()

    # --- the loop's side -----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take whole lines, and have what is to be said to each."""
        *whole, self._seen = (self._seen + data).split(b"\n")
        for line in whole:
            self._queue.append(self._say(from_json(line)))
        if self._playing is None or self._playing.done():
            self._playing = asyncio.get_running_loop().create_task(self._perform())

    def connection_lost(self, exc: Exception | None) -> None:
        """Its input has ended: a process ends itself then."""
        del exc
        if self._playing is not None:
            self._playing.cancel()
        self._die(0)

    def _say(self, said: Any) -> Lines:
        play = self._play
        call_id, asked = said.get("id"), str(said.get("method", ""))
        nonce = str((said.get("params") or {}).get("arguments", {}).get("text", ""))[:NONCE_MAX]
        if call_id in play.said:
            return play.said[call_id]
        opens = asked in ("initialize", "server/discover", "notifications/initialized")
        if (
            play.plays < PLAYS_MAX
            and not nonce.startswith(GOOD)
            and not (opens and play.opens_well)
        ):
            play.plays += 1
            if call_id is not None and asked:
                play.asked.append((call_id, asked, nonce))
            return lines(play.tape, play.asked)
        if "id" in said and asked:
            return Lines(segments=(right(call_id, asked, nonce) + b"\n",))
        return Lines(segments=())

    async def _perform(self) -> None:
        output = self._output
        assert output is not None
        assert self._input is not None
        while self._queue:
            played = self._queue.pop(0)
            for segment in played.segments:
                if output.is_closing():
                    return
                if segment:
                    output.write(segment)
                # Both ends share one loop: a turn or two let the client read before the next.
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            if played.ending == "deaf":
                self._input.pause_reading()
            elif played.ending == "close":
                self._hang_up()
            elif played.ending == "die":
                self._die(played.status)


class _Output(asyncio.BaseProtocol):
    """Whoever reads it or not: a server that writes more is of the tape's making."""


class Source:
    """Where a case's servers come from."""

    def __init__(self, play: Play, *, shared: bool) -> None:
        self.shared = shared
        self.opening = asyncio.Lock()
        self.known_era: Era = "auto"
        self.servers: list[Server] = []
        self._play = play

    async def take(self) -> Server:
        """A server, or no descriptor for its pipes."""
        play = self._play
        hostile = play.plays < PLAYS_MAX
        if hostile and play.tape.seldom(8):
            raise OSError(24, "Too many open files")
        last = self.servers[-1] if self.servers else None
        if self.shared and last is not None and not last.pipe.lost and last._ending is None:
            return last
        server = Server(play, Pipe(CLOCK.now_ns, LIMITS))
        self.servers.append(server)
        await server.start(deaf=hostile and play.tape.seldom(6))
        return server


class PipeStage(Stage):
    """Every line is answered by the tape of its case."""

    @contextlib.asynccontextmanager
    async def standing(self) -> AsyncIterator[None]:
        """Nothing: each server has its own pipes; uvloop keeps a descriptor from the first on."""
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        os.close(writing)
        transport, _ = await loop.connect_read_pipe(asyncio.Protocol, _file(reading, "rb"))
        transport.close()
        await asyncio.sleep(0)
        yield

    async def perform(self, number: str, tape: Tape, told: Counter[str]) -> None:
        """Open on servers that spoil what they say, call them, then open on a good one."""
        era: Era = tape.one(("legacy", "modern", "auto"))
        play = Play(tape=tape, opens_well=tape.below(4) > 0)
        source = Source(play, shared=tape.below(4) == 3)
        client = StdioClient(
            source, era=era, now_ns=CLOCK.now_ns, limits=LIMITS, schemas=SchemaBook(),
            revision="2025-03-26" if era == "legacy" and tape.seldom(8) else "",
        )  # fmt: skip
        try:
            await self._provoke(client, tape, told)
            play.plays, play.asked = PLAYS_MAX, []
            for server in source.servers:
                server.leave()
            client.revision = ""
            opened = await client.open(deadline_ns=within(PATIENT_S))
            if opened.outcome or not client.session_id:
                raise WrongError(f"a good server was opened afterwards as {opened}")
            nonce = f"{GOOD}-{number}"
            check_good(await _call(client, nonce, PATIENT_S), nonce)
        finally:
            await client.close(deadline_ns=0)
            for server in source.servers:
                await server.end()
        for pipe in (server.pipe for server in source.servers):
            if not all(one.done.done() for one in (*pipe._pending.values(), *pipe._untaken)):
                raise WrongError("a pipe that has ended still waits for something")

    async def _provoke(self, client: StdioClient, tape: Tape, told: Counter[str]) -> None:
        # A server that says nothing is waited for as long as the case says: briefly.
        patience_s = STALL_S if tape.below(2) else 2 * STALL_S
        opened = await client.open(deadline_ns=within(2 * patience_s))
        check(told, opened)
        if opened.outcome and client.session_id:
            raise WrongError(f"a session without an opening: {opened}")
        calls_max = 1 if opened.outcome else CALLS_MAX
        match tape.below(8):
            case 6:
                if client.era == "modern":
                    asked = frozenset({"test://one"})
                    check(told, await client.listen(asked, deadline_ns=within(patience_s)))
            case 7:
                check(
                    told,
                    await client.notify("notifications/x", b"{}", deadline_ns=within(patience_s)),
                )

        async def call(text: str) -> None:
            vanish_after_ns = 2_000_000 if tape.seldom(12) else None
            lose_reply = tape.seldom(12)
            check(told, await _call(
                client, text, patience_s, lose_reply=lose_reply, vanish_after_ns=vanish_after_ns
            ))  # fmt: skip

        async with asyncio.TaskGroup() as calls:
            for number in range(1 + tape.below(calls_max)):
                calls.create_task(call(f"bad-{number}" + "x" * tape.one((0, 0, 0, 0, 200_000))))
        if tape.below(4) == 3:
            await call("bad-late")


async def _call(
    client: StdioClient,
    text: str,
    patience_s: float,
    *,
    lose_reply: bool = False,
    vanish_after_ns: int | None = None,
) -> Any:
    params = to_json({"name": "echo", "arguments": {"text": text}})
    return await client.request(
        "tools/call", params, name="echo", deadline_ns=within(patience_s),
        lose_reply=lose_reply, vanish_after_ns=vanish_after_ns,
    )  # fmt: skip


def _file(descriptor: int, mode: str) -> Any:
    return os.fdopen(descriptor, mode, buffering=0)
