"""What stands in front of the SDK: size, token, scope and request id, checked before dispatch."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import anyio
import pydantic_core
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from harness.flaws import Flaw, Flaws
from harness.reference.flawed_answers import answer, as_text
from harness.reference.flawed_calls import with_flaws
from harness.reference.flawed_logins import Logins
from harness.reference.identity import (
    Identity,
    TokenExpiredError,
    TokenRefusedError,
    Verifier,
)

BODY_LIMIT_BYTES = 4 * 1024 * 1024
DRAIN_LIMIT_BYTES = 64 * 1024 * 1024  # how much of a refused body is read and dropped
DRAIN_S = 10.0
SESSIONS_MAX = 20_000  # remembered for the flaws auth-at-init-only and session-unbound
OK = 200
READ, WRITE = "mcp:read", "mcp:write"
WRITING_TOOLS = frozenset({"append_note", "remember", "schedule_note", "add_entry"})
MODERN_VERSION_MIN = "2026-07-28"

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Refusal(Exception):  # noqa: N818 - an answer, not a failure of ours
    """A request that is answered here, and how."""

    status: int
    body: dict[str, Any]
    challenge: str = ""


@dataclass(frozen=True, kw_only=True)
class Door:
    """What the guard protects: the resource, where its metadata is, and who verifies tokens."""

    resource: str
    metadata_url: str
    verifier: Verifier | None  # None: everybody may enter


class Guard:
    """An ASGI application that lets only sound requests through to another."""

    def __init__(
        self, app: Application, *, paths: tuple[str, ...], door: Door, flaws: Flaws
    ) -> None:
        """Guard `paths`; everything else passes."""
        self._app = with_flaws(app, flaws)
        self._paths = paths
        self._door = door
        self._flaws = flaws
        self._in_flight: dict[str, set[str]] = {}
        self._sessions: OrderedDict[str, Identity] = OrderedDict()
        self._logins = Logins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check one request and pass it on, or answer it."""
        if scope["type"] != "http" or scope["path"] not in self._paths:
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        try:
            identity = await self._identify(headers)
            if Flaw.SESSION_UNBOUND in self._flaws:
                identity = self._sessions.get(headers.get("mcp-session-id", ""), identity)
            body = await self._read(headers, receive) if scope["method"] == "POST" else b""
        except Refusal as refusal:
            if Flaw.AUTH_ERROR_AS_TEXT in self._flaws and refusal.challenge:
                refusal = await self._masked(refusal, headers, receive)
            await _refuse(refusal, receive=None if refusal.status == OK else receive, send=send)
            return
        if body is None:
            return  # the caller left before the end of its body
        if identity is not None:
            scope["user"] = _user(identity)
        try:
            await self._dispatch(
                scope, receive, send, headers=headers, body=body, identity=identity
            )
        except Refusal as refusal:
            await _refuse(refusal, receive=None, send=send)

    async def _dispatch(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        *,
        headers: dict[str, str],
        body: bytes,
        identity: Identity | None,
    ) -> None:
        """Look into the message, then hand it to the SDK."""
        session_id = headers.get("mcp-session-id", "")
        message = _parse(body)
        if identity is not None:
            self._check_scope(message, identity)
        if identity is not None and self._flaws & {Flaw.AUTH_AT_INIT_ONLY, Flaw.SESSION_UNBOUND}:
            send = self._remember_session(send, identity)
        if Flaw.LAST_LOGIN_WINS in self._flaws:
            if self._logins.is_over(session_id):
                raise Refusal(status=404, body={"error": "no such session"})
            if not session_id:
                send = self._logins.watch(send, headers.get("authorization", ""))
        replay = _replay(body, receive)
        request_id = message.get("id")
        if not session_id or "method" not in message or not isinstance(request_id, str | int):
            await self._app(scope, replay, send)
            return
        # The SDK keeps one stream per id and session and overwrites it blindly: two calls under
        # one id would get each other's answers, or none. To it, 7 and "7" are one.
        in_flight = self._in_flight.setdefault(session_id, set())
        mark = str(request_id)
        if mark in in_flight:
            raise Refusal(
                status=400,
                body={
                    "jsonrpc": "2.0",
                    "id": request_id,
                    "error": {
                        "code": -32600,
                        "message": "a request with this id is already in flight in this session",
                    },
                },
            )
        in_flight.add(mark)
        try:
            await self._app(scope, replay, send)
        finally:
            in_flight.discard(mark)
            if not in_flight:
                self._in_flight.pop(session_id, None)

    # size

    async def _read(self, headers: dict[str, str], receive: Receive) -> bytes | None:
        """The whole body, or None when the caller left before its end."""
        limit = None if Flaw.UNBOUNDED_REQUEST in self._flaws else BODY_LIMIT_BYTES
        declared = headers.get("content-length", "")
        if limit is not None and declared.isdigit() and int(declared) > limit:
            raise _too_large()
        received = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            received += message.get("body", b"")
            if limit is not None and len(received) > limit:
                raise _too_large()
            if not message.get("more_body", False):
                return bytes(received)

    # token

    async def _masked(self, refusal: Refusal, headers: dict[str, str], receive: Receive) -> Refusal:
        """The flaw auth-error-as-text: a refusal that no client can tell from an answer."""
        said = as_text(str(refusal.body["error_description"]), await self._read(headers, receive))
        return refusal if said is None else Refusal(status=OK, body=said)

    async def _identify(self, headers: dict[str, str]) -> Identity | None:
        verifier = self._door.verifier
        if verifier is None:
            return None
        if Flaw.AUTH_AT_INIT_ONLY in self._flaws:
            known = self._sessions.get(headers.get("mcp-session-id", ""))
            if known is not None:
                return known
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise self._challenge("", "a bearer token is required")
        if Flaw.AUTH_AT_INIT_ONLY in self._flaws and _is_modern(headers):
            recognised = await verifier.recognise(token)
            if recognised is not None:
                return recognised
        try:
            return await verifier.verify(token)
        except TokenExpiredError as error:
            if Flaw.EXPIRED_IS_403 in self._flaws:
                raise Refusal(status=403, body={"error": "forbidden"}) from error
            raise self._challenge("invalid_token", str(error)) from error
        except TokenRefusedError as error:
            raise self._challenge("invalid_token", str(error)) from error

    def _challenge(self, error: str, description: str) -> Refusal:
        """A 401 that tells a client where to get a token that will do (RFC 9728, RFC 6750)."""
        parts = [f'resource_metadata="{self._door.metadata_url}"', f'scope="{READ} {WRITE}"']
        if error:  # a request without a token is no error yet (RFC 6750, section 3.1)
            parts = [f'error="{error}"', f'error_description="{description}"', *parts]
        return Refusal(
            status=401,
            body={"error": error or "unauthorized", "error_description": description},
            challenge="Bearer " + ", ".join(parts),
        )

    def _check_scope(self, message: dict[str, Any], identity: Identity) -> None:
        params = message.get("params")
        name = params.get("name") if isinstance(params, dict) else None
        wanted = READ
        if message.get("method") == "tools/call" and name in WRITING_TOOLS:
            wanted = WRITE
        if wanted in identity.scopes or Flaw.SCOPE_IGNORED in self._flaws:
            return
        if Flaw.SCOPE_DENIED_EMPTY in self._flaws:
            raise Refusal(status=OK, body=answer(message, text=""))
        raise Refusal(
            status=403,
            body={"error": "insufficient_scope", "error_description": f"needs {wanted}"},
            challenge=(
                f'Bearer error="insufficient_scope", scope="{wanted}", '
                f'resource_metadata="{self._door.metadata_url}"'
            ),
        )

    def _remember_session(self, send: Send, identity: Identity) -> Send:
        """Two flaws: whoever comes with a session's id is believed to have opened it."""

        async def watch(message: Message) -> None:
            if message["type"] == "http.response.start":
                for name, value in message.get("headers", ()):
                    if name.lower() == b"mcp-session-id":
                        self._sessions[value.decode("latin-1")] = identity
                        if len(self._sessions) > SESSIONS_MAX:
                            self._sessions.popitem(last=False)
            await send(message)

        return watch


def _is_modern(headers: dict[str, str]) -> bool:
    return headers.get("mcp-protocol-version", "") >= MODERN_VERSION_MIN


def _user(identity: Identity) -> AuthenticatedUser:
    """The caller in the SDK's terms; it binds sessions to (client, issuer, subject)."""
    return AuthenticatedUser(
        AccessToken(
            token="",  # nothing behind this door needs the token
            client_id=identity.holder,
            scopes=sorted(identity.scopes),
            subject=identity.subject,
            claims={"iss": identity.issuer, "client_id": identity.client_id},
        )
    )


def _parse(body: bytes) -> dict[str, Any]:
    """The message, or an empty one when the SDK has to say what is wrong with it."""
    try:
        message = pydantic_core.from_json(body) if body else None
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body first, then what the connection says."""
    pending = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay


def _too_large() -> Refusal:
    return Refusal(
        status=413,
        body={
            "jsonrpc": "2.0",
            "id": None,
            "error": {
                "code": -32600,
                "message": f"the request is larger than {BODY_LIMIT_BYTES} bytes",
            },
        },
    )


async def _refuse(refusal: Refusal, *, receive: Receive | None, send: Send) -> None:
    """Answer at once, then read and drop the rest of the body.

    A server that closes on a client that still sends makes the client's kernel throw the answer
    away; so the answer goes out first and the connection ends, or goes on, after the body.
    """
    body = json.dumps(refusal.body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    if refusal.challenge:
        headers.append((b"www-authenticate", refusal.challenge.encode("latin-1", "replace")))
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if receive is not None:
        dropped = 0
        with anyio.move_on_after(DRAIN_S):
            while dropped < DRAIN_LIMIT_BYTES:
                message = await receive()
                dropped += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    await send({"type": "http.response.body", "body": b""})
