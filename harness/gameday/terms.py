"""On what terms a day is held, and what a game asks of the load under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol

from harness.clock import NS_PER_S
from harness.gameday.leases import LEASE_S
from harness.journal import HealthEntry

LEVERS: Final = ("network", "identity", "agent", "process", "dependency")
SQUALL: Final = "squall"
STOP_CONDITION: Final = "stop condition"
HaltState = Literal["undoing", "proven", "not proven", "resumed"]


class Load(Protocol):
    """The load under way, as far as a game day has to do with it."""

    @property
    def living(self) -> int:
        """How many sessions live now."""
        ...

    @property
    def health(self) -> HealthEntry | None:
        """How the generator fared in the last second."""
        ...

    def end(self, number: int) -> None:
        """Cut a session short."""
        ...


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a day is held."""

    longest_s: float
    lease_s: float = LEASE_S


@dataclass(kw_only=True)
class Halt:
    """Where the last halt stands."""

    who: str
    at_ns: int
    state: HaltState = "undoing"
    words: str = ""
    proof: str = ""  # what was seen, and in whose word


def ns(seconds: float) -> int:
    """Give nanoseconds."""
    return round(seconds * NS_PER_S)
