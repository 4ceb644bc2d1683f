"""The faults of one day, each from its order to the proof that it is undone; for the page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import anyio

from harness.gameday.leases import Lease
from harness.gameday.wish import Wish
from harness.journal import FaultEntry
from harness.plan import PlannedWindow
from harness.scenario.units import counted

State = Literal["ordered", "in force", "ending", "healed", "failed", "not proven healed"]
_OF_EDGE: dict[str, State] = {
    "injected": "in force",
    "healing": "ending",
    "healed": "healed",
    "failed": "failed",
    "not_healed": "not proven healed",
}
OVER: tuple[State, ...] = ("healed", "failed", "not proven healed")


@dataclass(eq=False, kw_only=True)
class Struck:
    """One fault that was ordered."""

    number: int
    wish: Wish
    who: str
    ordered_ns: int
    lease: Lease
    over: anyio.Event = field(default_factory=anyio.Event)  # it is to end
    done: anyio.Event = field(default_factory=anyio.Event)  # it has ended
    state: State = "ordered"
    start_ns: int | None = None
    end_ns: int | None = None
    why: str = ""  # it ended
    error: str = ""
    exposure: str = ""
    remarks: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        """As reports name it."""
        return f"{self.number}:{self.wish.fault.kind}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in OVER

    def window(self) -> PlannedWindow:
        """Give its window, up to its end as things stand."""
        end_ns = self.lease.wanted_ns if self.end_ns is None else self.end_ns
        return PlannedWindow(
            window=self.number,
            start_ns=self.ordered_ns if self.start_ns is None else self.start_ns,
            end_ns=end_ns,
            recovery_end_ns=end_ns,
        )

    def hear(self, entry: FaultEntry) -> None:
        """Follow what was written down of it."""
        self.state = _OF_EDGE.get(entry.edge, self.state)
        if entry.edge == "injected":
            self.start_ns = entry.at_ns
        if entry.edge in {"healing", "failed"}:
            self.end_ns = entry.at_ns
        if entry.exposure_count:
            self.exposure = counted(entry.exposure_count, entry.exposure_unit)
        self.error = self.error or entry.error
