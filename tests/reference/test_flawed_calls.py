"""What each flaw between the guard and the SDK does to calls, on an application of a few lines."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic_core import from_json, to_json

from harness.flaws import Flaw
from harness.reference.flawed_calls import (
    Application,
    Message,
    Receive,
    Scope,
    Send,
    with_flaws,
)

pytestmark = pytest.mark.anyio

LIMIT_S = 10
MODERN = [(b"mcp-protocol-version", b"2026-07-28")]


class Server:
    """Answers a call with its own argument when it is told to; knows who left and who was told."""

    def __init__(self) -> None:
        self.begun: list[Any] = []
        self.left: list[Any] = []
        self.told: list[Any] = []
        self.go: dict[Any, anyio.Event] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        del scope
        message = from_json((await receive())["body"])
        if "id" not in message:
            self.told.append(message["params"]["requestId"])
            await send({"type": "http.response.start", "status": 202, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        text = message["params"]["arguments"]["text"]
        self.begun.append(text)
        async with anyio.create_task_group() as group:
            group.start_soon(self._watch, receive, text, group.cancel_scope)
            await self.go.setdefault(text, anyio.Event()).wait()
            group.cancel_scope.cancel()
        if text not in self.left:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": text.encode()})

    async def _watch(self, receive: Receive, text: str, scope: anyio.CancelScope) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left.append(text)
        scope.cancel()


class Caller:
    """One request to an application, from a client that may leave."""

    def __init__(self, text: str, *, call_id: Any = 1, headers: Any = ()) -> None:
        self.text = text
        self.scope: Scope = {"type": "http", "method": "POST", "headers": list(headers)}
        params = {"name": "t", "arguments": {"text": text}}
        self.message = {"id": call_id, "method": "tools/call", "params": params}
        self.sent: list[Message] = []
        self.leave = anyio.Event()
        self._asked = False

    async def receive(self) -> Message:
        """Give the body, then nothing until the client leaves."""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": to_json(self.message), "more_body": False}
        await self.leave.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Take what comes."""
        self.sent.append(message)

    @property
    def answer(self) -> str:
        """What has come."""
        return b"".join(part.get("body", b"") for part in self.sent).decode()


def cancelling(call_id: Any) -> Caller:
    """A notification that calls off a call."""
    caller = Caller("")
    caller.message = {"method": "notifications/cancelled", "params": {"requestId": call_id}}
    return caller


async def served(flaw: Flaw | None, callers: list[Caller], order: list[str]) -> Server:
    """Let callers ask one after another, and be answered in an order."""
    server = Server()
    app = with_flaws(server, frozenset({flaw} if flaw else ()))
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:
            for number, caller in enumerate(callers, start=1):
                group.start_soon(_ask, app, caller)
                while flaw is not Flaw.GLOBAL_LOCK and len(server.begun) < number:
                    await anyio.lowlevel.checkpoint()
            for text in order:
                server.go.setdefault(text, anyio.Event()).set()
                await anyio.wait_all_tasks_blocked()
    return server


async def _left(flaw: Flaw | None, caller: Caller) -> Server:
    """Let a caller leave in the middle of its call."""
    server = Server()
    app = with_flaws(server, frozenset({flaw} if flaw else ()))
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(_ask, app, caller)
            await anyio.wait_all_tasks_blocked()
            caller.leave.set()
            await anyio.wait_all_tasks_blocked()
            server.go[caller.text].set()
    return server


async def _ask(app: Application, caller: Caller) -> None:
    await app(caller.scope, caller.receive, caller.send)


@pytest.mark.parametrize("flaw", [None, Flaw.ID_KEYED_RESPONSES])
async def test_calls_under_one_id_get_each_others_answers(flaw: Flaw | None) -> None:
    """Only with the flaw, and only where the ids are equal."""
    callers = [Caller("a"), Caller("b"), Caller("c", call_id=2)]
    await served(flaw, callers, ["a", "b", "c"])
    assert [one.answer for one in callers] == (["b", "a", "c"] if flaw else ["a", "b", "c"])


@pytest.mark.parametrize("flaw", [None, Flaw.GLOBAL_LOCK])
async def test_one_lock_lets_one_call_begin(flaw: Flaw | None) -> None:
    """The next begins when the first has ended."""
    callers = [Caller("a"), Caller("b", call_id=2)]
    server = Server()
    app = with_flaws(server, frozenset({flaw} if flaw else ()))
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:
            for caller in callers:
                group.start_soon(_ask, app, caller)
                await anyio.wait_all_tasks_blocked()
            begun = list(server.begun)
            for text in "ab":
                server.go.setdefault(text, anyio.Event()).set()
    assert begun == (["a"] if flaw else ["a", "b"])
    assert [one.answer for one in callers] == ["a", "b"]


@pytest.mark.parametrize(
    ("flaw", "told"),
    [
        (None, [7, 0, ""]),
        (Flaw.CANCEL_IGNORED, []),
        (Flaw.ID_ZERO_FALSY, [7]),
    ],
)
async def test_a_cancel_in_words_is_dropped(flaw: Flaw | None, told: list[Any]) -> None:
    """It is accepted as if it had been understood."""
    server = Server()
    app = with_flaws(server, frozenset({flaw} if flaw else ()))
    for call_id in (7, 0, ""):
        caller = cancelling(call_id)
        with anyio.fail_after(LIMIT_S):
            await app(caller.scope, caller.receive, caller.send)
        assert caller.sent[0]["status"] == 202
    assert server.told == told


@pytest.mark.parametrize(
    ("flaw", "call_id", "headers", "noticed"),
    [
        (None, 0, MODERN, True),
        (Flaw.CANCEL_IGNORED, 7, MODERN, False),
        (Flaw.CANCEL_IGNORED, 7, [], True),  # before, a lost connection was no cancel
        (Flaw.ID_ZERO_FALSY, 0, MODERN, False),
        (Flaw.ID_ZERO_FALSY, "", MODERN, False),
        (Flaw.ID_ZERO_FALSY, 7, MODERN, True),
    ],
)
async def test_a_closed_stream_is_dropped_in_the_modern_era(
    flaw: Flaw | None, call_id: Any, headers: Any, noticed: bool
) -> None:
    """The call goes on to its end, though nobody is there."""
    server = await _left(flaw, Caller("a", call_id=call_id, headers=headers))
    assert server.left == (["a"] if noticed else [])


async def test_a_lost_connection_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """In mid-call; one that ends after its answer does no harm."""
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    fine = Caller("a")
    await served(Flaw.DISCONNECT_CRASH, [fine], ["a"])
    assert (fine.answer, ended) == ("a", [])
    await _left(Flaw.DISCONNECT_CRASH, Caller("b"))
    assert ended == [70]


@pytest.mark.parametrize("flaw", [None, Flaw.UNBOUNDED_QUEUE])
async def test_a_slow_reader_holds_the_writer_back(flaw: Flaw | None) -> None:
    """With the flaw it is never held back, and what it writes is kept."""
    written: list[int] = []
    taken = anyio.Event()

    async def writes(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        for number in range(5):
            await send({"type": "http.response.body", "body": b"x", "more_body": number < 4})
            written.append(number)

    async def slow(message: Message) -> None:
        del message
        await taken.wait()

    app = with_flaws(writes, frozenset({flaw} if flaw else ()))
    caller = Caller("a")
    with anyio.fail_after(LIMIT_S):
        async with anyio.create_task_group() as group:
            group.start_soon(_send_to, app, caller, slow)
            await anyio.wait_all_tasks_blocked()
            assert len(written) == (5 if flaw else 0)
            taken.set()
    assert len(written) == 5


async def _send_to(app: Application, caller: Caller, send: Send) -> None:
    await app(caller.scope, caller.receive, send)


async def test_each_call_leaves_a_task_behind() -> None:
    """It outlives its call, and is never awaited."""
    before = len(asyncio.all_tasks())
    callers = [Caller("a"), Caller("b", call_id=2)]
    await served(Flaw.ORPHAN_TASK, callers, ["a", "b"])
    orphans = [task for task in asyncio.all_tasks() if "_look_around" in repr(task)]
    assert len(orphans) == 2
    for task in orphans:
        task.cancel()
    await asyncio.gather(*orphans, return_exceptions=True)
    assert len(asyncio.all_tasks()) == before
