"""Faults of load: more agents than usual, or the usual ones for long, as a shape of the plan.

Nothing is broken: a shape says which sessions are planned beside the usual ones while its window
lasts, so every step of theirs has a due time before the run begins, as every other.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field, StrictInt

from faults.fault import Fault, LeverName, Struck
from faults.levers import Exposure, Injection, Levers
from faults.quantities import Duration


class LoadShape(Fault):
    """A shape of the load while its window lasts."""

    lever: ClassVar[LeverName] = "agent"

    @abstractmethod
    def added(self, sessions: int) -> int:
        """Give how many sessions are there beside the usual ones, at most."""

    def opening_s(self, duration_s: float) -> float:
        """Give the time from the window's start over which they open, evenly."""
        del duration_s
        return 0.0

    def strikes(self) -> Struck:
        """Load is on the server, and so on everybody."""
        return "both"

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Do nothing: the plan holds it."""
        del levers, name

        async def exposure() -> Exposure:
            return Exposure(count=0, unit="calls", source="journal")

        yield Injection(exposure=exposure)


class Ramp(LoadShape):
    """The sessions become more, one after another, until there are `to` of them.

    A resilient server: it slows down gently, refuses clearly what is too much, and is as it was
    when they have left.
    Shows: errors and hangs that grow with the load, memory and processor time that do not come
    back, sessions that do not recover.
    """

    kind: ClassVar[str] = "ramp"
    shows: ClassVar[tuple[str, ...]] = ("hang", "crash", "no-recovery", "cpu-spin")
    to: StrictInt = Field(100, ge=2, le=20_000, description="sessions at the window's end")

    def added(self, sessions: int) -> int:
        """As many as are missing."""
        return max(0, self.to - sessions)

    def opening_s(self, duration_s: float) -> float:
        """All of the window but its last tenth, in which all are there."""
        return 0.9 * duration_s


class Spike(LoadShape):
    """All at once there are `times` as many sessions, until the window ends.

    A resilient server: it slows down, or refuses clearly what is too much, and is as it was when
    they have left.
    Shows: hangs, a crash, sessions that do not recover, a processor that goes on spinning.
    """

    kind: ClassVar[str] = "spike"
    shows: ClassVar[tuple[str, ...]] = ("hang", "crash", "no-recovery", "cpu-spin")
    times: StrictInt = Field(10, ge=2, le=100, description="as many sessions as usual")
    within_s: Duration = Field(1.0, alias="within", description="over which they open")

    def added(self, sessions: int) -> int:
        """Those beside the usual ones."""
        return (self.times - 1) * sessions

    def opening_s(self, duration_s: float) -> float:
        """As it says, and no longer than the window."""
        return min(self.within_s, duration_s)


class Soak(LoadShape):
    """The usual load for long, watched in `periods` of equal length.

    The longer the better: a runtime whose heap fills up to its next collection looks like a leak
    for as long as that takes.
    A resilient server: after the first period, its memory, descriptors and threads stay where they
    are.
    Shows: memory that grows in every further period, and by as much.
    """

    kind: ClassVar[str] = "soak"
    shows: ClassVar[tuple[str, ...]] = ("leak-memory",)
    periods: StrictInt = Field(4, ge=3, le=100, description="that are held beside each other")

    def added(self, sessions: int) -> int:
        """Nobody but the usual ones."""
        del sessions
        return 0
