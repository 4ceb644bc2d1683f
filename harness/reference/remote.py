"""Documents and notes that are kept at a dependency, and what it says of them checked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from harness.reference.documents import DatabaseError, Document, Row
from harness.reference.downstream import Downstream, StoreError
from harness.reference.notes import Note, NotesError

QUERY_LIMIT_BYTES: Final = 32 * 1024
PAGES_MAX: Final = 10  # of one question
KEYS_MAX: Final = 20_000  # whose last write is remembered; the oldest gives way
Member = TypeVar("Member")


class _RowsPage(TypedDict):
    """One page of rows, how many there are in all, and where the next one begins."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]  # as pydantic asks for it
    rows: list[Row]
    total: int
    next: str | None


class _NotesPage(TypedDict):
    """One page of notes, and up to which write the answer goes."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]  # as pydantic asks for it
    notes: list[Note]
    total: int
    next: str | None
    position: int


class _Written(TypedDict):
    """A note as it was written, and which write of all it was."""

    __pydantic_config__ = ConfigDict(strict=True)  # type: ignore[misc]  # as pydantic asks for it
    key: str
    text: str
    sequence: int
    position: int


class _Shape(Generic[Member]):
    """What an answer has to look like."""

    def __init__(self, shape: type[Member]) -> None:
        self._adapter: TypeAdapter[Member] = TypeAdapter(shape)

    def of(self, answer: Mapping[str, Any]) -> Member:
        """Give the answer, if it looks so.

        Raises:
            StoreError: it does not; the message says where.
        """
        try:
            return self._adapter.validate_python(answer)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the whole of it"
            raise StoreError(
                f"the store's answer was not understood: {place}: {first['msg']}"
            ) from None


_ROWS, _NOTES = _Shape(_RowsPage), _Shape(_NotesPage)
_WRITTEN, _DOCUMENT = _Shape(_Written), _Shape(Document)


class RemoteDocuments:
    """Documents at the dependency."""

    def __init__(self, downstream: Downstream) -> None:
        """Ask this one; whoever made it closes it."""
        self._downstream = downstream

    def close(self) -> None:
        """Nothing is held here."""

    async def search(self, query: str, limit: int) -> list[Row]:
        """Every row that there is for a query, or an error; never a part of them.

        Raises:
            DatabaseError: the dependency did not answer, or not in full, or not so as to be
                understood.
        """
        if len(query.encode("utf-8", "replace")) > QUERY_LIMIT_BYTES:
            raise DatabaseError(f"a query may have {QUERY_LIMIT_BYTES} bytes")
        try:
            return await self._search({"match": query, "limit": str(limit)})
        except StoreError as error:
            raise DatabaseError(str(error)) from error

    async def _search(self, asked: dict[str, str]) -> list[Row]:
        found: list[Row] = []
        for _ in range(PAGES_MAX):
            page = _ROWS.of(await self._downstream.read("/rows", asked))
            found += page["rows"]
            if page["next"] is None:
                break
            asked = {**asked, "cursor": page["next"]}
        if len(found) != page["total"]:
            raise StoreError(
                f"the store's answer is not complete: {len(found)} of {page['total']} rows"
            )
        return found

    async def fetch(self, number: int) -> Document | None:
        """The document with this number, if there is one.

        Raises:
            DatabaseError: the dependency did not answer, or not so as to be understood.
        """
        try:
            answer = await self._downstream.read(f"/rows/doc-{number}", {})
            return _DOCUMENT.of(answer)
        except StoreError as error:
            raise DatabaseError(str(error)) from error


class RemoteNotes:
    """Notes at the dependency; whoever wrote one reads it."""

    def __init__(self, downstream: Downstream) -> None:
        """Ask this one; whoever made it closes it."""
        self._downstream = downstream
        self._positions: OrderedDict[str, int] = OrderedDict()  # of the last write under a key

    @property
    def address(self) -> tuple[str, int]:
        """Where the dependency is."""
        return self._downstream.address

    async def open(self) -> None:
        """Nothing is asked before the first call."""

    async def close(self) -> None:
        """Nothing is held here."""

    async def check(self) -> None:
        """Return if the dependency is there."""
        try:
            await self._downstream.check()
        except StoreError as error:
            raise NotesError(str(error)) from error

    async def append(
        self, *, key: str, text: str, client: str, subject: str, idempotency_key: str
    ) -> Note:
        """Write a note and return it; a known idempotency key returns the first one as it was."""
        body = {"key": key, "text": text}
        if idempotency_key:
            body["idempotency_key"] = f"{client}/{subject}/{idempotency_key}"
        try:
            written = _WRITTEN.of(await self._downstream.write("POST", "/notes", body))
        except StoreError as error:
            raise NotesError(str(error)) from error
        self._positions[key] = max(written["position"], self._positions.get(key, 0))
        self._positions.move_to_end(key)
        if len(self._positions) > KEYS_MAX:
            self._positions.popitem(last=False)
        return Note(key=written["key"], text=written["text"], sequence=written["sequence"])

    async def read(self, key: str, limit: int) -> list[Note]:
        """The last notes under a key, what was written here among them.

        Raises:
            NotesError: the dependency did not answer, or not in full, or not so as to be
                understood.
        """
        try:
            found, position = await self._read(key, limit)
            if position < self._positions.get(key, 0):  # a replica that has not caught up
                found, _ = await self._read(key, limit, consistent=True)
        except StoreError as error:
            raise NotesError(str(error)) from error
        return found

    async def _read(
        self, key: str, limit: int, *, consistent: bool = False
    ) -> tuple[list[Note], int]:
        asked = {"key": key, "limit": str(limit)}
        asked |= {"consistent": "true"} if consistent else {}
        found: list[Note] = []
        for _ in range(PAGES_MAX):
            page = _NOTES.of(await self._downstream.read("/notes", asked))
            found += page["notes"]
            if page["next"] is None:
                break
            asked = {**asked, "cursor": page["next"]}
        if len(found) != page["total"]:
            raise StoreError(
                f"the store's answer is not complete: {len(found)} of {page['total']} notes"
            )
        return found, page["position"]
