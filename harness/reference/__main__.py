"""Runs the bundled server: `python -m harness.reference --port 0 --issuer URL --ledger FILE`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from harness.errors import RigError
from harness.reference.documents import Documents
from harness.reference.flaws import Flaw, Flaws
from harness.reference.guard import BODY_LIMIT_BYTES, READ, WRITE, Door, Guard
from harness.reference.identity import Verifier
from harness.reference.notes import Notes
from harness.reference.tools import build
from harness.rig.listener import address, bind, serve

PATH = "/mcp"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
UNBOUNDED_BYTES = 1 << 30
IDLE_SESSION_S = 600.0


def application(*, url: str, issuer: str | None, ledger: Path, flaws: Flaws) -> Guard:
    """The whole server as one ASGI application; `issuer` None leaves the door open."""
    resource = url + PATH
    http = httpx.AsyncClient(trust_env=False)
    verifier = (
        Verifier(issuer=issuer, resource=resource, http=http, flaws=flaws) if issuer else None
    )
    documents = Documents(flaws=flaws)
    notes = Notes(ledger, flaws=flaws)
    unbounded = Flaw.UNBOUNDED_REQUEST in flaws
    app = build(documents=documents, notes=notes, flaws=flaws).streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=UNBOUNDED_BYTES if unbounded else BODY_LIMIT_BYTES,
        session_idle_timeout=IDLE_SESSION_S,
        transport_security=TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=["127.0.0.1:*", "localhost:*", "[::1]:*"],
            allowed_origins=["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"],
        ),
    )
    if issuer:
        _add_metadata(app, resource=resource, issuer=issuer)
    sdk_lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: Starlette) -> AsyncIterator[None]:
        async with sdk_lifespan(served), http, anyio.create_task_group() as group:
            if verifier is not None:
                group.start_soon(verifier.watch)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
                notes.close()
                documents.close()

    app.router.lifespan_context = lifespan
    door = Door(resource=resource, metadata_url=f"{url}{WELL_KNOWN}{PATH}", verifier=verifier)
    return Guard(app, path=PATH, door=door, flaws=flaws)


def _add_metadata(app: Starlette, *, resource: str, issuer: str) -> None:
    """RFC 9728 metadata in the path form and at the root.

    Not by the SDK's own route: its URL type adds a slash to an issuer without a path, and clients
    must compare issuers byte by byte.
    """

    async def metadata(_: Request) -> Response:
        return JSONResponse(
            {
                "resource": resource,
                "authorization_servers": [issuer],
                "scopes_supported": [READ, WRITE],
                "bearer_methods_supported": ["header"],
                "resource_name": "squall's bundled server",
            }
        )

    app.router.routes.extend([Route(WELL_KNOWN + PATH, metadata), Route(WELL_KNOWN, metadata)])


def main() -> int:
    """Serve until told to end; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m harness.reference", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--issuer", help="URL of the authorization server that is trusted")
    parser.add_argument("--no-auth", action="store_true", help="let everybody in")
    parser.add_argument("--ledger", type=Path, required=True, help="SQLite file for the effects")
    parser.add_argument(
        "--flaw", action="append", default=[], choices=[flaw.value for flaw in Flaw]
    )
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input ends")
    options = parser.parse_args()
    if options.no_auth == bool(options.issuer):
        parser.error("give either --issuer URL or --no-auth")
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    try:
        listener = bind(options.host, options.port)
    except RigError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    url = address(listener)
    app = application(
        url=url,
        issuer=options.issuer,
        ledger=options.ledger,
        flaws=frozenset(Flaw(name) for name in options.flaw),
    )
    serve(app, listener, url=url + PATH, stdin_lease=options.stdin_lease)
    return 0


if __name__ == "__main__":
    sys.exit(main())
