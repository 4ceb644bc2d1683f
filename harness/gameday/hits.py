"""What faults have hit as the journal tells it, counted while a day lasts as it is judged later.

An injector counts what it hits itself. Tokens that had to be replaced, processes that were struck
and odd requests are told by whoever saw them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any

from harness.journal import Calls, FaultEntry, FloodEntry, ProbeEntry, ProcessEntry, TokenEntry
from harness.scenario.units import counted


class Hits:
    """One day's, fault by fault."""

    def __init__(self, treated: Collection[int]) -> None:
        """`treated` are the sessions of the treated arm."""
        self._treated = frozenset(treated)
        self._taking: set[int] = set()  # faults of identity in force
        self._counts: dict[int, Counter[str]] = {}
        self.odd_ns = 0  # when the last thing that is known to be wrong on purpose began
        self.heard_ns = 0  # up to when the calls that have ended are known

    def hear(self, entry: Any) -> None:
        """Take in what is being written down."""
        match entry:
            case FaultEntry(lever="identity", edge="intended"):
                self._taking.add(entry.window)
            case FaultEntry(edge="healed" | "failed" | "not_healed"):
                self._taking.discard(entry.window)
            case TokenEntry() if entry.replaced and entry.session in self._treated:
                for window in self._taking:
                    self._count(window, "tokens replaced", 1)
            case ProcessEntry() if entry.struck:
                self._met(entry.at_ns)
                self._count(entry.window, "processes", 1)
            case ProbeEntry() if entry.window:
                self._met(entry.sent_ns if entry.sent_ns >= 0 else entry.at_ns)
                self._count(entry.window, "odd requests", 1)
            case FloodEntry() if entry.requests:
                self._met(entry.at_ns)
                self._count(entry.window, "odd requests", entry.requests)

    def take(self, batch: Calls, *, at_ns: int) -> None:
        """Take in the calls that have ended since the last batch."""
        odd = batch["sent_ns"][batch["behaviour"] != 0]
        self._met(int(odd.max(initial=0)))
        self.heard_ns = at_ns

    def _met(self, at_ns: int) -> None:
        self.odd_ns = max(self.odd_ns, at_ns)

    def _count(self, window: int, what: str, count: int) -> None:
        self._counts.setdefault(window, Counter())[what] += count

    def words(self, window: int) -> str:
        """Say what was hit, as in `8 tokens replaced`; "" for nothing."""
        found = self._counts.get(window, Counter())
        return " and ".join(counted(count, what) for what, count in found.items())
