"""Where visitors wait: the page is there before the day is, and says what it waits for."""

from __future__ import annotations

from typing import Final

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.gameday.doors import Doors
from harness.gameday.porch import Guarded, page_routes, refusal
from harness.gameday.wish import RefusedError

PARTING_S: Final = 3.0  # for pages that still listen
STARTING: Final = "squall is starting"
JUDGING: Final = "the day is over and is being judged; the terminal where it was started goes on"


class Lobby:
    """Answers at a day's doors from the first moment on; once there is a desk, that does."""

    def __init__(self, doors: Doors) -> None:
        """Have only the page's files, and a word on what is waited for."""
        self.waits_for = STARTING
        self._doors = doors
        self._desk: ASGIApp | None = None
        self._at_desk: set[anyio.CancelScope] = set()
        routes = [
            *page_routes(),
            Route("/api/{deed}", self._not_yet, methods=["GET", "POST"]),
        ]
        app = Starlette(routes=routes, exception_handlers={RefusedError: refusal})
        self._alone = Guarded(app, doors)

    def open(self, desk: ASGIApp) -> None:
        """Let everybody in to the desk from now on."""
        self._desk = desk

    async def close(self) -> None:
        """Let nobody in any more, and wait until the desk is left: at last, see them out."""
        self._desk, self.waits_for = None, JUDGING
        with anyio.CancelScope(shield=True):
            with anyio.move_on_after(PARTING_S):
                await self._left()
            for scope in self._at_desk:
                scope.cancel()
            await self._left()

    async def _left(self) -> None:
        while self._at_desk:  # noqa: ASYNC110  a desk tells nobody
            await anyio.sleep(0.02)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if self._desk is None:
            await self._alone(scope, receive, send)
            return
        with anyio.CancelScope() as mine:
            self._at_desk.add(mine)
            try:
                await self._desk(scope, receive, send)
            finally:
                self._at_desk.discard(mine)

    async def _not_yet(self, request: Request) -> Response:
        """Tell those who have a link what is waited for."""
        self._doors.role(request.headers)
        raise RefusedError(self.waits_for, status=503)
