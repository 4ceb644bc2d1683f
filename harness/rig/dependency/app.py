"""The dependency's HTTP face: its operations for whoever asks, and a control face for squall."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import anyio
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from harness.rig.dependency import recorded
from harness.rig.dependency.operations import Operations
from harness.rig.dependency.passage import BODY_LIMIT_BYTES, Passage
from harness.rig.dependency.programmes import PROGRAMME, Programmes
from harness.rig.dependency.recorded import Recorder
from harness.rig.dependency.stored import Stored
from harness.rig.dependency.tokens import Shown, Tokens
from harness.rig.dependency.wires import Wires

SAMPLE_S: Final = 1.0
NO_STORE: Final = {"Cache-Control": "no-store"}


class Face:
    """The endpoints over everything that is kept, and the ledger of whoever used them."""

    def __init__(
        self, *, ledger: Path, client: str, ttl_s: float, control_secret: str, seed: int
    ) -> None:
        """`client` is `id:secret`; without a control secret the control face stays shut."""
        self._control_secret = control_secret
        self._tokens = Tokens(client=client, ttl_s=ttl_s)
        self._operations = Operations(Stored())
        self._programmes = Programmes(seed=seed)
        self._recorder = Recorder(ledger)
        self._wires = Wires()

    def application(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/rows", _Endpoint(self, "rows"), methods=["GET"]),
                Route("/rows/{name:path}", _Endpoint(self, "row"), methods=["GET"]),
                Route("/notes", _Endpoint(self, "append"), methods=["POST"]),
                Route("/notes", _Endpoint(self, "notes"), methods=["GET"]),
                Route("/cells/{name:path}", _Endpoint(self, "get_cell"), methods=["GET"]),
                Route("/cells/{name:path}", _Endpoint(self, "put_cell"), methods=["PUT"]),
                Route("/token", self.token, methods=["POST"]),
                Route("/whoami", self.whoami),
                Route("/health", self.health),
                Route("/control/engage", self.control_engage, methods=["POST"]),
                Route("/control/disengage", self.control_disengage, methods=["POST"]),
                Route("/control/hits", self.control_hits, methods=["POST"]),
                Route("/control/programmes", self.control_programmes, methods=["POST"]),
                Route("/control/resource", self.control_resource, methods=["POST"]),
            ],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with anyio.create_task_group() as group:
            group.start_soon(self._sample)
            try:
                yield {"wires": self._wires}
            finally:
                group.cancel_scope.cancel()
                self._recorder.close()

    async def _sample(self) -> None:
        """Write down once a second how many connections there are."""
        while True:
            wires = self._wires
            self._recorder.pool(
                recorded.Pool(
                    at_ns=time.monotonic_ns(),
                    open=wires.open,
                    busy=wires.busy,
                    opened=wires.opened,
                    busy_max=wires.busy_max,
                    refused=wires.refused,
                )
            )
            wires.busy_max = wires.busy
            await anyio.sleep(SAMPLE_S)

    async def pass_through(self, operation: str, request: Request, send: Send) -> None:
        """Let one request through."""
        passage = Passage(
            request,
            send,
            operation=operation,
            name=str(request.path_params.get("name", "")),
            shown=self._shown(request),
            programmes=self._programmes,
        )
        self._wires.take()
        try:
            await passage.go(self._operations, self._recorder)
        finally:
            self._wires.give()

    def _shown(self, request: Request) -> Shown:
        return self._tokens.look(request.headers.get("authorization", ""))

    async def token(self, request: Request) -> Response:
        """Sell a token to the one client (RFC 6749: client credentials and refresh)."""
        at_ns = time.monotonic_ns()
        fields = dict(parse_qsl((await _body(request)).decode("utf-8", errors="replace")))
        authorization = request.headers.get("authorization", "")
        struck = self._programmes.first("refuse", "token")
        if struck is None:
            status, body = self._tokens.buy(fields, authorization)
        else:
            self._programmes.hit(struck[0])
            status, body = struck[1].status, {"error": "server_error"}
        self._note(request, "token", at_ns, status=status, programme="refuse" if struck else "")
        return JSONResponse(body, status_code=status, headers=NO_STORE)

    async def whoami(self, request: Request) -> Response:
        """Say whose credential came with the request."""
        shown = self._shown(request)
        status = 401 if shown.credential in {"none", "expired"} else 200
        self._note(request, "whoami", time.monotonic_ns(), status=status)
        body = {"credential": shown.credential, "subject": shown.subject}
        return JSONResponse(body, status_code=status, headers=NO_STORE)

    def _note(
        self, request: Request, operation: str, at_ns: int, *, status: int, programme: str = ""
    ) -> None:
        shown = self._shown(request)
        self._recorder.request(
            recorded.Request(
                at_ns=at_ns,
                done_ns=time.monotonic_ns(),
                connection=request.state.wire.number,
                operation=operation,
                key="",
                trace="",
                subject=shown.subject,
                credential=shown.credential,
                audience=shown.audience,
                status=status,
                executed=0,
                answered=1,
                rows=-1,
                total=-1,
                retry_after_s=-1,
                programme=programme,
            )
        )

    async def health(self, _: Request) -> Response:
        """Say that it is there; nobody's request, so it is not written down."""
        return JSONResponse({"status": "ready"})

    # the control face

    async def control_engage(self, request: Request) -> Response:
        """Put a programme into force."""
        wanted = await self._order(request)
        if wanted is None:
            return _wrong_secret()
        try:
            programme = PROGRAMME.validate_python(wanted["programme"])
        except ValidationError as error:
            return JSONResponse({"error": "bad-programme", "message": str(error)}, status_code=400)
        self._programmes.engage(str(wanted["label"]), programme)
        return JSONResponse({})

    async def control_disengage(self, request: Request) -> Response:
        """Take a programme out again."""
        wanted = await self._order(request)
        if wanted is None:
            return _wrong_secret()
        self._programmes.disengage(str(wanted["label"]))
        return JSONResponse({})

    async def control_hits(self, request: Request) -> Response:
        """How many requests a programme has hit."""
        wanted = await self._order(request)
        if wanted is None:
            return _wrong_secret()
        return JSONResponse({"hits": self._programmes.hits[str(wanted["label"])]})

    async def control_programmes(self, request: Request) -> Response:
        """Name the programmes in force."""
        if await self._order(request) is None:
            return _wrong_secret()
        return JSONResponse({"labels": self._programmes.inside})

    async def control_resource(self, request: Request) -> Response:
        """Learn which audience the callers' own tokens have."""
        wanted = await self._order(request)
        if wanted is None:
            return _wrong_secret()
        self._tokens.resource = str(wanted["resource"])
        return JSONResponse({})

    async def _order(self, request: Request) -> dict[str, Any] | None:
        """What the controller wants; None when it does not know the control secret."""
        given = request.headers.get("authorization", "")
        due = f"Bearer {self._control_secret}"
        if not self._control_secret or not hmac.compare_digest(given.encode(), due.encode()):
            return None
        request.state.wire.forget()
        wanted: dict[str, Any] = json.loads(await _body(request))
        return wanted


class _Endpoint:
    """One operation as an ASGI application, for what becomes of its answer is watched."""

    def __init__(self, face: Face, operation: str) -> None:
        self._face = face
        self._operation = operation

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through."""
        await self._face.pass_through(self._operation, Request(scope, receive), send)


def _wrong_secret() -> Response:
    return JSONResponse({"error": "access_denied"}, status_code=403)


async def _body(request: Request) -> bytes:
    """The body; one that is too long is cut, and then nobody can make sense of it."""
    received = bytearray()
    async for piece in request.stream():
        received += piece
        if len(received) > BODY_LIMIT_BYTES:
            return b""
    return bytes(received)
