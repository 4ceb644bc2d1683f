"""The bundled issuer in a thread of the test's own, which also takes assertions (RFC 7523)."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlencode

import httpx
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from harness.rig.issuer.app import Face
from harness.rig.listener import address, bind
from harness.session.registration import GRANT_TYPES

CLIENT: Final = "visitor"
WAIT_S: Final = 20.0


@dataclass(frozen=True, kw_only=True)
class Bureau:
    """Where it is, and what opens its doors."""

    url: str
    secret: str
    assertion: str

    def token(self, resource: str) -> str:
        """A token for a resource, as somebody would fetch one by hand."""
        form = {"grant_type": "client_credentials", "resource": resource}
        reply = httpx.post(f"{self.url}/token", data=form, auth=(CLIENT, self.secret))
        return str(reply.json()["access_token"])

    def environment(self, resource: str) -> dict[str, str]:
        """Everything that any grant needs."""
        return {
            "SQUALL_CLIENT_ID": CLIENT,
            "SQUALL_CLIENT_SECRET": self.secret,
            "SQUALL_ASSERTION": self.assertion,
            "SQUALL_TOKEN": self.token(resource),
        }


@contextmanager
def bureau(*, ttl_s: float = 3600) -> Iterator[Bureau]:
    """Serve it on a free port while the block lasts."""
    listener = bind("127.0.0.1", 0)
    open_one = Bureau(
        url=address(listener),
        secret=secrets.token_urlsafe(24),
        assertion=f"eyJ{secrets.token_urlsafe(24)}.e30.{secrets.token_urlsafe(24)}",
    )
    face = Face(issuer=open_one.url, control_secret="")
    face.admit(client_id=CLIENT, secret=open_one.secret, scopes="mcp:read mcp:write", ttl_s=ttl_s)
    application = _asserted(face.application(), open_one.assertion)
    server = uvicorn.Server(uvicorn.Config(application, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield open_one
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
        listener.close()


def _asserted(application: ASGIApp, assertion: str) -> ASGIApp:
    """Turn a request that shows the assertion into one that the issuer's own grants know."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/token":
            await application(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        form = dict(parse_qsl(body.decode()))
        if form.get("grant_type") == GRANT_TYPES["jwt_bearer"] and form["assertion"] == assertion:
            form = {**form, "grant_type": "client_credentials"}
            body = urlencode(form).encode()

        async def whole() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await application(scope, whole, send)

    return answer
