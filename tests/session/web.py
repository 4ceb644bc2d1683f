"""A web that is a table: URLs and what they answer, without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

TARGET = "http://target.test/mcp"


@asynccontextmanager
async def site(
    routes: dict[str, Callable[[Request], Response]],
) -> AsyncIterator[httpx.AsyncClient]:
    """A client to which all of the web is this table of URLs; anything else is 404."""

    async def answer(request: Request) -> Response:
        found = routes.get(str(request.url))
        return found(request) if found else PlainTextResponse("no", status_code=404)

    app = Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:
        yield http


def gives(document: Any, status: int = 200) -> Callable[[Request], Response]:
    """An endpoint that always answers the same."""
    return lambda _: JSONResponse(document, status_code=status)
