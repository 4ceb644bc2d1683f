"""Runs the bundled server: `python -m harness.reference --port 0 --issuer URL --ledger FILE`."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
from mcp.server.transport_security import TransportSecuritySettings
from sse_starlette.sse import AppStatus
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from harness.errors import RigError, UsageError
from harness.flaws import MANNERS, Flaw, Flaws
from harness.reference import piped, spans
from harness.reference.contexts import Contexts
from harness.reference.documents import Corpus, Documents
from harness.reference.draining import Draining
from harness.reference.flawed_credentials import CarelessDownstream
from harness.reference.flawed_dependency import FlawedDocuments, FlawedDownstream, FlawedNotes
from harness.reference.flawed_sessions import Application, NumberedEvents, surround
from harness.reference.flawed_streams import FlawedStreams
from harness.reference.guard import BODY_LIMIT_BYTES, READ, WRITE, Door, Guard
from harness.reference.identity import Verifier
from harness.reference.manners import Refusing, SparseDocuments
from harness.reference.notes import Notes, NotesError, SqliteNotes
from harness.reference.starting import Starting
from harness.reference.tools import build
from harness.rig.listener import address, bind, public_url, serve
from harness.scenario.mistakes import nearest

PATH = "/mcp"
SSE_PATH = "/sse"
MESSAGES_PATH = "/messages/"
HEALTH = "/health"
WELL_KNOWN = "/.well-known/oauth-protected-resource"
UNBOUNDED_BYTES = 1 << 30
IDLE_SESSION_S = 600.0
SESSIONS_MAX = 10_000


def application(
    *,
    url: str,
    named: bool,
    issuer: str | None,
    notes: Notes,
    flaws: Flaws,
    sse: bool = False,
    downstream: FlawedDownstream | None = None,
    manner: str = "",
) -> Application:
    """The whole server as one ASGI application; `issuer` None leaves the door open.

    With `sse` it speaks the HTTP+SSE of 2024-11-05 instead of Streamable HTTP; with `downstream`
    it keeps its documents there, and `notes` should be there too.

    Requests must be addressed to the host of `url` when it was `named`, else to this machine.
    """
    path = SSE_PATH if sse else PATH
    resource = url + path
    http = httpx.AsyncClient(trust_env=False)
    verifier = (
        Verifier(issuer=issuer, resource=resource, http=http, flaws=flaws) if issuer else None
    )
    documents: Corpus
    documents = (
        Documents(flaws=flaws) if downstream is None else FlawedDocuments(downstream, flaws=flaws)
    )
    if manner == "sparse":
        documents = SparseDocuments(documents)
    unbounded, leaks = Flaw.UNBOUNDED_REQUEST in flaws, Flaw.SESSION_LEAK in flaws
    mcp, admitted = (
        build(
            documents=documents,
            notes=notes,
            flaws=flaws,
            manner=manner,
            contexts=Contexts(flaws=flaws, store=notes if isinstance(notes, SqliteNotes) else None),
        ),
        _admitted(url, named),
    )
    if sse:
        app = mcp.sse_app(
            sse_path=SSE_PATH, message_path=MESSAGES_PATH, transport_security=admitted
        )
    else:
        app = mcp.streamable_http_app(
            streamable_http_path=PATH,
            max_request_body_size=UNBOUNDED_BYTES if unbounded else BODY_LIMIT_BYTES,
            session_idle_timeout=None if leaks else IDLE_SESSION_S,
            max_sessions=None if leaks else SESSIONS_MAX,
            event_store=NumberedEvents() if Flaw.REPLAY_UNSCOPED in flaws else None,
            transport_security=admitted,
        )
    starting = Starting(flaws=flaws)
    _add_health(app, notes, flaws)
    if issuer:
        _add_metadata(app, resource=resource, path=path, issuer=issuer)
    sdk_lifespan = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(served: Starlette) -> AsyncIterator[None]:
        async with sdk_lifespan(served), http, anyio.create_task_group() as group:
            if starting.early:
                group.start_soon(starting.open, notes)
            else:
                await starting.open(notes)
            if verifier is not None:
                group.start_soon(verifier.watch)
            if downstream is not None:
                group.start_soon(downstream.reconnect)
            try:
                yield
            finally:
                group.cancel_scope.cancel()
                await notes.close()
                documents.close()
                if downstream is not None:
                    await downstream.close()

    app.router.lifespan_context = lifespan
    door = Door(
        resource=resource,
        metadata_url=f"{url}{WELL_KNOWN}{path}",
        verifier=None if Flaw.NO_AUTH in flaws else verifier,
    )
    paths = (path, MESSAGES_PATH)
    inner: Application = Refusing(app) if manner == "refusing" else app
    inner = starting.guarded(inner, besides=HEALTH) if starting.early else inner
    return surround(Guard(inner, paths=paths, door=door, flaws=flaws), flaws, paths=paths)


def _admitted(url: str, named: bool) -> TransportSecuritySettings:
    """Whom the SDK answers: a page in somebody's browser must not reach us by a name of its own."""
    if named:
        return TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=[urlsplit(url).netloc],
            allowed_origins=[url],
        )
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=["127.0.0.1:*", "localhost:*", "[::1]:*"],
        allowed_origins=["http://127.0.0.1:*", "http://localhost:*", "http://[::1]:*"],
    )


def _add_health(app: Starlette, notes: Notes, flaws: Flaws) -> None:
    """Say whether the server can do its work, to whoever watches over it."""

    async def health(_: Request) -> Response:
        try:
            if Flaw.HEALTH_LIES not in flaws:
                await notes.check()
        except NotesError as error:
            return PlainTextResponse(f"{error}\n", status_code=503)
        return PlainTextResponse("ready\n")

    app.router.routes.append(Route(HEALTH, health))


def _add_metadata(app: Starlette, *, resource: str, path: str, issuer: str) -> None:
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

    app.router.routes.extend([Route(WELL_KNOWN + path, metadata), Route(WELL_KNOWN, metadata)])


def main() -> int:
    """Serve until told to end; the exit code."""
    gc.freeze()  # what was imported stays: no collection, the last one neither, needs to look at it
    options = _options()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    flaws = frozenset(Flaw(name) for name in options.flaw)
    if spans.wanted():
        spans.export()
    try:
        _check_owner(options, flaws)
        downstream = _downstream(options, flaws)
        notes: Notes
        if downstream is None:
            notes = _notes(options, flaws)
        else:
            notes = FlawedNotes(downstream, flaws=flaws)
        if options.stdio:
            anyio.run(partial(piped.serve, notes=notes, flaws=flaws, manner=options.manner))
            return 0
        named = public_url(options.url) if options.url else None
        listener = bind(options.host, options.port)
    except (RigError, UsageError) as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    url = named or address(listener)
    app = application(
        url=url,
        named=named is not None,
        issuer=options.issuer,
        notes=notes,
        flaws=flaws,
        sse=options.sse,
        downstream=downstream,
        manner=options.manner,
    )
    place = url + (SSE_PATH if options.sse else PATH)
    draining = Draining(FlawedStreams(app, flaws=flaws), flaws=flaws)
    # Else every answer that is an event stream would be cut at the first sight of SIGTERM.
    AppStatus.enable_automatic_graceful_drain = False

    async def drain() -> None:
        await draining.drain()
        AppStatus.should_exit = True

    serve(draining, listener, url=place, stdin_lease=options.stdin_lease, drain=drain)
    return 0


def _check_owner(options: argparse.Namespace, flaws: Flaws) -> None:
    """See that the variable which was named is there, before anybody is served.

    Raises:
        UsageError: it is not.
    """
    name = options.owner_variable
    if name is not None and Flaw.LAZY_ENV not in flaws and not os.environ.get(name, "").strip():
        raise UsageError(
            f"expected the owner's name in the environment variable {name}, found it empty"
        )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="squall reference",
        description="Serve the bundled MCP server, hardened or with flaws. In a container it is "
        "told by what name others call it, and keeps its notes in PostgreSQL: --host 0.0.0.0 "
        "--port 8000 --url http://reference:8000 --database-variable SQUALL_DATABASE_URL.",
        epilog="Example: squall reference --port 8001 --no-auth --ledger notes.db",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where it listens (%(default)s)")
    parser.add_argument("--port", type=int, default=0, help="its port; by default a free one")
    parser.add_argument("--url", help="what clients call this server, when that is another name")
    parser.add_argument("--sse", action="store_true", help="speak the HTTP+SSE of 2024-11-05")
    parser.add_argument("--issuer", help="URL of the authorization server that is trusted")
    parser.add_argument("--no-auth", action="store_true", help="let everybody in")
    store = parser.add_mutually_exclusive_group(required=True)
    store.add_argument("--ledger", type=Path, help="SQLite file for the notes and the effects")
    store.add_argument(
        "--database-variable",
        metavar="NAME",
        help="environment variable with a PostgreSQL URL, to keep notes and effects there instead",
    )
    store.add_argument("--dependency", metavar="URL", help="keep everything at this dependency")
    store.add_argument(
        "--dependency-variable",
        metavar="NAME",
        help="environment variable with its URL, which may be http://ID:SECRET@HOST:PORT",
    )
    parser.add_argument(
        "--flaw",
        action="append",
        default=[],
        metavar="FLAW",
        help="switch a flaw on; may be repeated; squall selftest --matrix says which there are",
    )
    parser.add_argument(
        "--manner",
        default="",
        choices=MANNERS,
        help=f"a sound oddity: {', '.join(MANNERS)}",
        metavar="MANNER",
    )
    parser.add_argument(
        "--stdio", action="store_true", help="speak over standard input and output, to one client"
    )
    parser.add_argument(
        "--owner-variable", metavar="NAME", help="environment variable that must not be empty"
    )
    parser.add_argument("--stdin-lease", action="store_true", help="end when standard input ends")
    options = parser.parse_args()
    flaws = [flaw.value for flaw in Flaw]
    for name in options.flaw:
        if name not in flaws:
            mend = nearest(name, flaws, what="there are")
            parser.error(f"--flaw: expected a flaw, got {name!r}; {mend}")
    if options.no_auth == bool(options.issuer):
        parser.error("give either --issuer URL or --no-auth")
    if options.stdio and (options.dependency or options.dependency_variable):
        parser.error("--stdio keeps its notes in a file; say --ledger FILE")
    if options.stdio and options.issuer:
        parser.error("--stdio has no tokens; say --no-auth")
    return options


def _downstream(options: argparse.Namespace, flaws: Flaws) -> FlawedDownstream | None:
    """A client of the dependency that was named.

    Raises:
        UsageError: what was named is no URL.
    """
    url = options.dependency
    if options.dependency_variable is not None:
        # Taken out of the environment: what this process starts must not inherit a secret.
        url = os.environ.pop(options.dependency_variable, "").strip()
        if not url:
            raise UsageError(
                "expected a dependency's URL in the environment variable "
                f"{options.dependency_variable}, found it empty"
            )
    return CarelessDownstream(url, flaws=flaws) if url is not None else None


def _notes(options: argparse.Namespace, flaws: Flaws) -> Notes:
    """The store that was asked for.

    Raises:
        UsageError: it is a database that is not named, or whose driver is not installed.
    """
    if options.database_variable is None:
        return SqliteNotes(options.ledger, flaws=flaws)
    # Taken out of the environment: what this process starts must not inherit a password.
    url = os.environ.pop(options.database_variable, "").strip()
    if not url:
        raise UsageError(
            f"expected a PostgreSQL URL in the environment variable {options.database_variable}, "
            "found it empty"
        )
    try:
        # Here, so that the driver is needed only where there is a database.
        from harness.reference.postgres import PostgresNotes  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            f"expected psycopg for the notes in PostgreSQL, got: {error}; "
            "install squall with its extra: mcp-squall[postgres]"
        ) from error
    return PostgresNotes(url, flaws=flaws)


if __name__ == "__main__":
    sys.exit(main())
