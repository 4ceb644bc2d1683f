"""Flaws in what a server makes of sessions, versions and headers, each an application around it."""

from __future__ import annotations

import json
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import pydantic_core
from mcp.server.context import ServerRequestContext
from mcp.server.request_state import RequestStateSecurity
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.types import JSONRPCMessage

from harness.flaws import Flaw, Flaws
from harness.reference.callers import caller_of

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

LEGACY_VERSIONS: Final = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})
VERSIONS: Final = LEGACY_VERSIONS | {"2026-07-28"}
LOCAL_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
HISTORY_BYTES: Final = 100 * 1024  # what a session costs before anything is done in it
EVENTS_MAX: Final = 2_000
LOST: Final = 404
NAMES: Final = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"


def surround(app: Application, flaws: Flaws, *, paths: tuple[str, ...]) -> Application:
    """Put the flaws of this family that are switched on around a server; none costs nothing."""
    for flaw, wrap in _WRAPS.items():
        if flaw in flaws:
            app = wrap(app, paths)
    return app


def _session_leak(app: Application, paths: tuple[str, ...]) -> Application:
    """DELETE is agreed to and forgotten, and so nothing ever ends a session."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "DELETE" and scope["path"] in paths:
            await _answer(send, 200, {})
        else:
            await app(scope, receive, send)

    return serve


def _reject_leaks(app: Application, paths: tuple[str, ...]) -> Application:
    """A session is registered before anybody looks whether the request may open one."""
    registered: list[bytearray] = []

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in paths:
            await app(scope, receive, send)
            return
        history = bytearray(b"\1" * HISTORY_BYTES) if not _header(scope, "mcp-session-id") else None

        async def watch(message: Message) -> None:
            refused = message["type"] == "http.response.start" and message["status"] >= 400  # noqa: PLR2004
            if refused and history is not None:
                registered.append(history)  # a good one gives it back; nobody thinks of these
            await send(message)

        await app(scope, receive, watch)

    return serve


def _unknown_session_500(app: Application, paths: tuple[str, ...]) -> Application:
    """A look-up that finds no session is an error of the server's, not a 404."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == LOST:
                message["status"] = 500
            await send(message)

        ours = scope.get("path") in paths and _header(scope, "mcp-session-id") != ""
        await app(scope, receive, watch if ours else send)

    return serve


def _localhost_only(app: Application, paths: tuple[str, ...]) -> Application:
    """Whatever is not addressed to this machine by name is refused, the health check too."""
    del paths

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            asked = (_header(scope, "x-forwarded-host"), _header(scope, "host"))
            hosts = [host.rpartition(":")[0] or host for host in asked if host]
            if any(host not in LOCAL_NAMES for host in hosts):
                await _answer(send, 421, {"error": "misdirected request"})
                return
        await app(scope, receive, send)

    return serve


def _version_strict(app: Application, paths: tuple[str, ...]) -> Application:
    """A version that it does not know is a bad request, before anything is negotiated."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "POST" or scope["path"] not in paths:
            await app(scope, receive, send)
            return
        body = await _read(receive)
        message = _parse(body)
        offered = _params(message).get("protocolVersion", "")
        named = _header(scope, "mcp-protocol-version")
        if any(version and version not in VERSIONS for version in (offered, named)):
            await _answer(send, 400, {"error": "unsupported protocol version"})
            return
        await app(scope, _replay(body, receive), send)

    return serve


def _mirror_unchecked(app: Application, paths: tuple[str, ...]) -> Application:
    """What the headers say of a modern request is overwritten with what its body says."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        modern = _header(scope, "mcp-protocol-version") not in {"", *LEGACY_VERSIONS}
        if not modern or scope.get("method") != "POST" or scope["path"] not in paths:
            await app(scope, receive, send)
            return
        body = await _read(receive)
        message = _parse(body)
        params = _params(message)
        meta = params.get("_meta")
        said = {
            "mcp-protocol-version": meta.get(META_VERSION) if isinstance(meta, dict) else None,
            "mcp-method": message.get("method"),
            "mcp-name": params.get(NAMES.get(str(message.get("method")), "")),
        }
        kept = [(name, value) for name, value in scope["headers"] if name.decode() not in said]
        right = [(n.encode(), v.encode()) for n, v in said.items() if isinstance(v, str)]
        await app({**scope, "headers": [*kept, *right]}, _replay(body, receive), send)

    return serve


def _origin_unchecked(app: Application, paths: tuple[str, ...]) -> Application:
    """Nobody looks at whose page a request comes from."""
    del paths

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            kept = [(name, value) for name, value in scope["headers"] if name != b"origin"]
            scope = {**scope, "headers": kept}
        await app(scope, receive, send)

    return serve


_WRAPS: Final[dict[Flaw, Callable[[Application, tuple[str, ...]], Application]]] = {
    Flaw.SESSION_LEAK: _session_leak,
    Flaw.REJECT_LEAKS: _reject_leaks,
    Flaw.UNKNOWN_SESSION_500: _unknown_session_500,
    Flaw.LOCALHOST_ONLY: _localhost_only,
    Flaw.VERSION_STRICT: _version_strict,
    Flaw.MIRROR_UNCHECKED: _mirror_unchecked,
    Flaw.ORIGIN_UNCHECKED: _origin_unchecked,
}


class NumberedEvents(EventStore):
    """The flaw replay-unscoped: events are known by their number, whosever they are."""

    def __init__(self) -> None:
        """Begin with none."""
        self._events: OrderedDict[int, tuple[str, JSONRPCMessage | None]] = OrderedDict()
        self._count = 0

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep an event and give its number."""
        self._count += 1
        self._events[self._count] = (stream_id, message)
        if len(self._events) > EVENTS_MAX:
            self._events.popitem(last=False)
        return str(self._count)

    async def replay_events_after(
        self, last_event_id: str, send_callback: EventCallback
    ) -> str | None:
        """Send what came after a number."""
        after = int(last_event_id) if last_event_id.isdecimal() else self._count
        for number, (_, message) in list(self._events.items()):
            if number > after and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return None


class _Plain:
    """The flaw state-unsigned: what the caller is to bring back is there to be read and changed."""

    def seal(self, payload: bytes) -> str:
        return payload.decode()

    def unseal(self, token: str) -> bytes:
        return token.encode()


def state_security(flaws: Flaws) -> RequestStateSecurity:
    """How `requestState` is kept from those who carry it."""
    if Flaw.STATE_UNSIGNED in flaws:
        return RequestStateSecurity(codec=_Plain(), bind_principal=None)
    return RequestStateSecurity(keys=[secrets.token_bytes(32)], bind_principal=_principal)


def _principal(ctx: ServerRequestContext[Any, Any]) -> str:
    """Whose a state is; the SDK's own way asks a middleware that this server does without."""
    caller = caller_of(ctx.request)
    return json.dumps([caller.client, caller.subject])


# --- requests and answers -------------------------------------------------------------------


def _header(scope: Scope, name: str) -> str:
    return _named(scope.get("headers", ()), name)


def _named(headers: Any, name: str) -> str:
    wanted = name.encode()
    return next((v.decode("latin-1") for n, v in headers if n.lower() == wanted), "")


async def _read(receive: Receive) -> bytes:
    """The whole body; whoever stands behind bounds it, and has seen its length announced."""
    body = bytearray()
    while True:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _parse(body: bytes) -> dict[str, Any]:
    try:
        message = pydantic_core.from_json(body)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _params(message: dict[str, Any]) -> dict[str, Any]:
    params = message.get("params")
    return params if isinstance(params, dict) else {}


async def _answer(send: Send, status: int, body: dict[str, Any]) -> None:
    payload = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(payload)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})
