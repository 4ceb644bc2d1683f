"""What every visitor meets first: the guard, and the page's files, in which no state is."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

from plotly.offline import get_plotlyjs
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.gameday.doors import Doors
from harness.gameday.wish import RefusedError

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
FILES: Final = {
    "/": ("page.html", "text/html; charset=utf-8"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "chart", "dom", "form", "trials")
    },
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}


def page_routes() -> list[Route]:
    """Give the ways to the page's files."""
    return [
        *(Route(path, _file(*what), methods=["GET"]) for path, what in FILES.items()),
        Route("/plotly.js", _plotly, methods=["GET"]),
    ]


class Guarded:
    """Asks every request where it comes from, before anything else; and puts headers on answers."""

    def __init__(self, app: ASGIApp, doors: Doors) -> None:
        """Stand before this application."""
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or turn it away."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        request = Request(scope, receive)
        try:
            self._doors.check(request.method, request.headers)
            await self._app(scope, receive, dressed)
        except RefusedError as refused:
            await refusal(request, refused)(scope, receive, dressed)


def refusal(_: Request, refused: Exception) -> Response:
    """Answer with the reason for which something is not done."""
    assert isinstance(refused, RefusedError)
    return JSONResponse({"why": str(refused), "at": refused.at}, refused.status)


def _file(name: str, kind: str) -> Any:
    async def serve(_: Request) -> Response:
        text = (files("harness.gameday") / name).read_text(encoding="utf-8")
        return Response(text, media_type=kind)

    return serve


async def _plotly(_: Request) -> Response:
    return Response(plotly_text(), media_type="text/javascript; charset=utf-8")


@cache
def plotly_text() -> bytes:
    """Give the library that draws, as it is installed."""
    return bytes(get_plotlyjs(), "utf-8")
