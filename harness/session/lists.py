"""Remembers what a server last offered to each session: told only where that has changed.

Only steps that list tools look, each session a few times a second at most; every other step, and
every session without such a step, pays nothing for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Final

from harness.clock import NS_PER_MS, NS_PER_S
from harness.journal import NEVER_NS, ListEntry
from harness.outcome import Reason
from harness.session.steps import Step
from harness.wire.listen import Listening
from harness.wire.speaker import Speaker

LISTS: Final = "tools/list"
LOOKS_MAX: Final = 50  # a second, of one process
APART_NS: Final = 200 * NS_PER_MS  # between two looks of one session
PAGED_APART_NS: Final = 2 * NS_PER_S  # where further pages have to be asked for
PAGES_MAX: Final = 20
TOOLS_MAX: Final = 2000
ENTRIES_A_SECOND: Final = 10
ENTRIES_MAX: Final = 5000  # of one process in a run
NAMED_MAX: Final = 100  # lists whose names are written down
NAMES_MAX: Final = 200
NAME_MAX: Final = 80
LATE_NS: Final = NS_PER_S  # word of a change may come after the list that shows it
_BYTES: Final = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Offer:
    """A whole list: what it says in order, and what it says in any order."""

    digest: str
    content: str
    names: tuple[str, ...]


def offer(tools: Sequence[object]) -> Offer:
    """Sum a list up: names in order, and what each tool takes and gives; not how it is praised."""
    known = [tool for tool in tools[:TOOLS_MAX] if isinstance(tool, Mapping)]
    lines = [_line(tool) for tool in known]
    return Offer(
        digest=_hash(lines),
        content=_hash(sorted(lines)),
        names=tuple(str(tool.get("name"))[:NAME_MAX] for tool in known),
    )


def _line(tool: Mapping[str, Any]) -> str:
    schemas = (_settled(tool.get("inputSchema")), _settled(tool.get("outputSchema")))
    return json.dumps([tool.get("name"), *schemas], sort_keys=True, separators=(",", ":"))


def _settled(schema: object) -> object:
    """Give a schema with what it requires sorted: that is a set, whose order says nothing."""
    required = schema.get("required") if isinstance(schema, dict) else None
    if not isinstance(schema, dict) or not isinstance(required, list):
        return schema
    return {**schema, "required": sorted(map(str, required))}


def _hash(lines: Sequence[str]) -> str:
    return blake2b("\n".join(lines).encode(errors="replace"), digest_size=_BYTES).hexdigest()


class Lists:
    """All that sessions of one process were offered; the books take the changes once a second."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        """Look by this clock."""
        self.now_ns = now_ns
        self.left = LOOKS_MAX
        self._usual: dict[bool, str] = {}  # by arm: what its first session was offered
        self._named: set[str] = set()
        self._waiting: list[tuple[Watch, ListEntry]] = []
        self._room = ENTRIES_A_SECOND
        self._written = 0

    def note(self, watch: Watch, seen: Offer, index: int) -> None:
        """Keep a list for the books if it is the arm's first, or not what was offered before."""
        first = watch.treated not in self._usual
        usual = self._usual.setdefault(watch.treated, seen.digest)
        if not first and seen.digest == (usual if watch.was is None else watch.was.digest):
            return
        if self._room <= 0 or self._written >= ENTRIES_MAX:
            return
        self._room -= 1
        self._written += 1
        names: tuple[str, ...] = ()
        if seen.digest not in self._named and len(self._named) < NAMED_MAX:
            self._named.add(seen.digest)
            names = seen.names[:NAMES_MAX]
        self._waiting.append((watch, watch.entry(seen, names, index)))

    def entries(self, *, all_: bool = False) -> Iterator[ListEntry]:
        """Give what has waited long enough for word of it, and allow as many looks again."""
        self.left, self._room = LOOKS_MAX, ENTRIES_A_SECOND
        ripe_ns = self.now_ns() - LATE_NS
        waiting, self._waiting = self._waiting, []
        for watch, entry in waiting:
            if all_ or entry.at_ns <= ripe_ns:
                yield replace(entry, told_ns=watch.told_ns)
            else:
                self._waiting.append((watch, entry))


class Watch:
    """One session's memory of the list it was offered last."""

    __slots__ = (
        "_client", "_declares", "_hears", "_lists", "_next_ns", "_reconnects", "_session",
        "_ttl_ms", "_was_ns", "cursor", "pages", "told_ns", "treated", "was",
    )  # fmt: skip

    def __init__(
        self, lists: Lists, client: Speaker, *, session: int, treated: bool, hears: bool
    ) -> None:
        """`hears` says that this client hears what a server says unasked, without a stream."""
        self._lists, self._client = lists, client
        self._session, self.treated, self._hears = session, treated, hears
        self._declares: bool | None = None
        self._next_ns = self._reconnects = 0
        self.told_ns = NEVER_NS
        self.cursor: tuple[str, int] | None = None  # of the next page, and whose answer it is of
        self.pages: list[object] = []
        self._forget()

    def _forget(self) -> None:
        self.was: Offer | None = None
        self._was_ns = self._ttl_ms = NEVER_NS
        self.cursor = None

    def opened(self, result: object) -> None:
        """Begin anew with a new session, given what the server has said of itself."""
        self._forget()
        able = result.get("capabilities") if isinstance(result, Mapping) else None
        tools = able.get("tools") if isinstance(able, Mapping) else None
        self._declares = None
        if isinstance(able, Mapping):
            self._declares = isinstance(tools, Mapping) and tools.get("listChanged") is True

    def told(self) -> None:
        """Note that the server has said that its tools have changed."""
        self.told_ns = self._lists.now_ns()

    def equip(self, steps: tuple[Step, ...], more: Callable[[], None]) -> tuple[Step, ...]:
        """Give a session's steps; those that list tools look. `more` is told of further pages."""
        return tuple(self._looks(step, more) if step.method == LISTS else step for step in steps)

    def _looks(self, step: Step, more: Callable[[], None]) -> Step:
        expect, lists = step.expect, self._lists

        def looked(result: Mapping[str, Any], values: Mapping[str, Any]) -> Reason | None:
            if lists.left > 0 and (now_ns := lists.now_ns()) >= self._next_ns:
                self._look(result, int(values.get("index", 0)), now_ns)
                if self.cursor is not None:
                    more()
            return expect(result, values)

        return replace(step, expect=looked)

    def _look(self, result: Mapping[str, Any], index: int, now_ns: int) -> None:
        self._lists.left -= 1
        self._next_ns = now_ns + APART_NS
        self.pages, self.cursor = [], None
        self.add(result, index)
        if self.cursor is not None:
            self._next_ns = now_ns + PAGED_APART_NS

    def add(self, result: Mapping[str, Any], index: int) -> None:
        """Take in a page; the list is whole with the one that names no other."""
        tools, cursor = result.get("tools"), result.get("nextCursor")
        if not isinstance(tools, list):
            self.cursor = None
            return
        self.pages += tools
        if isinstance(cursor, str) and cursor and len(self.pages) <= TOOLS_MAX:
            self.cursor = (cursor, index)
            return
        self.cursor = None
        self._see(offer(self.pages), index, result.get("ttlMs"))
        self.pages = []

    def _see(self, seen: Offer, index: int, ttl_ms: object) -> None:
        self._lists.note(self, seen, index)
        self.was, self._was_ns = seen, self._lists.now_ns()
        known = isinstance(ttl_ms, int | float) and not isinstance(ttl_ms, bool) and ttl_ms >= 0
        self._ttl_ms = int(ttl_ms) if known and isinstance(ttl_ms, int | float) else NEVER_NS
        self._reconnects = self._client.stats.listen_reconnects

    def entry(self, seen: Offer, names: tuple[str, ...], index: int) -> ListEntry:
        """What is to be told of a list, and of the one before it."""
        stats = self._client.stats
        heard = stats.listening is Listening.OPEN and stats.listen_reconnects == self._reconnects
        return ListEntry(
            at_ns=self._lists.now_ns(),
            session=self._session,
            index=index,
            treated=self.treated,
            era=self._client.era,
            digest=seen.digest,
            content=seen.content,
            count=len(seen.names),
            names=names,
            was="" if self.was is None else self.was.digest,
            was_content="" if self.was is None else self.was.content,
            was_ns=self._was_ns,
            ttl_ms=self._ttl_ms,
            hears=self._hears or heard,
            declares=self._declares,
        )
