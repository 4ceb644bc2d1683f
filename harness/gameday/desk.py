"""The page's other end: what it is shown, and what it may ask for.

Nothing changes by GET. Whatever changes something is a POST with the operator's secret in a header,
JSON in its body, and a name of this machine in Host.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from harness.gameday import board, wish
from harness.gameday.crowd import Page, Role
from harness.gameday.doors import Doors
from harness.gameday.game import Game
from harness.gameday.panel import panel
from harness.gameday.porch import Guarded, page_routes, refusal
from harness.gameday.terms import SQUALL, STOP_CONDITION
from harness.gameday.wish import RefusedError
from harness.journal import RemarkEntry
from harness.redaction import redact

BODY_BYTES_MAX: Final = 64 * 1024
SHOW_S: Final = 1.0  # a page hears of everything at least so often
GATHER_S: Final = 0.05  # several changes at once are shown as one
KINDS: Final = ("note", "observation", "action")


@dataclass(frozen=True, kw_only=True, eq=False)
class Desk:
    """One day's."""

    game: Game
    doors: Doors

    def app(self) -> ASGIApp:
        """Give the application."""
        routes = [
            *page_routes(),
            Route("/api/live", self._live, methods=["POST"]),
            Route("/api/catalogue", self._catalogue, methods=["GET"]),
            *(
                Route(f"/api/{name}", self._deed(do), methods=["POST"])
                for name, do in self._deeds().items()
            ),
            Route("/api/beat", self._beat, methods=["POST"]),
        ]
        app = Starlette(routes=routes, exception_handlers={RefusedError: refusal})
        return Guarded(app, self.doors)

    def _deeds(self) -> dict[str, Callable[[str, Mapping[str, Any]], dict[str, Any]]]:
        return {
            "start": self._start,
            "stop": self._stop,
            "extend": self._extend,
            "halt": self._halt,
            "resume": self._resume,
            "remark": self._remark,
            "end": self._end,
        }

    # --- what is shown ------------------------------------------------------------------------

    async def _catalogue(self, request: Request) -> Response:
        self.doors.role(request.headers)
        game = self.game
        if game.load is None:
            raise RefusedError("the storm is not under way yet; ask again", status=503)
        return JSONResponse({"faults": panel(game.scenario, game.has, game.proxy)})

    async def _live(self, request: Request) -> Response:
        """Stream how things stand for as long as a page listens; it counts as connected."""
        role = self.doors.role(request.headers)
        body = await self._body(request)
        page = Page(
            id=wish.text(body.get("page", ""), at="page", longest=wish.NAME_MAX),
            who=self._who(body.get("who", ""), role),
            role=role,
            heard_ns=self.game.clock.now_ns(),
        )
        if not page.id:
            raise RefusedError("expected a name for this page", at="page")
        self.game.attendance.come(page)
        return _Stream(self._events(page), lambda: self.game.attendance.go(page))

    async def _events(self, page: Page) -> AsyncIterator[str]:
        game = self.game
        yield _event("opening", board.opening(game) | {"role": page.role, "who": page.who})
        while True:
            changed = game.changed
            yield _event("state", board.state(game))
            if game.over and not game.living():
                return
            with anyio.move_on_after(SHOW_S):
                await changed.wait()
            await anyio.sleep(GATHER_S)

    # --- what is asked for --------------------------------------------------------------------

    def _deed(self, do: Callable[[str, Mapping[str, Any]], dict[str, Any]]) -> Any:
        async def answer(request: Request) -> Response:
            role = self.doors.role(request.headers)
            if role != "operator":
                raise RefusedError("this link is for looking on; ask an operator", status=403)
            body = await self._body(request)
            return JSONResponse(do(self._who(body.get("who", ""), role), body))

        return answer

    async def _beat(self, request: Request) -> Response:
        role = self.doors.role(request.headers)
        body = await self._body(request)
        page = wish.text(body.get("page"), at="page", longest=wish.NAME_MAX)
        self.game.attendance.beat(page, role)
        return JSONResponse({})

    def _start(self, who: str, body: Mapping[str, Any]) -> dict[str, Any]:
        wanted = wish.read(body, self.game.scenario)
        return {"window": self.game.start(wanted, who).number}

    def _stop(self, who: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.game.stop(_number(body.get("window")), who)
        return {}

    def _extend(self, who: str, body: Mapping[str, Any]) -> dict[str, Any]:
        self.game.extend(_number(body.get("window")), wish.duration(body.get("for"), at="for"), who)
        return {}

    def _halt(self, who: str, _: Mapping[str, Any]) -> dict[str, Any]:
        self.game.ask_halt(who)
        return {}

    def _resume(self, who: str, _: Mapping[str, Any]) -> dict[str, Any]:
        self.game.resume(who)
        return {}

    def _end(self, who: str, _: Mapping[str, Any]) -> dict[str, Any]:
        self.game.finish(who)
        return {}

    def _remark(self, who: str, body: Mapping[str, Any]) -> dict[str, Any]:
        kind, judged = body.get("kind", "note"), body.get("as_expected", "")
        if kind not in KINDS:
            raise RefusedError(f"expected one of {', '.join(KINDS)}", at="kind")
        if judged not in {"", "yes", "partly", "no"}:
            raise RefusedError("expected yes, partly or no", at="as_expected")
        said = wish.text(body.get("text"), at="text")
        if not said:
            raise RefusedError("expected some words", at="text")
        self.game.remark(
            RemarkEntry(
                at_ns=self.game.clock.now_ns(),
                who=who,
                kind=kind,
                text=said,
                window=_number(body.get("window", 0)),
                as_expected=judged,
            )
        )
        return {}

    async def _body(self, request: Request) -> dict[str, Any]:
        """Read a small JSON object; a secret of the links that was pasted into it is hidden.

        Raises:
            RefusedError: when it is none, or large.
        """
        found = bytearray()
        async for part in request.stream():
            found += part
            if len(found) > BODY_BYTES_MAX:
                raise RefusedError(f"expected at most {BODY_BYTES_MAX} bytes", status=413)
        try:
            body = json.loads(redact(found.decode() or "{}", self.doors.keys.all))
        except ValueError:
            raise RefusedError("expected JSON") from None
        if not isinstance(body, dict):
            raise RefusedError("expected a JSON object")
        return body

    def _who(self, given: object, role: Role) -> str:
        """Read a person's name; who gives none is named after the link."""
        name = wish.text(given, at="who", longest=wish.NAME_MAX)
        if name.lower() in {SQUALL, STOP_CONDITION}:
            raise RefusedError("that name is taken", at="who")
        return name or role


class _Stream(StreamingResponse):
    """Events for as long as the other side listens; `left` is called when it does not any more."""

    def __init__(self, events: AsyncIterator[str], left: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._left = left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._left()


def _event(name: str, value: Mapping[str, Any]) -> str:
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return f"event: {name}\ndata: {text}\n\n"


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RefusedError("expected the number of a fault", at="window")
    return value
