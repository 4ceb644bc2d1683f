"""What misbehaving sessions do beside their own calls: bounded, and ended with the load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from typing import Final

from anyio.abc import TaskGroup

from harness.journal import JournalWriter, ProbeEntry
from harness.session.mischief.arguments import Arguments

PROBES_MAX: Final = 4000  # written down per process; evidence, not a log


class Backstage:
    """One act of a kind and session at a time; nothing begins before there is a group for it."""

    def __init__(self) -> None:
        """Begin with nobody there."""
        self._group: TaskGroup | None = None
        self._busy: set[tuple[str, int]] = set()
        self._seen: set[Hashable] = set()
        self._probes = 0
        self._turns: Counter[str] = Counter()
        self.drawn: dict[str, frozenset[int]] = {}  # by purpose: the sessions that serve it
        self.cases: dict[str, tuple[Arguments, ...]] = {}  # by window and tool: what fuzzes it

    def open(self, group: TaskGroup) -> None:
        """Let acts begin; they end with the group."""
        self._group = group

    def begin(self, kind: str, session: int, act: Callable[[], Awaitable[None]]) -> bool:
        """Start an act unless one of this kind is under way for the session; whether it began."""
        if self._group is None or (kind, session) in self._busy:
            return False
        self._busy.add((kind, session))
        self._group.start_soon(self._run, kind, session, act)
        return True

    @property
    def under_way(self) -> tuple[str, ...]:
        """Name the acts that go on, one for each session that does."""
        return tuple(kind for kind, _ in self._busy)

    async def _run(self, kind: str, session: int, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        finally:
            self._busy.discard((kind, session))

    def first(self, thing: Hashable) -> bool:
        """Tell whether nobody has asked this before."""
        if thing in self._seen:
            return False
        self._seen.add(thing)
        return True

    def turn(self, name: str) -> int:
        """Count those who ask, from 0."""
        number = self._turns[name]
        self._turns[name] += 1
        return number

    def tell(self, writer: JournalWriter, entry: ProbeEntry) -> None:
        """Write a probe down; a bounded number of them."""
        if self._probes < PROBES_MAX:
            self._probes += 1
            writer.append(entry)
