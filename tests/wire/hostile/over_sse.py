"""HTTP+SSE of 2024-11-05: a server whose stream and whose receipts are both read from the tape."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from pydantic_core import from_json, to_json

from harness.wire.endpoint import Endpoint
from harness.wire.listen import Listening
from harness.wire.schemas import SchemaBook
from harness.wire.sse_legacy import SseClient
from tests.wire.hostile.messages import FILLER, message, right
from tests.wire.hostile.replies import (
    ENDINGS,
    EVENT_LINES,
    LINE_ENDS,
    Ending,
    Script,
    cut,
    script,
    spoilt,
)
from tests.wire.hostile.stage import (
    GOOD,
    LIMITS,
    PATIENT_S,
    PLAYS_MAX,
    STALL_S,
    HttpStage,
    Server,
    WrongError,
    check,
    check_good,
    plain,
)
from tests.wire.hostile.tape import Tape
from tests.wire.scripted import CLOCK, within

ACCEPTED: Final = b"202 Accepted"
CALLS_MAX: Final = 4
NONCE_MAX: Final = 40  # of a call that is large, what is repeated
_STREAM: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
_PLACES: Final = (
    b"", b"/", b"?", b"//evil.example/x", b"http://evil.example/x", b"https://127.0.0.1/x",
    b"http://127.0.0.1:1/x", b"http://127.0.0.1:99999/x", b"http://[::1", b"http://[v1.x]/",
    b"\x00", b"/a b HTTP/1.1\r", b"/\xc3\xa9", b"/\xff", b"javascript:alert(1)", b"ftp://x/",
    b"/" + b"a" * 3_000, b"/" + b"a" * 9_000, b"../../..", b"#",
    b"/x?y#z", b"http://user:word@127.0.0.1/", b"{}",
    b"http://127.0.0.1:-1/", b"http://127.0.0.1:/x", b"http:", b"http:///x", b"\xef\xbb\xbf/x",
)  # fmt: skip
_NAMES: Final = (b"other", b"endpoint", b"", b"Endpoint", b"error", b"message\x00", b"ping")
_STREAM_ENDINGS: Final[tuple[Ending, ...]] = ("keep",) * 13 + ("close", "close", "reset")


@dataclass(eq=False)
class Play:
    """One case under way, and the stream that its server has open."""

    tape: Tape
    plays: int = 0
    opens_well: bool = False
    stream: Server | None = None
    chunked: bool = True
    asked: list[tuple[Any, str, str]] = field(default_factory=list)  # id, method and nonce


class SseStage(HttpStage):
    """The stream of a case is opened by its GET; its POSTs are taken, and answered there."""

    def __init__(self) -> None:
        super().__init__()
        self._plays: dict[str, Play] = {}

    def reply(self, server: Server, head: bytes, body: bytes) -> Script:
        """What to answer to one request, beside what its stream says of it."""
        method, path, _ = head.split(b"\r\n", 1)[0].split(b" ")
        number = path.partition(b"?")[0].split(b"/")[1].decode()
        play = self._plays.get(number)
        if play is None:
            return plain(b"404 Not Found")
        place = b"/%b/messages?session_id=1" % number.encode()
        if method == b"GET":
            play.stream, play.chunked = server, True
            if play.plays >= PLAYS_MAX or play.opens_well:
                return opening(Tape(b""), play, place)
            play.plays += 1
            return opening(play.tape, play, place)
        said: Any = from_json(body)
        call_id, asked = said.get("id"), str(said.get("method", ""))
        nonce = str((said.get("params") or {}).get("arguments", {}).get("text", ""))[:NONCE_MAX]
        shakes_well = play.opens_well and asked in ("initialize", "notifications/initialized")
        if play.plays < PLAYS_MAX and not nonce.startswith(GOOD) and not shakes_well:
            play.plays += 1
            return self._spoil(play, call_id, asked, nonce)
        if "id" in said and asked and play.stream is not None:
            play.stream.add(_told(play, _event(right(call_id, asked, nonce))))
        return plain(ACCEPTED)

    def _spoil(self, play: Play, call_id: Any, asked: str, nonce: str) -> Script:
        tape = play.tape
        if call_id is not None and asked:
            play.asked.append((call_id, asked, nonce))
            if play.stream is not None:
                play.stream.add(saying(tape, play))
            return receipt(tape, call_id, asked, nonce)
        # Whoever gives up says so, and waits a second for that to be taken.
        if tape.seldom(24):
            return receipt(tape, call_id, asked, nonce)
        return plain(ACCEPTED)

    async def perform(self, number: str, tape: Tape, told: Counter[str]) -> None:
        """Open on a server that spoils what it says, call it, then open on a good one."""
        play = self._plays[number] = Play(tape=tape, opens_well=tape.below(4) > 0)
        client = SseClient(
            Endpoint.from_url(f"http://127.0.0.1:{self.port}/{number}/sse"),
            now_ns=CLOCK.now_ns,
            limits=LIMITS,
            schemas=SchemaBook(),
            revision="2025-03-26" if tape.seldom(8) else "",
        )
        try:
            await self._provoke(client, play, told)
            play.plays, play.asked = PLAYS_MAX, []
            client.forget_session()
            client.drop_connections()
            client.revision = ""
            opened = await client.open(deadline_ns=within(PATIENT_S))
            if opened.outcome or not client.session_id:
                raise WrongError(f"a good server was opened afterwards as {opened}")
            await self._serve_on(client, number)
        finally:
            await client.close(deadline_ns=0)
            client.drop_connections()
            del self._plays[number]
        if client._waiting:
            raise WrongError("a session that has ended still waits for something")

    async def _provoke(self, client: SseClient, play: Play, told: Counter[str]) -> None:
        tape = play.tape
        # A server that says nothing is waited for as long as the case says: briefly.
        patience_s = STALL_S if tape.below(2) else 2 * STALL_S
        # A good opening comes, however busy the machine is; without one nothing else is asked.
        opened = await client.open(
            deadline_ns=within(PATIENT_S if play.opens_well else 2 * patience_s)
        )
        check(told, opened)
        if opened.outcome and client.session_id:
            raise WrongError(f"a session without an opening: {opened}")
        if not opened.outcome and client.stats.listening is not Listening.OPEN:
            raise WrongError(f"an opening without a stream: {opened}")
        calls_max = 1 if opened.outcome else CALLS_MAX
        if tape.below(8) == 7:
            reply = await client.notify("notifications/x", b"{}", deadline_ns=within(patience_s))
            check(told, reply)

        async def call(text: str) -> None:
            params = to_json({"name": "echo", "arguments": {"text": text}})
            reply = await client.request(
                "tools/call", params, name="echo", deadline_ns=within(patience_s),
                lose_reply=tape.seldom(12), vanish_after_ns=2_000_000 if tape.seldom(12) else None,
            )  # fmt: skip
            check(told, reply)

        async with asyncio.TaskGroup() as calls:
            for number in range(1 + tape.below(calls_max)):
                calls.create_task(call(f"bad-{number}" + "x" * tape.one((0, 0, 0, 70_000))))
        if tape.below(4) == 3:
            client.drop_connections()
            await call("bad-late")

    async def _serve_on(self, client: SseClient, number: str) -> None:
        nonce = f"{GOOD}-{number}"
        params = to_json({"name": "echo", "arguments": {"text": nonce}})
        deadline_ns = within(PATIENT_S)
        reply = await client.request("tools/call", params, name="echo", deadline_ns=deadline_ns)
        check_good(reply, nonce)


def opening(tape: Tape, play: Play, place: bytes) -> Script:
    """The head of a stream and its first words; of an empty tape, the right ones."""
    shape = tape.below(16)
    if shape == 15:  # no stream, or one with a head of its own
        return script(tape, call_id=1, method="initialize", nonce="")
    play.chunked = shape < 12
    head = _STREAM + (b"Transfer-Encoding: chunked\r\n\r\n" if play.chunked else b"\r\n")
    named = b"event: endpoint" + tape.one(LINE_ENDS) + b"data: "
    words = [named + place + b"\n\n"]
    match tape.below(12):
        case 7:
            words = []
        case 8:
            words = [named + tape.one(_PLACES) + b"\n\n"]
        case 9:
            words.append(named + tape.one(_PLACES) + b"\n\n")
        case 10:
            words = [_event(message(tape, 1, "initialize", "")), *words]
        case 11:
            words = [tape.one(EVENT_LINES) + b"\n\n" * tape.below(2), *words]
    raw = b"".join(_framed(play, word) for word in words)
    raw = spoilt(tape, head + raw)
    return Script(segments=(b"",) * tape.one((0, 0, 9)) + cut(tape, raw), ending=_ending(tape))


def saying(tape: Tape, play: Play) -> Script:
    """What the stream says when something was posted; of an empty tape, the right reply."""
    made = b""
    for number in range(tape.one((1, 1, 1, 1, 0, 2, 3, 70))):
        # Of several calls in flight each may be meant, and one that is over as well.
        call_id, method, nonce = play.asked[-1 - tape.below(len(play.asked))]
        make = right if tape.below(2) else partial(message, tape)
        said = make(call_id, method, nonce) if number < 4 else FILLER
        made += _framed(play, _odd_event(tape, said))
    raw = spoilt(tape, made)
    return Script(segments=(b"",) * tape.one((0, 0, 9)) + cut(tape, raw), ending=_ending(tape))


def receipt(tape: Tape, call_id: Any, method: str, nonce: str) -> Script:
    """What a POST is answered with; of an empty tape, that it was taken."""
    late = (b"",) * tape.one((0, 0, 9))
    match tape.below(16):
        case 12:
            return Script(segments=(), ending=tape.one(("keep", "close", "reset")))
        case 13:
            refusal = plain(tape.one((b"400 Bad", b"404 Gone", b"500 Oh", b"302 There")))
            return Script(segments=late + refusal.segments, ending=tape.one(ENDINGS))
        case 14 | 15:
            return script(tape, call_id=call_id, method=method, nonce=nonce)
    return Script(segments=late + plain(ACCEPTED).segments, ending=tape.one(ENDINGS))


def _odd_event(tape: Tape, said: bytes) -> bytes:
    if not tape.seldom(64):
        return _event(said)
    end = tape.one(LINE_ENDS)
    lines = [b"event: " + tape.one(_NAMES)] if tape.below(2) else []
    lines += [tape.one(EVENT_LINES) for _ in range(tape.one((0, 1, 3)))]
    lines += [b"data: " + piece for piece in said.split(b",", tape.below(2))]
    return end.join(lines) + end + tape.one((end, end, end, b"", end * 3))


def _event(said: bytes) -> bytes:
    return b"event: message\ndata: " + said + b"\n\n"


def _told(play: Play, event: bytes) -> Script:
    return Script(segments=(_framed(play, event),))


def _framed(play: Play, event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event) if play.chunked and event else event


def _ending(tape: Tape) -> Ending:
    return tape.one(_STREAM_ENDINGS)
