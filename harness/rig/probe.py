"""Looks whether an MCP server answers at an address, and says what is there instead."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import anyio
import httpx
from pydantic_core import from_json

from harness.errors import TargetError
from harness.rig.reaching import http_client
from harness.trust import SYSTEM, Trust, mended, tls_failure

PROBE_S = 10.0
PROBE_LIMIT_BYTES = 256 * 1024
OLD_SERVER_STATUSES = frozenset({400, 404, 405})  # what a server of before 2025 says to a POST
Spoken = Literal["http", "sse"]
LEGACY_VERSION = "2025-11-25"
MODERN_VERSION = "2026-07-28"
CLIENT = {"name": "squall", "version": "0.1"}


async def probe(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    trust: Trust = SYSTEM,
    unix_socket: str = "",
    transport: Literal["auto", "http", "sse"] = "auto",
) -> Spoken:
    """The transport that an MCP server answers in at `url`; asking for a token is an answer.

    With `auto` that is Streamable HTTP where a POST is answered, and HTTP+SSE where the POST is
    refused and a GET brings an endpoint, as the specification's rule for old servers has it.

    Leaves no session behind where the server lets one be ended.

    Raises:
        TargetError: one sentence on what is there instead.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise TargetError(
            f"expected a target such as http://127.0.0.1:8000/mcp, got {url!r}; "
            "give the address with its scheme and path"
        )
    try:
        with anyio.fail_after(PROBE_S):
            client = http_client(url, trust=trust, unix_socket=unix_socket, timeout_s=PROBE_S)
            async with client as http:
                return await _probe(http, url, headers or {}, transport)
    except (TimeoutError, httpx.TimeoutException):
        raise TargetError(
            f"expected an answer from {url}, got none within {PROBE_S:g} s; is the server busy, "
            "or is something else listening there?"
        ) from None
    except httpx.HTTPError as error:
        failure = tls_failure(error)
        if failure is not None:
            reason, words = failure
            raise TargetError(f"no TLS with {url}: {words}; {mended(reason)}") from error
        if isinstance(error, httpx.ConnectError):
            if unix_socket:
                raise TargetError(
                    f"expected a server at the socket {unix_socket}, but none answers there: "
                    f"{error or type(error).__name__}; start it, or correct the path"
                ) from error
            raise TargetError(_unreachable(url, error)) from error
        raise TargetError(
            f"expected HTTP from {url}, got something else ({type(error).__name__}); "
            "is this the port of an MCP server?"
        ) from error


async def _probe(
    http: httpx.AsyncClient, url: str, headers: Mapping[str, str], transport: str
) -> Spoken:
    if transport == "sse":
        return await _probe_sse(http, url, headers)
    base = {"accept": "application/json, text/event-stream", **headers}
    opening = {
        "protocolVersion": LEGACY_VERSION,
        "capabilities": {},
        "clientInfo": CLIENT,
    }
    legacy = await _ask(http, url, base, "initialize", opening)
    if legacy.session_id:
        await _end_session(http, url, {**base, "mcp-session-id": legacy.session_id})
    if legacy.speaks_mcp:
        return "http"
    meta = {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": CLIENT,
        }
    }
    lines = {"mcp-protocol-version": MODERN_VERSION, "mcp-method": "server/discover"}
    modern = await _ask(http, url, {**base, **lines}, "server/discover", meta)
    if modern.speaks_mcp:
        return "http"
    if transport == "auto" and legacy.status in OLD_SERVER_STATUSES:
        with suppress(TargetError):
            return await _probe_sse(http, url, headers)
    raise TargetError(_not_mcp(url, legacy))


async def _probe_sse(http: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> Spoken:
    """See that a GET brings a stream whose first event names an endpoint.

    Raises:
        TargetError: it does not.
    """
    accept = {**headers, "accept": "text/event-stream"}
    async with http.stream("GET", url, headers=accept) as reply:
        if _is_challenge(reply):
            return "sse"
        kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        received = bytearray()
        if kind == "text/event-stream" and reply.status_code == httpx.codes.OK:
            async for piece in reply.aiter_bytes():
                received += piece
                lines = [line.replace(b" ", b"") for line in bytes(received).splitlines()]
                if b"event:endpoint" in lines:
                    return "sse"
                if len(received) > PROBE_LIMIT_BYTES or b"data:" in received:
                    break
        raise TargetError(
            f"expected an HTTP+SSE stream that begins with an endpoint event at {url}, got HTTP "
            f"{reply.status_code} ({kind or 'no content type'}); is this the address of the "
            "stream, such as http://127.0.0.1:8001/sse?"
        )


@dataclass(frozen=True, kw_only=True)
class _Answer:
    """What came back to one JSON-RPC request."""

    status: int
    content_type: str
    location: str
    session_id: str
    speaks_mcp: bool


async def _ask(
    http: httpx.AsyncClient,
    url: str,
    headers: Mapping[str, str],
    method: str,
    params: Mapping[str, Any],
) -> _Answer:
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    async with http.stream("POST", url, headers=headers, json=message) as reply:
        content_type = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
        speaks = _is_challenge(reply) or await _is_jsonrpc(reply, content_type)
        return _Answer(
            status=reply.status_code,
            content_type=content_type,
            location=reply.headers.get("location", ""),
            session_id=reply.headers.get("mcp-session-id", ""),
            speaks_mcp=speaks,
        )


def _is_challenge(reply: httpx.Response) -> bool:
    """A 401 that wants a bearer token, or does not say what it wants."""
    challenge = reply.headers.get("www-authenticate", "bearer")
    return reply.status_code == httpx.codes.UNAUTHORIZED and "bearer" in challenge.lower()


async def _is_jsonrpc(reply: httpx.Response, content_type: str) -> bool:
    """Whether a JSON-RPC message comes back, as JSON or as the first event of a stream."""
    received = bytearray()
    async for piece in reply.aiter_bytes():
        received += piece
        if content_type == "text/event-stream":
            for line in bytes(received).splitlines():
                if line.startswith(b"data:") and _speaks_jsonrpc(line[5:]):
                    return True
        if len(received) > PROBE_LIMIT_BYTES:
            return False
    return _speaks_jsonrpc(bytes(received))


def _speaks_jsonrpc(text: bytes) -> bool:
    try:
        message = from_json(text)
    except ValueError:
        return False
    return (
        isinstance(message, dict)
        and message.get("jsonrpc") == "2.0"
        and ("result" in message or "error" in message)
    )


async def _end_session(http: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> None:
    """End what the probe began; a server may refuse, and then it forgets in its own time."""
    version = {"mcp-protocol-version": LEGACY_VERSION}
    try:
        await http.delete(url, headers={**headers, **version})
    except httpx.HTTPError:
        return


def _unreachable(url: str, error: httpx.ConnectError) -> str:
    """Why no connection came about, in one sentence."""
    parts = urlsplit(url)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return f"expected the host of {url}, but the name {parts.hostname!r} does not resolve"
        if isinstance(cause, ConnectionRefusedError):
            break
        cause = cause.__cause__ or cause.__context__
    if cause is None and "name" in str(error).lower():
        return f"expected the host of {url}, but the name {parts.hostname!r} does not resolve"
    if cause is None and parts.scheme == "https":
        return f"expected TLS at {url}, got: {error}; does the server speak plain HTTP?"
    return f"expected a server at {url}, but nothing listens there; start it, or correct the port"


def _not_mcp(url: str, answer: _Answer) -> str:
    """What is there instead of an MCP server, in one sentence."""
    if answer.status == httpx.codes.NOT_FOUND:
        path = urlsplit(url).path or "/"
        return f"expected an MCP endpoint at {url}, got HTTP 404; is {path!r} the right path?"
    if answer.location:
        place = answer.location[:200]
        return f"expected an MCP endpoint at {url}, got a redirect to {place}; use that address"
    kind = f" ({answer.content_type})" if answer.content_type else ""
    return (
        f"expected an MCP server at {url}, got HTTP {answer.status}{kind} without a JSON-RPC "
        "message; is this the address of an MCP endpoint?"
    )
