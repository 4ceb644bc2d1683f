"""A call of several rounds, against servers that say exactly what a test gives them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import pytest
from anyio import fail_after
from pydantic_core import to_json

from harness.outcome import EndedBy, Outcome, Reason
from harness.scenario.expressions import compile as template
from harness.session.talking import ROUNDS_MAX, Conversation, Talk
from harness.wire.answering import NO_RULES, Rules, Sampled
from harness.wire.client import WireClient
from harness.wire.reply import Reply
from tests.wire.official import official
from tests.wire.scripted import (
    CLOCK,
    CONTENT,
    LAST_CHUNK,
    STREAM_HEAD,
    WAIT_S,
    Peer,
    Request,
    ScriptedServer,
    answering,
    chunk,
    connected,
    error,
    event,
    http,
    response,
    serving,
    within,
)

pytestmark = pytest.mark.anyio
_FORM = {
    "method": "elicitation/create",
    "params": {"message": "Name?", "requestedSchema": {"properties": {"name": {"default": "x"}}}},
}
_SAMPLE = {
    "method": "sampling/createMessage",
    "params": {"messages": [{"role": "user", "content": {"type": "text", "text": "n1"}}]},
}
_RULES = Rules(
    sampling=Sampled(text=template("${asked}!"), model="m"), elicitation="accept", tasks=True
)
_CALL = {"name": "echo", "arguments": {"a": 1}}


@pytest.fixture
def anyio_backend() -> str:
    """Real sockets need a real loop."""
    return "asyncio"


def _wants(state: Any = "s", **requests: Any) -> dict[str, Any]:
    wanted: dict[str, Any] = {"resultType": "input_required"}
    if requests:
        wanted["inputRequests"] = requests
    if state is not None:
        wanted["requestState"] = state
    return wanted


async def _hold(
    client: WireClient, talk: Talk | None = None, *, rules: Rules = _RULES, seconds: float = WAIT_S
) -> Reply:
    client.inbox.rules = rules
    client.adopt(client.era, version="2026-07-28" if client.era == "modern" else "2025-11-25")
    with fail_after(WAIT_S):
        return await Conversation(
            client=client,
            clock=CLOCK,
            method="tools/call",
            params=to_json(_CALL),
            name="echo",
            deadline_ns=within(seconds),
            talk=talk or Talk(),
        ).hold()


async def _talk(
    results: Sequence[Any],
    talk: Talk | None = None,
    *,
    era: Literal["legacy", "modern"] = "modern",
    rules: Rules = _RULES,
    seconds: float = WAIT_S,
) -> tuple[Reply, list[Request], dict[str, int]]:
    """Hold a call whose server gives these results in turn, the last one again and again."""
    made = iter(results)
    last: Any = None

    def reply(request: Request) -> bytes:
        nonlocal last
        if "id" not in request.message:
            return http(status="202 Accepted")
        last = next(made, last)
        if isinstance(last, tuple):
            return http(error(request.message["id"], *last))
        return http(response(request.message["id"], last))

    async with serving(answering(reply)) as server, connected(server.url, era=era) as client:
        held = await _hold(client, talk, rules=rules, seconds=seconds)
        return held, server.requests, dict(client.inbox.counts)


async def test_a_round_of_input_is_one_call_and_its_state_comes_back_as_it_was() -> None:
    """The answers carry the server's own keys, the state is echoed, and the id is a new one."""
    state = 'opaque \u2028 é "{}'
    asked = _wants(state, form=_FORM, model=_SAMPLE)
    reply, requests, counts = await _talk([asked, CONTENT])
    assert (reply.outcome, reply.reason) == (Outcome.OK, Reason.NONE)
    first, second = (one.message for one in requests)
    assert first["id"] != second["id"]
    assert second["params"]["requestState"] == state
    assert second["params"]["arguments"] == _CALL["arguments"]
    assert second["params"]["inputResponses"] == {
        "form": {"action": "accept", "content": {"name": "x"}},
        "model": {
            "role": "assistant",
            "content": {"type": "text", "text": "n1!"},
            "model": "m",
            "stopReason": "endTurn",
        },
    }
    assert "requestState" not in first["params"]
    assert counts["rounds"] == 1
    assert 0 < reply.sent_ns < reply.first_ns < reply.done_ns
    # The head of a request is counted too.
    assert reply.request_bytes > len(requests[0].body) + len(requests[1].body)


async def test_a_state_without_questions_is_brought_back_without_any_rule() -> None:
    """A server that sheds load asks for nothing but patience."""
    reply, requests, _ = await _talk([_wants("later"), CONTENT], rules=NO_RULES)
    assert reply.outcome is Outcome.OK
    assert requests[1].message["params"]["requestState"] == "later"
    assert "inputResponses" not in requests[1].message["params"]


@pytest.mark.parametrize(
    ("asked", "rules", "outcome", "reason"),
    [
        (_wants(None), _RULES, Outcome.PROTOCOL_ERROR, Reason.INPUT_MALFORMED),
        (_wants(7), _RULES, Outcome.PROTOCOL_ERROR, Reason.INPUT_MALFORMED),
        (_wants({"a": 1}), _RULES, Outcome.PROTOCOL_ERROR, Reason.INPUT_MALFORMED),
        (_wants("s", form="x"), _RULES, Outcome.PROTOCOL_ERROR, Reason.INPUT_MALFORMED),
        (_wants() | {"inputRequests": 1}, _RULES, Outcome.PROTOCOL_ERROR, Reason.INPUT_MALFORMED),
        (
            _wants("s", **{f"q{number}": _FORM for number in range(101)}),
            _RULES,
            Outcome.PROTOCOL_ERROR,
            Reason.INPUT_MALFORMED,
        ),
        (_wants("s", form=_FORM), NO_RULES, Outcome.PROTOCOL_ERROR, Reason.UNDECLARED),
        (_wants("s", it={"method": "no/such"}), _RULES, Outcome.PROTOCOL_ERROR, Reason.UNDECLARED),
        (_wants("s", it={"method": ["odd"]}), _RULES, Outcome.PROTOCOL_ERROR, Reason.UNDECLARED),
        (_wants("s", m=_SAMPLE), Rules(sampling="refuse"), Outcome.ABANDONED, Reason.INPUT_REFUSED),
        ({"resultType": "task"}, NO_RULES, Outcome.PROTOCOL_ERROR, Reason.UNDECLARED),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_ends_the_call_by_name(
    asked: Any, rules: Rules, outcome: Outcome, reason: Reason
) -> None:
    """One request, one named end, no guess at what the server may have meant."""
    reply, requests, _ = await _talk([asked], rules=rules)
    assert (reply.outcome, reply.reason) == (outcome, reason), reply
    assert len(requests) == 1
    assert reply.detail


async def test_a_server_that_never_finishes_is_left_after_ten_rounds() -> None:
    """A loop between two machines has to end somewhere."""
    reply, requests, _ = await _talk([_wants("s", form=_FORM)])
    assert (reply.outcome, reply.reason) == (Outcome.PROTOCOL_ERROR, Reason.INPUT_ENDLESS)
    assert len(requests) == ROUNDS_MAX + 1


async def test_all_rounds_share_one_deadline() -> None:
    """A server cannot stretch a call by asking."""
    reply, _, _ = await _talk([_wants("s")], seconds=0.15)
    assert reply.outcome in {Outcome.TIMEOUT, Outcome.HANG, Outcome.TRANSPORT_ERROR}


def _task(status: str, **more: Any) -> dict[str, Any]:
    return {"taskId": "t 1", "status": status, "ttlMs": None, "pollIntervalMs": 10, **more}


async def test_a_modern_task_is_polled_asked_back_and_brings_its_result() -> None:
    """Declared with the request, found by its id in the header, answered by the same rules."""
    created = {"resultType": "task", **_task("working")}
    asking = _task("input_required", inputRequests={"k": _FORM})
    reply, requests, counts = await _talk(
        [created, asking, {}, asking, _task("working"), _task("completed", result=CONTENT)]
    )
    assert (reply.outcome, reply.result) == (Outcome.OK, CONTENT)
    methods = [one.message["method"] for one in requests]
    assert methods == ["tools/call", "tasks/get", "tasks/update", *["tasks/get"] * 3]
    meta = requests[0].message["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"]
    assert "io.modelcontextprotocol/tasks" in meta["extensions"]
    assert {one.headers["mcp-name"] for one in requests[1:]} == {"t 1"}
    update = requests[2].message["params"]
    assert update["inputResponses"] == {"k": {"action": "accept", "content": {"name": "x"}}}
    assert (counts["tasks:created"], counts["tasks:completed"], counts["tasks:polls"]) == (1, 1, 4)


async def test_a_legacy_task_is_asked_for_and_its_result_fetched() -> None:
    """2025-11-25: the request says task, the result has a method of its own."""
    task = {"taskId": "t", "status": "working", "ttl": 1, "pollInterval": 10}
    reply, requests, _ = await _talk(
        [{"task": task}, {**task, "status": "completed"}, CONTENT], Talk(task=True), era="legacy"
    )
    assert (reply.outcome, reply.result) == (Outcome.OK, CONTENT)
    assert requests[0].message["params"]["task"]["ttl"] > 60_000
    methods = [one.message["method"] for one in requests]
    assert methods == ["tools/call", "tasks/get", "tasks/result"]


_CREATED = {"resultType": "task", **_task("working")}


@pytest.mark.parametrize(
    ("results", "outcome", "reason"),
    [
        ([_CREATED, _task("cancelled")], Outcome.TOOL_ERROR, Reason.TASK_CANCELLED),
        (
            [_CREATED, _task("failed", error={"code": 1, "message": "x"})],
            Outcome.PROTOCOL_ERROR,
            Reason.TASK_FAILED,
        ),
        ([_CREATED, (-32602, "no such task")], Outcome.PROTOCOL_ERROR, Reason.TASK_LOST),
        ([_CREATED, _task("resting")], Outcome.WRONG, Reason.RESULT_SHAPE),
        ([_CREATED, _task("x") | {"status": ["odd"]}], Outcome.WRONG, Reason.RESULT_SHAPE),
        ([_CREATED, _task("completed")], Outcome.WRONG, Reason.RESULT_SHAPE),
        (
            [_CREATED, _task("completed", result={"content": [], "isError": True})],
            Outcome.TOOL_ERROR,
            Reason.TOOL_ERROR,
        ),
        ([_CREATED | {"taskId": 7}], Outcome.WRONG, Reason.RESULT_SHAPE),
        ([_CREATED | {"taskId": "t" * 2000}], Outcome.WRONG, Reason.RESULT_SHAPE),
    ],
)
async def test_how_a_task_ends_is_how_its_call_ends(
    results: list[Any], outcome: Outcome, reason: Reason
) -> None:
    """Failed, cancelled, lost and nonsense have names of their own."""
    reply, _, _ = await _talk(results)
    assert (reply.outcome, reply.reason) == (outcome, reason), reply


async def test_a_task_without_end_is_cancelled_at_the_deadline() -> None:
    """Whoever waits no longer says so."""
    reply, requests, counts = await _talk([_CREATED, _task("working")], seconds=1.5)
    assert (reply.outcome, reply.reason) == (Outcome.TIMEOUT, Reason.DEADLINE)
    assert requests[-1].message["method"] == "tasks/cancel"
    assert counts["tasks:cancel_sent"] == 1


async def test_a_poll_that_fails_loses_no_task() -> None:
    """That is what tasks are for: the next poll asks again."""
    drop = [True]

    async def serve(peer: Peer) -> None:
        while True:
            request = await peer.request()
            message = request.message
            if message["method"] == "tools/call":
                await peer.send(http(response(message["id"], _CREATED)))
            elif drop:
                drop.clear()
                peer.reset()
                return
            else:
                await peer.send(http(response(message["id"], _task("completed", result=CONTENT))))

    async with serving(serve) as server, connected(server.url, era="modern") as client:
        reply = await _hold(client)
        assert reply.outcome is Outcome.OK
        assert client.inbox.counts["tasks:poll_failed"] == 1


async def _cancel(
    era: Literal["legacy", "modern"],
    serve: Callable[[Peer], Awaitable[None]],
    seen: asyncio.Event,
) -> tuple[Reply, ScriptedServer, dict[str, int]]:
    async with serving(serve) as server, connected(server.url, era=era) as client:
        reply = await _hold(client, Talk(cancel_after_ns=400_000_000))
        with fail_after(WAIT_S):
            await seen.wait()
        return reply, server, dict(client.inbox.counts)


async def test_a_modern_call_is_cancelled_by_closing_its_stream() -> None:
    """The server sees the end of the connection, and no message."""
    left = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.gone()
        left.set()

    reply, server, counts = await _cancel("modern", serve, left)
    assert (reply.outcome, reply.reason) == (Outcome.ABANDONED, Reason.CANCELLED)
    assert reply.ended_by is EndedBy.CLIENT
    assert len(server.requests) == 1
    assert counts == {"cancelled:closed": 1}


@pytest.mark.parametrize("answers", [True, False])
async def test_a_legacy_call_is_cancelled_by_a_notification_with_its_id(answers: bool) -> None:
    """What still comes for it is ignored, and counted."""
    told = asyncio.Event()

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        if "id" in request.message:
            await told.wait()
            if answers:
                await peer.send(http(response(request.message["id"])))
        else:
            await peer.send(http(status="202 Accepted"))
            told.set()

    reply, server, counts = await _cancel("legacy", serve, told)
    assert (reply.outcome, reply.reason) == (Outcome.ABANDONED, Reason.CANCELLED)
    called, cancelled = (one.message for one in server.requests)
    assert cancelled["method"] == "notifications/cancelled"
    assert cancelled["params"]["requestId"] == called["id"]
    assert counts == {"cancelled:answered" if answers else "cancelled:quiet": 1}


async def test_each_round_of_a_call_may_count_its_progress_anew() -> None:
    """The token is the call's, the notifications are each request's: no breach between rounds."""
    asked = iter((_wants("s"), CONTENT))

    def reply(request: Request) -> tuple[bytes, ...]:
        notes = [{"progressToken": "t", "progress": number} for number in range(1, 4)]
        said = b"".join(
            event(to_json({"jsonrpc": "2.0", "method": "notifications/progress", "params": one}))
            for one in notes
        )
        answer = event(response(request.message["id"], next(asked)))
        return STREAM_HEAD, chunk(said), chunk(answer) + LAST_CHUNK

    async with serving(answering(reply)) as server, connected(server.url, era="modern") as client:
        progress = client.inbox.watch_progress("t", 1)
        with fail_after(WAIT_S):
            held = await Conversation(
                client=client,
                clock=CLOCK,
                method="tools/call",
                params=to_json(_CALL),
                name="echo",
                deadline_ns=within(WAIT_S),
                talk=Talk(progress=True),
                progress=progress,
            ).hold()
    assert held.outcome is Outcome.OK
    assert (progress.seen, progress.backwards) == (6, 0)


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_the_official_server_stops_its_work_when_it_is_cancelled(
    era: Literal["legacy", "modern"],
) -> None:
    """By the notification in the handshake era, by the closed stream in the modern one."""
    async with official() as server, connected(server.url, era=era) as client:
        with fail_after(WAIT_S):
            await client.open(deadline_ns=within(WAIT_S))
            reply = await Conversation(
                client=client,
                clock=CLOCK,
                method="tools/call",
                params=b'{"name":"slow","arguments":{}}',
                name="slow",
                deadline_ns=within(WAIT_S),
                talk=Talk(cancel_after_ns=1_000_000_000),
            ).hold()
            assert (reply.outcome, reply.reason) == (Outcome.ABANDONED, Reason.CANCELLED)
            await server.cancelled.wait()


async def test_a_call_that_is_faster_than_its_cancel_is_a_call_like_others() -> None:
    """Nothing is cancelled that is over."""
    reply, requests, counts = await _talk([CONTENT], Talk(cancel_after_ns=5_000_000_000))
    assert (reply.outcome, len(requests), counts) == (Outcome.OK, 1, {})


async def test_progress_puts_the_deadline_off_up_to_a_maximum() -> None:
    """A server that still says something is waited for; one that goes quiet is not."""
    quiet = asyncio.Event()

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        if "id" not in request.message:
            await peer.send(http(status="202 Accepted"))
            return
        await peer.send(STREAM_HEAD)
        for number in range(6):
            said = {"progressToken": "t", "progress": number}
            notification = {"jsonrpc": "2.0", "method": "notifications/progress", "params": said}
            await peer.send(chunk(event(to_json(notification))))
            await asyncio.sleep(0.3)
        if quiet.is_set():
            return
        await peer.send(chunk(event(response(request.message["id"]))) + LAST_CHUNK)

    for silent, outcome in ((False, Outcome.OK), (True, Outcome.HANG)):
        if silent:
            quiet.set()
        async with serving(serve) as server, connected(server.url) as client:
            client.inbox.now_ns = CLOCK.now_ns
            client.adopt("legacy", version="2025-11-25")
            with fail_after(WAIT_S):
                conversation = Conversation(
                    client=client,
                    clock=CLOCK,
                    method="tools/call",
                    params=to_json(_CALL),
                    name="echo",
                    deadline_ns=within(1.2),
                    talk=Talk(progress=True, patience_ns=8_000_000_000),
                    progress=client.inbox.watch_progress("t", 1),
                )
                reply = await conversation.hold()
            assert reply.outcome is outcome
