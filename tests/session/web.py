"""A web that is a table: URLs and what they answer, without a socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

TARGET = "http://target.test/mcp"


Handler = Callable[[Request], Response | Awaitable[Response]]


def site(routes: Mapping[str, Handler]) -> httpx.AsyncClient:
    """A client to which all of the web is this table of URLs; anything else is 404."""
    return _web(lambda request: routes.get(str(request.url)))


def paths(routes: Mapping[str, Handler]) -> httpx.AsyncClient:
    """As `site`, by path alone: the query is for the endpoint to look at."""
    return _web(lambda request: routes.get(request.url.path))


def _web(find: Callable[[Request], Handler | None]) -> httpx.AsyncClient:
    async def answer(request: Request) -> Response:
        found = find(request)
        if found is None:
            return PlainTextResponse("no", status_code=404)
        given = found(request)
        return await given if isinstance(given, Awaitable) else given

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app))


def gives(document: Any, status: int = 200) -> Callable[[Request], Response]:
    """An endpoint that always answers the same."""
    return lambda _: JSONResponse(document, status_code=status)
