"""What servers say unasked, however wrong: answered or counted, within bounds, and never raised."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from anyio import fail_after
from pydantic_core import to_json

from harness.outcome import Outcome
from harness.scenario.expressions import compile as template
from harness.wire.answering import Rules
from harness.wire.inbox import WATCHED_MAX, Inbox
from tests.wire.scripted import (
    LAST_CHUNK,
    STREAM_HEAD,
    WAIT_S,
    Peer,
    Request,
    answering,
    call,
    chunk,
    connected,
    event,
    http,
    response,
    serving,
    until,
)

pytestmark = pytest.mark.anyio


async def test_progress_that_goes_back_or_comes_after_the_reply_is_told() -> None:
    """Once for each kind and call; values that are no numbers are strays."""

    def said(token: Any, value: Any) -> bytes:
        params = {"progressToken": token, "progress": value}
        message = {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}
        return event(to_json(message))

    def reply(request: Request) -> tuple[bytes, ...]:
        before: tuple[tuple[Any, Any], ...] = (
            ("t", 1),
            ("t", 1),
            ("t", 0.5),
            ("t", 7),
            ("other", 1),
            ("t", "x"),
            ("t", None),
        )
        odd = tuple(said(*each) for each in (*before, ([], 1), (True, 1)))
        answer = event(response(request.message["id"]))
        return STREAM_HEAD, chunk(b"".join((*odd, answer, said("t", 9)))), LAST_CHUNK

    told: list[tuple[str, int]] = []
    async with serving(answering(reply)) as server, connected(server.url) as client:
        client.inbox.on_breach = lambda kind, of: told.append((kind, of))
        progress = client.inbox.watch_progress("t", 5)
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
        assert (progress.seen, progress.backwards) == (5, 2)
        progress.ended = True
        late = {"progressToken": "t", "progress": 10}
        client.inbox.hear({"method": "notifications/progress", "params": late})
        assert client.inbox.counts["heard:progress:stray"] == 5
    assert told == [("progress:backwards", 5), ("progress:late", 5)]


async def test_a_flood_of_questions_is_answered_by_the_rules_within_a_bound() -> None:
    """Odd ids come back as they were; what is too much at once is left, and counted."""
    ids: list[Any] = [0, -1, "", "ü", True, 2**60, "x" * 1000]
    more = [f"more {number}" for number in range(100)]
    asked = [{"jsonrpc": "2.0", "id": one, "method": "roots/list"} for one in (*ids, *more)]
    answers: list[dict[str, Any]] = []
    seven = asyncio.Event()

    async def serve(peer: Peer) -> None:
        while True:
            message = (await peer.request()).message
            if "method" in message:
                await peer.send(STREAM_HEAD, chunk(b"".join(event(to_json(one)) for one in asked)))
                await seven.wait()
                await peer.send(chunk(event(response(message["id"]))) + LAST_CHUNK)
            else:
                answers.append(message)
                await peer.send(http(status="202 Accepted"))
                if len(answers) >= len(ids):
                    seven.set()

    async with serving(serve) as server, connected(server.url) as client:
        client.inbox.rules = Rules(roots=(template("file:///srv"),))
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
        counts = client.inbox.counts
        assert client.stats.server_requests == len(asked)
        assert counts["asked:roots:answered"] + counts["asked:dropped"] == len(asked)
        assert counts["asked:roots:answered"] <= 8
    assert sorted(map(repr, (one["id"] for one in answers[:7]))) == sorted(map(repr, ids))
    assert all(one["result"] == {"roots": [{"uri": "file:///srv"}]} for one in answers)


@pytest.mark.parametrize(
    "message",
    [
        {"method": "notifications/progress"},
        {"method": "notifications/progress", "params": []},
        {"method": "notifications/progress", "params": {"progressToken": {}, "progress": {}}},
        {"method": "notifications/resources/updated", "params": 7},
        {"method": "notifications/tools/list_changed", "params": None},
        {"method": "notifications/no/such"},
        {"method": ""},
    ],
)
async def test_a_notification_that_makes_no_sense_changes_nothing(message: dict[str, Any]) -> None:
    """It is counted, and that is all."""
    inbox = Inbox()
    inbox.hear(message)
    assert inbox.notifications == 1


async def test_calls_whose_progress_is_watched_are_bounded() -> None:
    """The oldest is watched no longer: its notifications are strays."""
    inbox = Inbox()
    watched = [inbox.watch_progress(number, number) for number in range(WATCHED_MAX + 1)]
    for token in (0, WATCHED_MAX):
        params = {"progressToken": token, "progress": 1}
        inbox.hear({"method": "notifications/progress", "params": params})
    assert (watched[0].seen, watched[-1].seen) == (0, 1)
    assert inbox.counts["heard:progress:stray"] == 1


async def test_an_answer_takes_as_long_as_its_rule_says() -> None:
    """A person thinks; the time is counted apart from the call's."""
    answered: list[int] = []

    async def serve(peer: Peer) -> None:
        message = (await peer.request()).message
        if "method" not in message:
            await peer.send(http(status="202 Accepted"))
            answered.append(message["id"])
            done.set()
            return
        asked = b'{"jsonrpc":"2.0","id":5,"method":"roots/list"}'
        await peer.send(STREAM_HEAD, chunk(event(asked)))
        await done.wait()
        await peer.send(chunk(event(response(message["id"]))) + LAST_CHUNK)

    done = asyncio.Event()
    async with serving(serve) as server, connected(server.url) as client:
        client.inbox.rules = Rules(roots=(), after_ns=80_000_000)
        with fail_after(WAIT_S):
            assert (await call(client)).outcome is Outcome.OK
            await until(lambda: client.inbox.counts["answers:taken"])
        # A loop that counts in whole milliseconds may wake up one early.
        assert client.inbox.counts["answers:us"] >= 78_000
    assert answered == [5]
