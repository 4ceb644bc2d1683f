"""Flaws of the bundled server's event streams, between it and its clients."""

from __future__ import annotations

from typing import Final

import anyio

from harness.flaws import Flaw, Flaws
from harness.reference.guard import Application, Message, Receive, Scope, Send

CUT_S: Final = 2.0


class FlawedStreams:
    """An ASGI application whose event streams are spoiled on their way out."""

    def __init__(self, app: Application, *, flaws: Flaws) -> None:
        """Spoil what `app` sends as `flaws` say."""
        self._app = app
        self._flaws = flaws

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if Flaw.NO_FLUSH_HEADER in self._flaws:
            send = _held_back(send)
        if Flaw.ABSOLUTE_WRITE_TIMEOUT not in self._flaws:
            await self._app(scope, receive, send)
            return
        with anyio.move_on_after(CUT_S) as writing:
            await self._app(scope, receive, send)
        if writing.cancelled_caught:
            raise TimeoutError("the response took too long")


def _held_back(send: Send) -> Send:
    """A `send` that lets nothing out before the last of it is there."""
    held: list[Message] = []

    async def hold(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(n, v) for n, v in message.get("headers", ()) if n != b"x-accel-buffering"]
            message = {**message, "headers": kept}
        held.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            for one in held:
                await send(one)
            held.clear()

    return hold
