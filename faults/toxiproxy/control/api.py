"""The HTTP API: Toxiproxy 2.12's, answer for answer, and our own additions under /squall/."""

from __future__ import annotations

import asyncio
import base64
import os
import posixpath
import re
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Protocol
from urllib.parse import quote, unquote

from faults.toxiproxy.control import additions
from faults.toxiproxy.control.bodies import encode
from faults.toxiproxy.control.changes import ChangeError, apply
from faults.toxiproxy.control.demands import ApiError
from faults.toxiproxy.control.store import PopulateError, Store, show_proxy, show_toxic
from faults.toxiproxy.proxy import Proxy

VERSION = "2.12.0"
BODY_BYTES_MAX = 8 * 1024 * 1024
ANSWER_S = 25.0  # how long the making of an answer may take; only looking a name up ever waits
WHOLE_BYTES_MAX = 2048  # a longer answer goes out in chunks, as from Go's server

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"


class Page(Protocol):
    """What is shown at /metrics."""

    def page(self) -> bytes:
        """The page as it is now."""

    def page_compressed(self) -> bytes:
        """The same for a client that takes gzip."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One answer."""

    status: int = 200
    body: bytes = b""
    content_type: str | None = _JSON
    matched: bool = True  # a route took the request, which then bears an id
    sniffable: bool = True
    encoding: str | None = None
    location: str | None = None


def _error(error: ApiError) -> Reply:
    """An error as the original gives it: JSON that calls itself plain text."""
    shown: dict[str, object] = {"error": error.text, "status": error.status}
    if isinstance(error, ChangeError):
        shown["index"] = error.index
    body = encode(shown) + b"\n"
    return Reply(status=error.status, body=body, content_type=_TEXT, sniffable=False)


_EMPTY = Reply(status=204, content_type=None)
_NO_ROUTE = Reply(
    status=404, body=b"404 page not found\n", content_type=_TEXT, matched=False, sniffable=False
)
_NO_METHOD = Reply(status=405, content_type=None, matched=False)
_NO_BROWSERS = Reply(
    status=403, body=b"User agent not allowed\n", content_type=_TEXT, sniffable=False
)

_TOO_LATE = Reply(
    status=503,
    body=b"<html><head><title>Timeout</title></head><body><h1>Timeout</h1></body></html>",
    content_type="text/html; charset=utf-8",
)

_METRICS = ("metrics",)
_METHODS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("reset",): ("POST",),
    ("proxies",): ("GET", "POST"),
    ("populate",): ("POST",),
    ("proxies", "*"): ("GET", "POST", "PATCH", "DELETE"),
    ("proxies", "*", "toxics"): ("GET", "POST"),
    ("proxies", "*", "toxics", "*"): ("GET", "POST", "PATCH", "DELETE"),
    ("version",): ("GET",),
    **additions.METHODS,
}


def _clean(path: str) -> str:
    """The path without empty and dotted segments, to which the original sends a client on."""
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    return cleaned + "/" if path.endswith("/") and cleaned != "/" else cleaned


def _redirect(path: str, query: bytes) -> Reply:
    """The answer to a path that is not clean."""
    location = quote(path, safe="/$&+,:;=@")
    if query:
        location += "?" + query.decode("latin-1")
    return Reply(status=301, content_type=None, matched=False, location=location)


def _route(path: str) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The pattern that a path matches and the names in it; None when there is none."""
    if path == "/squall/":
        path = "/squall"
    parts = tuple(path.split("/")[1:])
    for pattern in (*_METHODS, _METRICS):
        if len(pattern) == len(parts) and all(
            part and want in {part, "*"} for want, part in zip(pattern, parts, strict=True)
        ):
            names = (part for want, part in zip(pattern, parts, strict=True) if want == "*")
            return pattern, tuple(names)
    return None


def _refusal(
    pattern: tuple[str, ...], method: str, headers: Iterable[tuple[bytes, bytes]]
) -> Reply | None:
    """Why a route does not take a request; None where it does."""
    if pattern != _METRICS and method not in _METHODS[pattern]:
        return _NO_METHOD
    agents = (value for name, value in headers if name == b"user-agent")
    return _NO_BROWSERS if next(agents, b"").startswith(b"Mozilla/") else None


def _head(reply: Reply) -> Message:
    """Status and headers, in the original's case."""
    headers = [(b"Date", formatdate(usegmt=True).encode())]
    size_bytes = len(reply.body)
    if size_bytes <= WHOLE_BYTES_MAX and reply.status != _EMPTY.status:
        headers.append((b"Content-Length", str(size_bytes).encode()))
    if reply.content_type is not None:
        headers.append((b"Content-Type", reply.content_type.encode()))
    if not reply.sniffable:
        headers.append((b"X-Content-Type-Options", b"nosniff"))
    if reply.encoding is not None:
        headers.append((b"Content-Encoding", reply.encoding.encode()))
    if reply.location is not None:
        headers.append((b"Location", reply.location.encode("latin-1")))
    if reply.matched:
        headers.append((b"X-Toxiproxy-Request-Id", _request_id()))
    return {"type": "http.response.start", "status": reply.status, "headers": headers}


class Api:
    """The ASGI application over one store."""

    def __init__(
        self, store: Store, metrics: Page | None = None, *, answer_s: float = ANSWER_S
    ) -> None:
        """Answer for this store, and show metrics where there are any."""
        self.store = store
        self._metrics = metrics
        self._answer_s = answer_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        try:
            reply = await self._answer(scope, receive)
        except ApiError as error:
            reply = _error(error)
        except TimeoutError:
            reply = _TOO_LATE
        if reply is None:
            return
        await send(_head(reply))
        await send({"type": "http.response.body", "body": reply.body})

    async def _answer(self, scope: Message, receive: Receive) -> Reply | None:
        """The answer; None to a request whose end never came, which then changes nothing."""
        method: str = scope["method"]
        headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
        # A target may name its host, which is nobody's here.
        target = re.sub(r"^https?://[^/]*", "", scope["raw_path"].decode("latin-1"))
        path = unquote(target)
        if path != _clean(path):
            return _redirect(_clean(path), scope["query_string"])
        route = _route(path)
        if route is None or (route[0] == _METRICS and self._metrics is None):
            return _NO_ROUTE
        pattern, names = route
        refusal = _refusal(pattern, method, headers)
        if refusal is not None:
            return refusal
        # Only now: a client that waits to be told to go on is not told so for nothing.
        body = await _whole_body(receive)
        if body is None or pattern == _METRICS:
            return None if body is None else self._page(headers)
        async with asyncio.timeout(self._answer_s):
            return await self._handle(pattern, method, names, body)

    async def _handle(
        self, pattern: tuple[str, ...], method: str, names: tuple[str, ...], body: bytes
    ) -> Reply:
        if pattern[0] == "squall":
            return await self._additions(pattern, method, names, body)
        if len(pattern) > 2:  # noqa: PLR2004 - /proxies/{proxy}/toxics and below
            return self._toxics(method, names, body)
        if pattern[0] == "proxies":
            return await self._proxies(method, names, body)
        return await self._whole(pattern[0], body)

    async def _whole(self, verb: str, body: bytes) -> Reply:
        """Routes that concern the whole server."""
        if verb == "version":
            text = f'{{"version": "{VERSION}"}}\n'.encode()
            return Reply(body=text, content_type="application/json;charset=utf-8")
        if verb == "reset":
            await self.store.reset()
            return _EMPTY
        try:
            proxies = await self.store.populate(body)
        except PopulateError as error:
            done = _shown(error.done)
            report = {"error": error.text, "status": error.status, "proxies": done}
            return Reply(status=error.status, body=encode(report))
        return Reply(status=201, body=encode({"proxies": _shown(proxies)}))

    async def _proxies(self, method: str, names: tuple[str, ...], body: bytes) -> Reply:
        store = self.store
        if not names:
            if method == "POST":
                return Reply(status=201, body=encode(show_proxy(await store.create(body))))
            proxies = sorted(store.proxies.items())
            return Reply(body=encode({name: show_proxy(proxy) for name, proxy in proxies}))
        if method == "GET":
            return Reply(body=encode(show_proxy(store.get(names[0]))))
        if method == "DELETE":
            store.delete(names[0])
            return _EMPTY
        return Reply(body=encode(show_proxy(await store.update(names[0], body))))

    def _toxics(self, method: str, names: tuple[str, ...], body: bytes) -> Reply:
        store = self.store
        if len(names) == 1:
            if method == "POST":
                return Reply(body=encode(show_toxic(store.add_toxic(names[0], body))))
            toxics = store.get(names[0]).all_toxics()
            return Reply(body=encode([show_toxic(toxic) for toxic in toxics]))
        proxy_name, name = names
        if method == "GET":
            return Reply(body=encode(show_toxic(store.get_toxic(proxy_name, name)[1])))
        if method == "DELETE":
            store.remove_toxic(proxy_name, name)
            return _EMPTY
        return Reply(body=encode(show_toxic(store.update_toxic(proxy_name, name, body))))

    async def _additions(
        self, pattern: tuple[str, ...], method: str, names: tuple[str, ...], body: bytes
    ) -> Reply:
        """What the original does not have."""
        store = self.store
        shown: object
        if pattern in {additions.LEASE, additions.TOXIC_LEASE}:
            toxic_name = names[1] if len(names) > 1 else None
            if method == "GET":
                shown = {"left_ms": store.lease_left_ms(names[0], toxic_name)}
            else:
                shown = {"ttl_ms": store.lease(names[0], toxic_name, body)}
        elif pattern == additions.TOXICS:
            shown = show_toxic(store.add_toxic(names[0], body, additions=True))
        elif pattern == additions.CHANGES:
            shown = await apply(store, body)
        elif pattern == additions.CONNECTIONS:
            shown = additions.connections(store)
        elif pattern == additions.EXPOSURE:
            shown = additions.exposure(store)
        else:
            shown = additions.index()
        return Reply(body=encode(shown))

    def _page(self, headers: Iterable[tuple[bytes, bytes]]) -> Reply:
        """The metrics, where there are any."""
        assert self._metrics is not None
        codings = b",".join(value for name, value in headers if name == b"accept-encoding")
        if b"gzip" in codings:
            page = self._metrics.page_compressed()
            return Reply(body=page, content_type=_METRICS_TYPE, encoding="gzip")
        return Reply(body=self._metrics.page(), content_type=_METRICS_TYPE)


def _shown(proxies: list[Proxy] | None) -> list[dict[str, object]] | None:
    """Proxies as populate shows them."""
    return None if proxies is None else [show_proxy(proxy) for proxy in proxies]


async def _whole_body(receive: Receive) -> bytes | None:
    """The request's body, which has a limit; None where its end never came.

    Raises:
        ApiError: 413.
    """
    pieces: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        piece: bytes = message.get("body", b"")
        size_bytes += len(piece)
        if size_bytes > BODY_BYTES_MAX:
            raise ApiError(413, f"request body over {BODY_BYTES_MAX} bytes")
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


def _request_id() -> bytes:
    """Twenty characters in the original's alphabet: the second, then chance."""
    raw = int(time.time()).to_bytes(4, "big") + os.urandom(8)
    return base64.b32hexencode(raw).rstrip(b"=").lower()
