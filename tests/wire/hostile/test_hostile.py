"""No server can crash the client, fill its memory or leave a call without a named outcome."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
import uvloop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness.outcome import Outcome
from harness.wire.endpoint import Endpoint
from harness.wire.reply import Reply as Told
from harness.wire.schemas import SchemaBook
from harness.wire.sse_legacy import SseClient
from harness.wire.sse_stream import EventStream
from harness.wire.stdio import StdioClient
from tests.wire import talking
from tests.wire.hostile.corpus_http import CALL_ID, CORPUS, Reply
from tests.wire.hostile.corpus_sse import (
    OPEN,
    OPENINGS,
    PLACE,
    SAYINGS,
    TAKEN,
    Opening,
    Saying,
)
from tests.wire.hostile.corpus_stdio import OUTPUTS, Output
from tests.wire.hostile.fuzz import GROWTH_MAX_BYTES, STAGES, play, tapes
from tests.wire.hostile.over_pipes import Lines, Play, Source
from tests.wire.hostile.replies import Ending, Script, script
from tests.wire.hostile.stage import LIMITS, Stage, staged
from tests.wire.hostile.tape import Tape
from tests.wire.scripted import CLOCK, ECHO, WAIT_S, Peer, connected, serving, within
from tests.wire.talking import client, crew

AnswerT = TypeVar("AnswerT", Opening, Saying, Output)
# Over pipes: a line over the limit ends a call that a full pipe has kept from being begun.
NEVER_SENT = bytes.fromhex(
    "3cb8f25f224d652dd07ff74694db802a505461e669cdae7a1378870f0d74a7f04f1b270c295c67033589f60eb913"
    "04ed685bc4fdfa5776e115bf91961b6c6a2171183096ef9c2177c491c7f2a4e1ed9706a4dcb5c4167f06910dbb05"
    "dda3210b"
)
CI_CASES = {"http": 12_000, "sse": 4_000, "stdio": 4_000}
TEETH = {
    "http": ("OK", "PROTOCOL_ERROR", "TRANSPORT_ERROR", "WRONG"),
    "sse": ("OK", "PROTOCOL_ERROR", "TRANSPORT_ERROR", "WRONG", "HANG", "TIMEOUT"),
    "stdio": ("OK", "PROTOCOL_ERROR", "TRANSPORT_ERROR", "WRONG", "HANG", "TIMEOUT"),
}
REAL = (
    "carriage returns",
    "noise first",
    "no utf-8",
    "requests without end",
    "the reply, and death",
    "half a reply, and death",
)
SILENT = (Outcome.HANG, Outcome.TIMEOUT)
SILENCE_S = 2.0  # long enough to have said all there is to say


def _loud(corpus: Sequence[AnswerT]) -> list[AnswerT]:
    return [one for one in corpus if one.outcome not in SILENT]


@pytest.mark.anyio
@pytest.mark.parametrize("reply", CORPUS, ids=lambda reply: reply.name)
async def test_each_reply_of_the_corpus_has_its_name(reply: Reply) -> None:
    """Outcome and reason, whole and byte by byte."""
    for segments in ((reply.sent,), _pieces(reply.sent)):

        async def serve(peer: Peer, sent: tuple[bytes, ...] = segments) -> None:
            await peer.request()
            await peer.send(*sent)
            await _end(peer, reply.ending)

        async with serving(serve) as server, connected(server.url) as client:
            client.adopt("legacy", version="2025-11-25")
            client._next_id = CALL_ID
            told = await client.request("tools/call", ECHO, name="echo", deadline_ns=within(WAIT_S))
        assert (told.outcome, told.reason) == (reply.outcome, reply.reason), told


def _pieces(raw: bytes) -> tuple[bytes, ...]:
    """Cut finely where it matters: at the start and at the end."""
    if len(raw) <= 64:
        return tuple(raw[at : at + 1] for at in range(len(raw)))
    head = tuple(raw[at : at + 7] for at in range(0, 56, 7))
    return (*head, raw[56:-4], *(raw[at : at + 1] for at in range(len(raw) - 4, len(raw))))


@pytest.mark.anyio
@pytest.mark.parametrize("opening", _loud(OPENINGS), ids=lambda opening: opening.name)
async def test_each_opening_of_the_corpus_has_its_name(opening: Opening) -> None:
    """Outcome and reason, whole and byte by byte, and no session."""
    for segments in ((opening.sent,), _pieces(opening.sent)):
        told = await _open_on(opening, segments)
        assert (told.outcome, told.reason) == (opening.outcome, opening.reason), told


@pytest.mark.anyio
@pytest.mark.parametrize("saying", _loud(SAYINGS), ids=lambda saying: saying.name)
async def test_each_saying_of_the_corpus_has_its_name(saying: Saying) -> None:
    """Outcome and reason, whole and byte by byte, with the receipt before what the stream says."""
    for segments in ((saying.sent,), _pieces(saying.sent)):
        told = await _call_over_sse(saying, segments)
        assert (told.outcome, told.reason) == (saying.outcome, saying.reason), told


@pytest.mark.anyio
@pytest.mark.parametrize("output", _loud(OUTPUTS), ids=lambda output: output.name)
async def test_each_output_of_the_corpus_has_its_name(output: Output) -> None:
    """Outcome and reason, whole and byte by byte."""
    for segments in ((output.sent,), _pieces(output.sent)):
        told = await _call_over_pipes(output, segments)
        assert (told.outcome, told.reason) == (output.outcome, output.reason), told


@pytest.mark.anyio
@pytest.mark.parametrize(
    "output", [one for one in OUTPUTS if one.name in REAL], ids=lambda output: output.name
)
async def test_a_real_process_is_read_like_one_that_is_played(
    output: Output, tmp_path: Path
) -> None:
    """Else the pipes of these tests would show nothing of a process's."""
    turn = f"def turn(asked):\n    os.write(1, bytes.fromhex('{output.sent.hex()}'))\n"
    if output.ending == "die":
        turn += "    os.kill(os.getpid(), 9)\n"
    async with crew(tmp_path, turn) as processes:
        speaker = client(processes)
        assert (await speaker.open(deadline_ns=talking.within())).outcome is Outcome.OK
        assert speaker._served is not None
        speaker._served.pipe._next_id = CALL_ID
        told = await talking.call(speaker)
        assert (told.outcome, told.reason) == (output.outcome, output.reason), told
        await speaker.close(deadline_ns=0)


@pytest.mark.anyio
async def test_what_is_never_answered_has_its_name() -> None:
    """The rest of the three corpora, all waited for at the same time."""
    plays: list[tuple[Opening | Saying | Output, Coroutine[None, None, Told]]] = []
    corpus: list[Opening | Saying | Output] = [*OPENINGS, *SAYINGS, *OUTPUTS]
    for one in corpus:
        if one.outcome not in SILENT:
            continue
        if isinstance(one, Opening):
            plays.append((one, _open_on(one, (one.sent,))))
        elif isinstance(one, Saying):
            plays.append((one, _call_over_sse(one, (one.sent,))))
        else:
            plays.append((one, _call_over_pipes(one, _pieces(one.sent))))
    replies = await asyncio.gather(*(play for _, play in plays))
    for (one, _), told in zip(plays, replies, strict=True):
        assert (told.outcome, told.reason) == (one.outcome, one.reason), f"{one.name}: {told}"


async def _open_on(opening: Opening, segments: tuple[bytes, ...]) -> Told:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(*segments)
        await _end(peer, opening.ending)

    async with serving(serve) as server:
        client = _sse_client(server.url)
        told = await client.open(deadline_ns=_patience(opening.outcome))
        assert not client.session_id
        return told


async def _call_over_sse(saying: Saying, segments: tuple[bytes, ...]) -> Told:
    posted = asyncio.Event()

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        if request.method == "GET":
            await peer.send(OPEN + PLACE)
            await posted.wait()
            await peer.send(*segments)
            await _end(peer, saying.ending)
            return
        await peer.send(saying.receipt)
        # Where the stream has nothing to say, the receipt alone is to decide.
        if saying.sent or saying.ending != "keep":
            posted.set()
        await _end(peer, saying.receipt_ending)
        await peer.request()  # what is not answered is cancelled
        await peer.send(TAKEN)

    async with serving(serve) as server:
        client = _sse_client(server.url)
        await _begin(client)
        told = await client.request(
            "tools/call", ECHO, name="echo", deadline_ns=_patience(saying.outcome)
        )
        await client.close(deadline_ns=0)
        return told


async def _call_over_pipes(output: Output, segments: tuple[bytes, ...]) -> Told:
    played = Lines(segments=segments, ending=output.ending, status=output.status)
    source = Source(Play(tape=Tape(b""), said={CALL_ID: played}), shared=False)
    client = StdioClient(
        source, era="legacy", now_ns=CLOCK.now_ns, limits=LIMITS, schemas=SchemaBook()
    )
    assert (await client.open(deadline_ns=within(WAIT_S))).outcome is Outcome.OK
    source.servers[0].pipe._next_id = CALL_ID
    told = await client.request(
        "tools/call", ECHO, name="echo", deadline_ns=_patience(output.outcome)
    )
    await client.close(deadline_ns=0)
    return told


def _patience(outcome: Outcome) -> int:
    return within(SILENCE_S if outcome in SILENT else WAIT_S)


def _sse_client(url: str) -> SseClient:
    endpoint = Endpoint.from_url(url)
    return SseClient(endpoint, now_ns=CLOCK.now_ns, limits=LIMITS, schemas=SchemaBook())


async def _begin(client: SseClient) -> None:
    """Have the stream, without a handshake."""
    client._stream = stream = EventStream(client.endpoint, client._pool, client)
    head = client._head("GET", client.endpoint)
    assert await stream.open(head, within(WAIT_S)) is None
    client._next_id = CALL_ID


async def _end(peer: Peer, ending: Ending) -> None:
    if ending == "close":
        peer.end()
    elif ending == "reset":
        peer.reset()


Theatre = tuple[asyncio.Runner, dict[str, Stage]]


@pytest.fixture(scope="module")
def theatre() -> Iterator[Theatre]:
    """One loop and one stage of each kind for all cases."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stages = {name: kind() for name, kind in STAGES.items()}
        made = contextlib.AsyncExitStack()
        for stage in stages.values():
            runner.run(made.enter_async_context(staged(stage)))
        yield runner, stages
        runner.run(made.aclose())


@pytest.mark.parametrize("transport", STAGES)
@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tape=st.binary(max_size=96))
@example(tape=b"")
@example(tape=NEVER_SENT)
def test_any_case_is_survived(theatre: Theatre, transport: str, tape: bytes) -> None:
    """What fails shrinks to the shortest tape that does."""
    runner, stages = theatre
    runner.run(stages[transport].case("0", tape))
    assert not stages[transport].complaints


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("transport", STAGES)
def test_many_cases_are_survived(transport: str) -> None:
    """Every reply named, a good server served afterwards, nothing left, memory as before."""
    cases = CI_CASES[transport]
    figures = uvloop.run(play(STAGES[transport](), tapes(cases, seed=1)))
    assert figures.cases == cases
    assert figures.grown_bytes < GROWTH_MAX_BYTES
    # A fuzzer that no longer reaches something has lost its teeth.
    reached = Counter(name.split()[0] for name in figures.outcomes.elements())
    assert min(reached[name] for name in TEETH[transport]) > 20
    assert len(figures.outcomes) > 12


@pytest.mark.parametrize("transport", STAGES)
def test_an_empty_tape_is_a_good_server(theatre: Theatre, transport: str) -> None:
    """Else nothing that a tape shows would be the tape's doing."""
    runner, stages = theatre
    assert set(runner.run(stages[transport].case("0", b""))) == {"OK NONE"}


def test_an_empty_tape_is_a_right_reply() -> None:
    """Else nothing that a tape shows would be the tape's doing."""
    played = script(Tape(b""), call_id=3, method="tools/call", nonce="n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 71\r\n\r\n"
    body = b'{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"n"}]}}'
    assert played == Script(segments=(head.replace(b"71", b"%d" % len(body)) + body,))
