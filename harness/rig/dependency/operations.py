"""What the dependency does for each operation, with nothing broken but the age of what it shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from harness.rig.dependency.stored import (
    LIMIT_MAX,
    MATCH_LIMIT_BYTES,
    NS_PER_S,
    PAGE_ROWS,
    TEXT_LIMIT_BYTES,
    ConflictError,
    FullError,
    Stored,
)

UNKNOWN: Final = -1
BAD: Final = HTTPStatus.BAD_REQUEST


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One request, read."""

    operation: str
    name: str = ""  # of the row or the cell
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    subject: str = ""
    key: str = ""

    @property
    def is_consistent(self) -> bool:
        """Whether it wants to read what stands now, however long that takes."""
        return self.query.get("consistent", "") in {"1", "true"}


@dataclass(frozen=True, kw_only=True)
class Effect:
    """Something that was done."""

    tool: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What there is to say."""

    status: int
    body: dict[str, Any]
    rows: int = UNKNOWN
    effect: Effect | None = None
    member: str = ""  # of the body: where the rows are


def refusal(status: int, error: str, message: str = "") -> Reply:
    """An error in words."""
    return Reply(status=status, body={"error": error, "message": message or error})


class Operations:
    """The operations over everything that is kept."""

    def __init__(self, stored: Stored) -> None:
        """Work on these."""
        self._stored = stored
        self._of: dict[str, Callable[[Ask, int], Reply]] = {
            "rows": self._rows,
            "row": self._row,
            "append": self._append,
            "notes": self._notes,
            "get_cell": self._get,
            "put_cell": self._put,
        }

    def do(self, ask: Ask, *, lag_s: float = 0.0) -> Reply:
        """Do it; reads see what stood `lag_s` seconds ago."""
        now_ns = time.monotonic_ns()
        try:
            return self._of[ask.operation](ask, now_ns - round(lag_s * NS_PER_S))
        except FullError as error:
            return refusal(HTTPStatus.INSUFFICIENT_STORAGE, "full", str(error))

    def total(self, ask: Ask) -> int:
        """How many rows there are for what a read asks, on all pages."""
        reply = self.do(ask)
        if reply.status >= BAD:
            return 0 if reply.status == HTTPStatus.NOT_FOUND else UNKNOWN
        return int(reply.body.get("total", reply.rows))

    def is_behind(self, ask: Ask, *, lag_s: float) -> bool:
        """Whether a replica that lags so would answer otherwise than this does."""
        return self.do(ask, lag_s=lag_s).body != self.do(ask).body

    def _rows(self, ask: Ask, _: int) -> Reply:
        match = ask.query.get("match", "")
        limit, start = _number(ask.query, "limit", PAGE_ROWS), _number(ask.query, "cursor", 0)
        if len(match.encode()) > MATCH_LIMIT_BYTES:
            words = f"match may have {MATCH_LIMIT_BYTES} bytes"
            return refusal(HTTPStatus.BAD_REQUEST, "match-too-long", words)
        if not 0 < limit <= LIMIT_MAX or start < 0:
            words = f"limit is a number from 1 to {LIMIT_MAX}, cursor one that was given"
            return refusal(HTTPStatus.BAD_REQUEST, "bad-page", words)
        found = self._stored.rows(match, limit)
        return _page("rows", list(found), start, {})

    def _row(self, ask: Ask, _: int) -> Reply:
        digits = ask.name.removeprefix("doc-")
        row = self._stored.row(int(digits)) if digits.isdecimal() and len(digits) < 9 else None  # noqa: PLR2004
        if row is None:
            return refusal(
                HTTPStatus.NOT_FOUND, "no-such-row", f"there is no row {ask.name[:80]!r}"
            )
        return Reply(status=HTTPStatus.OK, body=dict(row), rows=1)

    def _append(self, ask: Ask, _: int) -> Reply:
        given = [ask.body.get(name, "") for name in ("key", "text", "idempotency_key")]
        if not all(isinstance(one, str) for one in given) or not given[1]:
            words = "a note has key and text, and may have idempotency_key, all of them text"
            return refusal(HTTPStatus.BAD_REQUEST, "bad-note", words)
        key, text, idempotency_key = given
        if len(text) > TEXT_LIMIT_BYTES:
            words = f"text may have {TEXT_LIMIT_BYTES} characters"
            return refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "text-too-long", words)
        note, fresh = self._stored.append(
            key=key, text=text, idempotency_key=idempotency_key, holder=ask.subject
        )
        body = {"key": note.key, "text": note.text, "sequence": note.sequence}
        return Reply(
            status=HTTPStatus.CREATED if fresh else HTTPStatus.OK,
            body={**body, "position": self._stored.position()},
            effect=Effect(tool="append_note", key=text) if fresh else None,
        )

    def _notes(self, ask: Ask, until_ns: int) -> Reply:
        limit, start = _number(ask.query, "limit", PAGE_ROWS), _number(ask.query, "cursor", 0)
        if not 0 < limit <= LIMIT_MAX or start < 0:
            words = f"limit is a number from 1 to {LIMIT_MAX}, cursor one that was given"
            return refusal(HTTPStatus.BAD_REQUEST, "bad-page", words)
        found = [
            {"key": note.key, "text": note.text, "sequence": note.sequence}
            for note in self._stored.notes(ask.query.get("key", ""), until_ns=until_ns)[-limit:]
        ]
        return _page("notes", found, start, {"position": self._position(until_ns)})

    def _get(self, ask: Ask, until_ns: int) -> Reply:
        cell = self._stored.cell(ask.name, until_ns=until_ns)
        body = {"id": ask.name, "value": cell.value, "version": cell.version}
        body["position"] = self._position(until_ns)
        return Reply(status=HTTPStatus.OK, body=body, rows=1 if cell.version else 0)

    def _put(self, ask: Ask, _: int) -> Reply:
        version = ask.body.get("version")
        if "value" not in ask.body or (version is not None and type(version) is not int):
            words = "a cell is put with value and, to overwrite nobody, the version that it has"
            return refusal(HTTPStatus.BAD_REQUEST, "bad-cell", words)
        try:
            cell = self._stored.put(ask.name, ask.body["value"], version)
        except ConflictError as error:
            return Reply(
                status=HTTPStatus.CONFLICT,
                body={"error": "conflict", "message": str(error), "version": error.version},
            )
        body = {"id": ask.name, "value": cell.value, "version": cell.version}
        return Reply(
            status=HTTPStatus.OK,
            body={**body, "position": self._stored.position()},
            effect=Effect(tool="put_cell", key=ask.key),
        )

    def _position(self, until_ns: int) -> int:
        return self._stored.position(until_ns=until_ns)


def _page(member: str, found: list[dict[str, Any]], start: int, more: dict[str, Any]) -> Reply:
    """One page of what was found, how much that is in all, and where the next page begins."""
    page = found[start : start + PAGE_ROWS]
    follows = start + PAGE_ROWS
    body: dict[str, Any] = {member: page, "total": len(found)}
    body["next"] = str(follows) if follows < len(found) else None
    return Reply(status=HTTPStatus.OK, body={**body, **more}, rows=len(page), member=member)


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    return int(text) if text.isdecimal() and len(text) < 9 else -1  # noqa: PLR2004
