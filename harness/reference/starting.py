"""How the bundled server comes to its beginning: what it needs is opened before anybody is served.

Told so by a variable, it takes as long as one whose caches are cold.
"""

from __future__ import annotations

import os
from typing import Final

import anyio

from faults.process import START_VARIABLE
from harness.errors import UsageError
from harness.flaws import Flaw, Flaws
from harness.reference.draining import Application, Receive, Scope, Send
from harness.reference.notes import Notes

TAKES_MAX_S: Final = 600.0


class Starting:
    """What has to be done before the first call, and whether it is done."""

    def __init__(self, *, flaws: Flaws) -> None:
        """Begin closed.

        Raises:
            UsageError: the variable says no number of seconds.
        """
        self.early = Flaw.READY_TOO_EARLY in flaws  # served meanwhile
        self._takes_s = _seconds(os.environ.get(START_VARIABLE, "").strip() or "0")
        self._done = False

    async def open(self, notes: Notes) -> None:
        """Take as long as was asked for, and open the store."""
        await anyio.sleep(self._takes_s)
        await notes.open()
        self._done = True

    def guarded(self, app: Application, *, besides: str) -> Application:
        """ready-too-early: who comes too early is refused, except at the path `besides`."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if self._done or scope["type"] != "http" or scope["path"] == besides:
                await app(scope, receive, send)
                return
            body = b"the store is not open yet\n"
            headers = [(b"content-length", str(len(body)).encode())]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": body})

        return serve


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= TAKES_MAX_S:
        raise UsageError(
            f"expected seconds from 0 to {TAKES_MAX_S:g} in the environment variable "
            f"{START_VARIABLE}, got {text[:20]!r}"
        )
    return seconds
