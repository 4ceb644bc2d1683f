"""One request's way through the dependency: what it shows, what strikes it, what it is told."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.types import Send

from faults.levers import Programme, ProgrammeKind
from harness.rig.dependency import recorded
from harness.rig.dependency.operations import UNKNOWN, Ask, Operations, Reply, refusal
from harness.rig.dependency.programmes import READS, Programmes
from harness.rig.dependency.recorded import Recorder
from harness.rig.dependency.tokens import Shown
from harness.rig.dependency.wires import Wire
from harness.scenario.traces import call_of

KEY_HEADER: Final = "x-squall-key"
SUBJECT_HEADER: Final = "x-squall-subject"
KEY_MAX: Final = 128
BODY_LIMIT_BYTES: Final = 8 * 1024 * 1024
END_S: Final = 1.0  # how soon the server knows that nothing more is said on a connection
_NONCE: Final = re.compile(r"n[0-9a-f]{16}")
_TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-")
_SHIFTED: Final = "_v2"  # what a renamed field is called


class Passage:
    """One request, from its arrival until it is written down."""

    def __init__(
        self,
        request: Request,
        send: Send,
        *,
        operation: str,
        name: str,
        shown: Shown,
        programmes: Programmes,
    ) -> None:
        """Nothing is read yet."""
        self._request = request
        self._send = send
        self._operation = operation
        self._name = name
        self._shown = shown
        self._programmes = programmes
        self._wire: Wire = request.state.wire
        self._at_ns = time.monotonic_ns()
        self._ask = Ask(operation=operation, name=name)
        self._struck = ""
        self._status = 0
        self._answered = False
        self._gone = False
        self._done = False
        self._reply = Reply(status=0, body={})
        self._retry_after_s = UNKNOWN
        self._total = UNKNOWN

    async def go(self, operations: Operations, recorder: Recorder) -> None:
        """Answer it, or whatever is to become of it, and write it down."""
        try:
            async with AsyncExitStack() as held:
                self._reply = await self._answer(operations, recorder, held)
                if not self._gone:
                    await self._say(self._reply)
        except (ClientDisconnect, OSError):
            self._gone = True
        finally:
            recorder.request(self._record())

    async def _answer(
        self, operations: Operations, recorder: Recorder, held: AsyncExitStack
    ) -> Reply:
        read = await self._read()
        if isinstance(read, Reply):
            return read
        self._ask = read
        if self._operation in READS:
            self._total = operations.total(read)
        if self._shown.credential == "expired":
            return refusal(HTTPStatus.UNAUTHORIZED, "invalid_token", "the access token has expired")
        refused = self._hit("refuse")
        if refused is not None:
            self._retry_after_s = (
                UNKNOWN if refused.retry_after_s is None else refused.retry_after_s
            )
            return refusal(refused.status, "rate-limited", "too many requests")
        pool = self._strike("pool")
        if pool is not None:
            label, programme = pool
            if not self._programmes.enter(label, programme.slots):
                self._request.state.wires.refused += 1
                return refusal(
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    "pool-exhausted",
                    f"all {programme.slots} connections are in use",
                )
            held.callback(self._programmes.leave, label)
            await self._wait(programme.delay_s, label)
        slow = self._strike("slow")
        if slow is not None and not slow[1].after:
            await self._wait(slow[1].delay_s, slow[0])
        if self._gone:  # whoever asked has left: nothing is begun for nobody
            return Reply(status=0, body={})
        reply = self._do(operations, recorder)
        if slow is not None and slow[1].after:
            await self._wait(slow[1].delay_s, slow[0])
        return self._spoilt(reply)

    def _do(self, operations: Operations, recorder: Recorder) -> Reply:
        """Do it, by a replica that lags if one is in force, and write its effect down."""
        lag_s = 0.0
        found = self._programmes.first("stale", self._operation)
        if found is not None and self._operation in READS and not self._ask.is_consistent:
            label, stale = found
            if operations.is_behind(self._ask, lag_s=stale.lag_s):
                lag_s = stale.lag_s
                self._note(label, "stale")
        reply = operations.do(self._ask, lag_s=lag_s)
        found_it = reply.status < HTTPStatus.BAD_REQUEST
        self._done = found_it if self._operation in READS else reply.effect is not None
        if reply.effect is not None:
            recorder.execution(
                at_ns=time.monotonic_ns(),
                tool=reply.effect.tool,
                key=reply.effect.key,
                subject=self._subject,
                client=self._shown.credential,
            )
        return reply

    # what strikes it

    def _strike(self, kind: ProgrammeKind) -> tuple[str, Programme] | None:
        found = self._programmes.first(kind, self._operation)
        if found is not None:
            self._note(found[0], kind)
        return found

    def _hit(self, kind: ProgrammeKind) -> Programme | None:
        found = self._strike(kind)
        return None if found is None else found[1]

    def _note(self, label: str, kind: ProgrammeKind) -> None:
        self._programmes.hit(label)
        self._struck = f"{self._struck}+{kind}" if self._struck else kind

    def _spoilt(self, reply: Reply) -> Reply:
        """The answer as the programmes leave it: drifted, empty, or short of a page."""
        if reply.status >= HTTPStatus.BAD_REQUEST or reply.effect is not None:
            return reply
        drift = self._programmes.first("drift", self._operation)
        if drift is not None:
            body = _drifted(reply, drift[1])
            if body != reply.body:
                self._note(drift[0], "drift")
                reply = replace(reply, body=body)
        if not reply.member:
            return reply
        empty = self._hit("empty")
        if empty is not None:
            return _emptied(reply, empty)
        found = self._programmes.first("partial", self._operation)
        if found is not None and found[1].lost == "page" and reply.rows > 0:
            self._note(found[0], "partial")
            reply = replace(reply, body={**reply.body, reply.member: []}, rows=0)
        return reply

    async def _wait(self, delay_s: float, label: str) -> None:
        """Hold it up, at the longest until its programme is over; who leaves is noticed."""
        async with anyio.create_task_group() as waiting:

            async def heal() -> None:
                await self._programmes.until_over(label)
                waiting.cancel_scope.cancel()

            waiting.start_soon(heal)
            await self._leave(delay_s)
            waiting.cancel_scope.cancel()

    async def _leave(self, within_s: float) -> None:
        """Wait for whoever asked to leave."""
        with anyio.move_on_after(within_s):
            while (await self._request.receive())["type"] != "http.disconnect":
                pass
            self._gone = True

    # what it shows

    async def _read(self) -> Ask | Reply:
        received = bytearray()
        async for piece in self._request.stream():
            received += piece
            if len(received) > BODY_LIMIT_BYTES:
                return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too-large")
        body: object = {}
        if received:
            try:
                body = json.loads(received)
            except ValueError:
                body = None
        if not isinstance(body, dict):
            return refusal(HTTPStatus.BAD_REQUEST, "bad-json", "the body is no JSON object")
        query = dict(self._request.query_params)
        return Ask(
            operation=self._operation,
            name=self._name,
            query=query,
            body=body,
            subject=self._subject,
            key=self._key(query, body),
        )

    def _key(self, query: Mapping[str, str], body: Mapping[str, Any]) -> str:
        """Which call this belongs to: by a header, a nonce that it carries, or its trace."""
        given = self._request.headers.get(KEY_HEADER, "")
        if given:
            return given[:KEY_MAX]
        for text in (*query.values(), *body.values(), self._name):
            found = _NONCE.search(text[:KEY_MAX]) if isinstance(text, str) else None
            if found:
                return found[0]
        trace = self._trace
        return call_of(bytes.fromhex(trace)) if trace else ""

    @property
    def _trace(self) -> str:
        found = _TRACE.match(self._request.headers.get("traceparent", ""))
        return found[1] if found else ""

    @property
    def _subject(self) -> str:
        given = self._request.headers.get(SUBJECT_HEADER, "")
        return given[:KEY_MAX] or self._shown.subject

    # what it is told

    async def _say(self, reply: Reply) -> None:
        """Send the answer, or as much of it as the programmes let through."""
        if self._hit("reset") is not None:
            self._wire.reset()
            await self._leave(END_S)
            return
        payload = json.dumps(reply.body, separators=(",", ":")).encode()
        found = self._programmes.first("partial", self._operation)
        cut = (
            found is not None and found[1].lost == "body" and reply.status < HTTPStatus.BAD_REQUEST
        )
        if cut and found is not None:
            self._note(found[0], "partial")
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(payload)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if self._retry_after_s != UNKNOWN:
            headers.append((b"retry-after", str(self._retry_after_s).encode()))
        if reply.status == HTTPStatus.UNAUTHORIZED:
            headers.append((b"www-authenticate", b'Bearer error="invalid_token"'))
        self._status = reply.status
        start = {"type": "http.response.start", "status": int(reply.status), "headers": headers}
        await self._send(start)
        sent = payload[: len(payload) // 2] if cut else payload
        await self._send({"type": "http.response.body", "body": sent, "more_body": cut})
        if cut:
            self._wire.cut()
            await self._leave(END_S)
            return
        self._answered = not self._wire.gone

    def _record(self) -> recorded.Request:
        return recorded.Request(
            at_ns=self._at_ns,
            done_ns=time.monotonic_ns(),
            connection=self._wire.number,
            operation=self._operation,
            key=self._ask.key,
            trace=self._trace,
            subject=self._subject,
            credential=self._shown.credential,
            audience=self._shown.audience,
            status=int(self._status),
            executed=int(self._done),
            answered=int(self._answered),
            rows=self._reply.rows,
            total=self._total,
            retry_after_s=self._retry_after_s,
            programme=self._struck,
        )


def _drifted(reply: Reply, drift: Programme) -> dict[str, Any]:
    """The body after a new version came without notice: one field is not what it was."""
    if reply.member and drift.field not in reply.body:
        rows = [_shifted(row, drift) for row in reply.body[reply.member]]
        return {**reply.body, reply.member: rows}
    return _shifted(reply.body, drift)


def _shifted(row: dict[str, Any], drift: Programme) -> dict[str, Any]:
    if drift.field not in row:
        return row
    match drift.change:
        case "null":
            return {**row, drift.field: None}
        case "removed":
            return {name: value for name, value in row.items() if name != drift.field}
        case "renamed":
            return {
                (name + _SHIFTED if name == drift.field else name): value
                for name, value in row.items()
            }


def _emptied(reply: Reply, empty: Programme) -> Reply:
    """No rows: either beside a total that says otherwise, or in an error of the same shape."""
    body = {**reply.body, reply.member: [], "next": None}
    if empty.says == "empty":
        return replace(reply, body=body, rows=0)
    body |= {"total": 0, "error": "pool-exhausted", "message": "the query timed out"}
    return Reply(status=HTTPStatus.SERVICE_UNAVAILABLE, body=body, rows=0)
