"""Which fields the answers held, by call, phase and arm: the looks that were taken into a few."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from harness.evidence.phases import BASELINE, Evidence, fault_code, recovery_code
from harness.journal import ContentEntry

Place = tuple[int, int, int]  # call, phase, treated


@dataclass(eq=False)
class Look:
    """What was seen in some answers with rows; of each field by its path, `result[].title`."""

    answers: int = 0
    held: dict[str, int] = field(default_factory=dict)  # answers that had the field at all
    values: dict[str, int] = field(default_factory=dict)
    nulls: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)  # call ids

    def add(self, entry: ContentEntry) -> None:
        """Add what one second of one process saw."""
        self.answers += entry.answers
        self.examples += entry.examples
        for path, counts in entry.fields.items():
            self._count(path, *counts)

    def merge(self, other: Look) -> None:
        """Add what another look saw."""
        self.answers += other.answers
        for path, held in other.held.items():
            self._count(path, held, other.values[path], other.nulls[path])

    def _count(self, path: str, held: int, values: int, nulls: int) -> None:
        self.held[path] = self.held.get(path, 0) + held
        self.values[path] = self.values.get(path, 0) + values
        self.nulls[path] = self.nulls.get(path, 0) + nulls

    def held_share(self, path: str) -> float:
        """Give the share of the answers that had the field."""
        return self.held.get(path, 0) / self.answers if self.answers else 0.0

    def null_share(self, path: str = "") -> float:
        """Give the share of nulls among the values of a field; of all fields without a path."""
        if not path:
            count = sum(self.values.values())
            return sum(self.nulls.values()) / count if count else 0.0
        count = self.values.get(path, 0)
        return self.nulls.get(path, 0) / count if count else 0.0


def looks(evidence: Evidence) -> dict[Place, Look]:
    """Sum the looks up by call, phase and arm; one that spans an edge of a phase is left out."""
    found: dict[Place, Look] = {}
    spans = tuple(_spans(evidence))
    for entry in evidence.journal.of(ContentEntry):
        inside = [
            code for code, start, end in spans if start <= entry.from_ns and entry.at_ns < end
        ]
        if inside:
            place = (entry.call, inside[-1], int(entry.treated))
            found.setdefault(place, Look()).add(entry)
    return found


def together(found: dict[Place, Look], call: int, phase: int) -> Look:
    """Give what both arms saw of a call in one phase."""
    both = Look()
    for arm in (0, 1):
        one = found.get((call, phase, arm))
        if one is not None:
            both.merge(one)
    return both


def null_shares(found: dict[Place, Look]) -> dict[Place, float]:
    """Give the share of nulls among all values that were looked at, by call, phase and arm."""
    return {place: look.null_share() for place, look in found.items() if look.values}


def _spans(evidence: Evidence) -> Iterator[tuple[int, int, int]]:
    """Give (phase, start, end), faults last so that an overlapping recovery hides none."""
    phases = evidence.phases
    yield BASELINE, phases.baseline.start_ns, phases.baseline.end_ns
    for window in evidence.injected:
        yield recovery_code(window.window), window.healed_ns, window.recovery_end_ns
    for window in evidence.injected:
        yield fault_code(window.window), window.start_ns, window.end_ns
