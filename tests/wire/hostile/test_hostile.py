"""No server can crash the client, fill its memory or leave a call without a named outcome."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
import uvloop
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.wire.hostile.corpus import CALL_ID, CORPUS, Reply
from tests.wire.hostile.fuzz import GROWTH_MAX_BYTES, play, tapes
from tests.wire.hostile.replies import Script, script
from tests.wire.hostile.stage import Stage, staged
from tests.wire.hostile.tape import Tape
from tests.wire.scripted import ECHO, WAIT_S, Peer, connected, serving, within

CI_CASES = 20_000


@pytest.mark.anyio
@pytest.mark.parametrize("reply", CORPUS, ids=lambda reply: reply.name)
async def test_each_reply_of_the_corpus_has_its_name(reply: Reply) -> None:
    """Outcome and reason, whole and byte by byte."""
    for segments in ((reply.sent,), _pieces(reply.sent)):

        async def serve(peer: Peer, sent: tuple[bytes, ...] = segments) -> None:
            await peer.request()
            await peer.send(*sent)
            if reply.ending == "close":
                peer.end()
            elif reply.ending == "reset":
                peer.reset()

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


@pytest.fixture(scope="module")
def theatre() -> Iterator[tuple[asyncio.Runner, Stage]]:
    """One loop and one server for all cases."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        made = staged()
        stage = runner.run(made.__aenter__())
        yield runner, stage
        runner.run(made.__aexit__(None, None, None))


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tape=st.binary(max_size=96))
@example(tape=b"")
def test_any_case_is_survived(theatre: tuple[asyncio.Runner, Stage], tape: bytes) -> None:
    """What fails shrinks to the shortest tape that does."""
    runner, stage = theatre
    runner.run(stage.case("0", tape))
    assert not stage.complaints


@pytest.mark.slow
def test_many_cases_are_survived() -> None:
    """Every reply named, a good server served afterwards, nothing left, memory as before."""
    figures = uvloop.run(play(tapes(CI_CASES, seed=1)))
    assert figures.cases == CI_CASES
    assert figures.grown_bytes < GROWTH_MAX_BYTES
    # A fuzzer that no longer reaches something has lost its teeth.
    reached = Counter(name.split()[0] for name in figures.outcomes.elements())
    assert min(reached[name] for name in ("OK", "PROTOCOL_ERROR", "TRANSPORT_ERROR", "WRONG")) > 50
    assert len(figures.outcomes) > 15


def test_an_empty_tape_is_a_good_server() -> None:
    """Else nothing that a tape shows would be the tape's doing."""
    played = script(Tape(b""), call_id=3, method="tools/call", nonce="n")
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 71\r\n\r\n"
    body = b'{"jsonrpc":"2.0","id":3,"result":{"content":[{"type":"text","text":"n"}]}}'
    assert played == Script(segments=(head.replace(b"71", b"%d" % len(body)) + body,))
