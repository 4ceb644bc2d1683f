"""The day's book: everything that is done or said is in the journal before it has any effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from harness.clock import Clock
from harness.gameday.leases import Lease
from harness.gameday.terms import Halt
from harness.gameday.windows import Struck
from harness.gameday.wish import RefusedError
from harness.journal import (
    DeedEntry,
    HaltEntry,
    JournalWriter,
    LeaseEntry,
    OrderEntry,
    RemarkEntry,
)
from harness.rig.looks import Look

REMARKS_MAX: Final = 2000
STANDING_MAX: Final = 600  # characters of what still stands after a halt
Deed = Literal["came", "left", "stopped", "extended", "resumed", "ended"]
LeaseEdge = Literal["granted", "cut", "restored", "ended"]


@dataclass(kw_only=True)
class Book:
    """One day's."""

    writer: JournalWriter
    clock: Clock
    remarks: list[RemarkEntry] = field(default_factory=list)

    def order(self, one: Struck) -> None:
        """Write down what was ordered; on disk when this returns."""
        said = one.wish.hypothesis
        self.writer.append(
            OrderEntry(
                at_ns=one.ordered_ns,
                window=one.number,
                who=one.who,
                kind=one.wish.fault.kind,
                parameters=dict(one.wish.parameters),
                for_s=one.wish.for_s,
                expected=said.expected,
                breaks=said.breaks,
                stop_when=said.stop_when,
                stop_errors=said.stop_errors,
            ),
            sync=True,
        )

    def deed(self, who: str, deed: Deed, *, window: int = 0, words: str = "") -> None:
        """Write down what somebody did."""
        self.writer.append(
            DeedEntry(at_ns=self.clock.now_ns(), who=who, deed=deed, window=window, words=words)
        )

    def lease(self, lease: Lease, edge: LeaseEdge, why: str = "") -> None:
        """Write down what became of a lease."""
        self.writer.append(
            LeaseEntry(
                at_ns=self.clock.now_ns(),
                window=lease.window,
                edge=edge,
                until_ns=lease.end_ns,
                why=why,
            )
        )

    def halt(self, halt: Halt) -> None:
        """Write down a halt; on disk when this returns."""
        self._halt(halt.who, "asked", halt.words)

    def proof(self, halt: Halt, left: Sequence[str], seen: Look) -> None:
        """Conclude a halt and write that down: what is `left`, or seen to stand, is unproven."""
        stands = (*left, *seen.stands)
        halt.state = "not proven" if stands else "proven"
        said = "; ".join(stands) or "every fault is undone"
        halt.proof = "; ".join(seen.seen)
        halt.words = f"{halt.words}; {said}" if halt.words else said
        self._halt(halt.who, "not_proven" if stands else "proven", "; ".join(stands) or halt.proof)

    def _halt(self, who: str, edge: Literal["asked", "proven", "not_proven"], words: str) -> None:
        entry = HaltEntry(at_ns=self.clock.now_ns(), who=who, edge=edge, words=words[:STANDING_MAX])
        self.writer.append(entry, sync=True)

    def remark(self, entry: RemarkEntry) -> None:
        """Write down what somebody says; on disk when this returns.

        Raises:
            RefusedError: when there is too much of it.
        """
        if len(self.remarks) >= REMARKS_MAX:
            raise RefusedError(f"a day holds {REMARKS_MAX} remarks", status=409)
        self.remarks.append(entry)
        self.writer.append(entry, sync=True)
