"""How the bundled server comes to its end: what is under way is answered, nothing new is begun.

Told to end, it says that it is not ready, refuses new requests with 503, ends the streams that
would stand for ever, and waits for the calls in flight; for all of it no longer than `DRAIN_S`.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import anyio

from harness.flaws import Flaw, Flaws

DRAIN_S: Final = 10.0
STANDING_METHOD: Final = b"subscriptions/listen"
POLL_S: Final = 0.05

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Draining:
    """An ASGI application that knows what is under way in another, and can bring it to an end."""

    def __init__(self, app: Application, *, flaws: Flaws) -> None:
        """Let everything through until told to drain."""
        self._app = app
        self._flaws = flaws
        self._calls = 0
        self._standing: set[anyio.CancelScope] = set()
        self._for_debugging: list[bytes] = []  # of the flaw memory-per-call
        self.over = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it because the end has begun."""
        if Flaw.MEMORY_PER_CALL in self._flaws:
            send = self._remembering(send)
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self.over and Flaw.SIGTERM_HANG not in self._flaws:
            await _refuse(send)
        elif _stands(scope):
            await self._stand(scope, receive, send)
        else:
            self._calls += 1
            try:
                await self._app(scope, receive, send)
            finally:
                self._calls -= 1

    async def _stand(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a stream that has no end of its own."""
        begun = False

        async def watch(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            await send(message)

        with anyio.CancelScope() as standing:
            self._standing.add(standing)
            try:
                await self._app(scope, receive, watch)
            finally:
                self._standing.discard(standing)
        if standing.cancelled_caught and begun:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _remembering(self, send: Send) -> Send:
        async def remember(message: Message) -> None:
            self._for_debugging.append(bytes(message.get("body", b"")))
            await send(message)

        return remember

    async def drain(self) -> None:
        """Begin nothing new, and return when what is under way is done, or has had its time."""
        if Flaw.SIGTERM_CUT in self._flaws:
            os._exit(0)
        self.over = True
        if Flaw.SIGTERM_HANG in self._flaws:
            while self._calls or self._standing:  # noqa: ASYNC110 - this is the flaw
                await anyio.sleep(POLL_S)
            return
        for standing in tuple(self._standing):
            standing.cancel()
        with anyio.move_on_after(DRAIN_S):
            while self._calls:  # noqa: ASYNC110 - counted on the hot path, looked at once
                await anyio.sleep(POLL_S)


def _stands(scope: Scope) -> bool:
    """Whether a request opens a stream that is meant to stay."""
    headers = dict(scope["headers"])
    if scope["method"] == "GET":
        return b"text/event-stream" in headers.get(b"accept", b"")
    return bool(headers.get(b"mcp-method") == STANDING_METHOD)


async def _refuse(send: Send) -> None:
    body = b"this server is coming to its end; ask another one, or again in a second\n"
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
