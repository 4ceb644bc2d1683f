"""The server under test: starts the one that squall launches, and looks whether it speaks MCP."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx
from pydantic_core import from_json

from harness.errors import RigError, TargetError
from harness.rig.process import Child, child

READY = "listening "
READY_S = 20.0
POLL_S = 0.05
PROBE_S = 10.0
PROBE_LIMIT_BYTES = 256 * 1024
LEGACY_VERSION = "2025-11-25"
MODERN_VERSION = "2026-07-28"
CLIENT = {"name": "squall", "version": "0.1"}


# Ends the program when our pipe ends, as `process.leashed` does, and ends itself when the program
# does: the death of a target has to be seen at once.
_LEASH = (
    'exec 3<&0; "$@" 3<&- </dev/null & child=$!; '
    '{ cat <&3 >/dev/null; kill "$child"; } 2>/dev/null & exec 3<&-; wait "$child"'
)


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server to be tested; `pid` leads the process group of one that squall launched."""

    url: str
    pid: int | None = None


@asynccontextmanager
async def launch(
    argv: Sequence[str],
    *,
    url: str | None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    ready_s: float = READY_S,
) -> AsyncIterator[Target]:
    """A server started by `argv` for as long as the block lasts, ready to answer HTTP.

    `env` is added to our own environment. With `url` None the program has to print a line
    `listening URL` itself; otherwise it is ready when something answers HTTP there.

    Raises:
        RigError: it cannot be started, ends early, is not ready in time, or `url` is taken.
    """
    merged = {**os.environ, **(env or {})}
    held = ("sh", "-c", _LEASH, "leash", *argv)
    if url is None:
        async with child(held, env=merged, ready=READY, log=log, ready_s=ready_s) as process:
            yield Target(url=process.ready_line.removeprefix(READY).strip(), pid=process.pid)
        return
    if await _accepts(url):
        raise RigError(
            f"expected nothing at {url} before the target is launched, but something listens "
            "there; end it, or give the target another port"
        )
    async with child(held, env=merged, ready=None, log=log) as process:
        await _await_http(url, process, argv=argv, log=log, ready_s=ready_s)
        yield Target(url=url, pid=process.pid)


@asynccontextmanager
async def reference(
    *,
    issuer: str | None,
    ledger: Path,
    flaws: Sequence[str] = (),
    log: Path | None = None,
    port: int = 0,
) -> AsyncIterator[Target]:
    """The bundled server, hardened but for `flaws`; open to everybody when `issuer` is None.

    Raises:
        RigError: it did not start.
    """
    argv = [sys.executable, "-m", "harness.reference", "--port", str(port), "--stdin-lease"]
    argv += ["--ledger", str(ledger)]
    argv += ["--issuer", issuer] if issuer is not None else ["--no-auth"]
    for flaw in flaws:
        argv += ["--flaw", flaw]
    async with child(argv, env=dict(os.environ), ready=READY, log=log, ready_s=READY_S) as process:
        yield Target(url=process.ready_line.removeprefix(READY), pid=process.pid)


async def probe(url: str, *, headers: Mapping[str, str] | None = None) -> None:
    """Return when an MCP server answers at `url`; one that asks for a token counts as one.

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
            async with httpx.AsyncClient(trust_env=False, timeout=PROBE_S) as http:
                await _probe(http, url, headers or {})
    except (TimeoutError, httpx.TimeoutException):
        raise TargetError(
            f"expected an answer from {url}, got none within {PROBE_S:g} s; is the server busy, "
            "or is something else listening there?"
        ) from None
    except httpx.ConnectError as error:
        raise TargetError(_unreachable(url, error)) from error
    except httpx.HTTPError as error:
        raise TargetError(
            f"expected HTTP from {url}, got something else ({type(error).__name__}); "
            "is this the port of an MCP server?"
        ) from error


async def _probe(http: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> None:
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
        return
    meta = {
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": MODERN_VERSION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": CLIENT,
        }
    }
    lines = {"mcp-protocol-version": MODERN_VERSION, "mcp-method": "server/discover"}
    modern = await _ask(http, url, {**base, **lines}, "server/discover", meta)
    if not modern.speaks_mcp:
        raise TargetError(_not_mcp(url, legacy))


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


async def _accepts(url: str) -> bool:
    """Whether something accepts connections where the target will be."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with anyio.fail_after(1):
            stream = await anyio.connect_tcp(parts.hostname or "", port)
    except (OSError, TimeoutError):
        return False
    await stream.aclose()
    return True


async def _await_http(
    url: str, process: Child, *, argv: Sequence[str], log: Path | None, ready_s: float
) -> None:
    """Return once anything answers HTTP at `url`."""
    name = Path(argv[0]).name
    where = f"; what it wrote is in {log}" if log is not None else ""
    try:
        with anyio.fail_after(ready_s):
            async with httpx.AsyncClient(trust_env=False, timeout=ready_s) as http:
                while not await _answers(http, url):
                    if process.returncode is not None:
                        raise RigError(
                            f"{name} ended with status {process.returncode} before it answered "
                            f"at {url}{where}"
                        )
                    await anyio.sleep(POLL_S)
    except TimeoutError:
        raise RigError(f"{name} did not answer at {url} within {ready_s:g} s{where}") from None


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        # A GET may open an event stream that never ends: the status line is answer enough.
        async with http.stream("GET", url, headers={"accept": "text/event-stream"}):
            return True
    except httpx.HTTPError:
        return False
