"""What goes wrong with calls between the guard and the SDK: each flaw an application around it."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import anyio
import pydantic_core

from harness.flaws import Flaw, Flaws

MODERN_VERSION_MIN: Final = "2026-07-28"
ORPHAN_S: Final = 1.0  # how often a task that nobody awaits looks around
ORPHAN_BYTES: Final = 256 * 1024  # what it holds

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Called = Callable[[dict[str, Any], Scope, Receive, Send], Awaitable[None]]


def with_flaws(app: Application, flaws: Flaws) -> Application:
    """Give the application with those flaws of calls that are switched on around it."""
    if Flaw.ID_KEYED_RESPONSES in flaws:
        app = _on_call(app, _IdKeyed(app))
    if Flaw.GLOBAL_LOCK in flaws:
        app = _on_call(app, _OneAtATime(app))
    if Flaw.CANCEL_IGNORED in flaws:
        app = _DeafToCancels(app, falsy_only=False)
    if Flaw.ID_ZERO_FALSY in flaws:
        app = _DeafToCancels(app, falsy_only=True)
    if Flaw.DISCONNECT_CRASH in flaws:
        app = _on_call(app, _DiesOfDisconnects(app))
    if Flaw.UNBOUNDED_QUEUE in flaws:
        app = _on_call(app, _Hoards(app))
    if Flaw.ORPHAN_TASK in flaws:
        app = _on_call(app, _Orphans(app))
    return app


async def _body(receive: Receive) -> tuple[dict[str, Any], Receive]:
    """The message of a request that the guard has read whole, and a `receive` with it in front."""
    first = await receive()
    pending = [first]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    try:
        message = pydantic_core.from_json(first.get("body", b"") or b"null")
    except ValueError:
        message = None
    return (message if isinstance(message, dict) else {}), replay


def _on_call(app: Application, called: Called) -> Application:
    """Hand calls of tools to `called`, with the message that makes them; the rest passes."""

    async def choose(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await app(scope, receive, send)
            return
        message, receive = await _body(receive)
        if message.get("method") == "tools/call" and "id" in message:
            await called(message, scope, receive, send)
        else:
            await app(scope, receive, send)

    return choose


class _Mailbox:
    """Where one call waits for an answer."""

    def __init__(self) -> None:
        self.answer: list[Message] = []
        self.full = anyio.Event()


class _IdKeyed:
    """Keeps who waits for an answer by the bare request id, whoever's session it is.

    The newest waits at the front. So of two calls under one id, the first to be answered answers
    the second, and the other way round.
    """

    def __init__(self, app: Application) -> None:
        self._app = app
        self._waiting: dict[object, list[_Mailbox]] = {}

    async def __call__(
        self, message: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        mine = _Mailbox()
        waiting = self._waiting.setdefault(message["id"], [])
        waiting.append(mine)
        answer: list[Message] = []

        async def hold(part: Message) -> None:
            answer.append(part)

        try:
            await self._app(scope, receive, hold)
            if waiting:
                addressee = waiting.pop()
                addressee.answer = answer
                addressee.full.set()
            await mine.full.wait()
        finally:
            if mine in waiting:
                waiting.remove(mine)
            if not waiting:
                self._waiting.pop(message["id"], None)
        for part in mine.answer:
            await send(part)


class _OneAtATime:
    """Holds one lock around every tool, whoever calls it and whatever it touches."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._lock = anyio.Lock()

    async def __call__(
        self, message: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        del message
        async with self._lock:
            await self._app(scope, receive, send)


class _DeafToCancels:
    """Does not pass on that a call was called off; with `falsy_only`, of ids that are 0 or ""."""

    def __init__(self, app: Application, *, falsy_only: bool) -> None:
        self._app = app
        self._falsy_only = falsy_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        message, receive = await _body(receive)
        params = message.get("params")
        if message.get("method") == "notifications/cancelled":
            if self._ignores(params.get("requestId") if isinstance(params, dict) else None):
                await send({"type": "http.response.start", "status": 202, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        elif "id" in message and _is_modern(scope) and self._ignores(message["id"]):
            receive = _deaf(receive)
        await self._app(scope, receive, send)

    def _ignores(self, request_id: object) -> bool:
        return not (self._falsy_only and request_id)


def _is_modern(scope: Scope) -> bool:
    versions = [value for name, value in scope["headers"] if name == b"mcp-protocol-version"]
    return bool(versions) and versions[0].decode("latin-1") >= MODERN_VERSION_MIN


def _deaf(receive: Receive) -> Receive:
    async def listen() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            await anyio.sleep_forever()  # until the call has ended by itself
        return message

    return listen


class _DiesOfDisconnects:
    """Lets what a lost connection raises escape, and ends the whole process by it."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(
        self, message: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        del message
        done = False

        async def watch() -> Message:
            got = await receive()
            if got["type"] == "http.disconnect" and not done:
                os._exit(70)  # the end of a process whose exception nobody caught
            return got

        async def note(part: Message) -> None:
            nonlocal done
            done = done or (
                part["type"] == "http.response.body" and not part.get("more_body", False)
            )
            await send(part)

        await self._app(scope, watch, note)


class _Hoards:
    """Queues whatever a call sends and holds nobody back, however slowly it is taken."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(
        self, message: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        del message
        queue: asyncio.Queue[Message | None] = asyncio.Queue()  # without a bound: this is the flaw

        async def hoard(part: Message) -> None:
            queue.put_nowait(part)

        async def hand_out() -> None:
            while (part := await queue.get()) is not None:
                await send(part)

        async with anyio.create_task_group() as group:
            group.start_soon(hand_out)
            await self._app(scope, receive, hoard)
            queue.put_nowait(None)


class _Orphans:
    """Starts a task for each call that outlives it, and that nobody ever awaits or ends."""

    def __init__(self, app: Application) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(
        self, message: dict[str, Any], scope: Scope, receive: Receive, send: Send
    ) -> None:
        del message
        self._tasks.add(asyncio.create_task(_look_around()))
        await self._app(scope, receive, send)


async def _look_around() -> None:
    kept = bytearray(os.urandom(1) * ORPHAN_BYTES)
    for _ in itertools.count():
        kept[0] = (kept[0] + 1) % 256
        await asyncio.sleep(ORPHAN_S)
