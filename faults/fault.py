"""What a fault is: a frozen record, and one context manager that applies and undoes it."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from faults.levers import Injection, Levers

LeverName = Literal["network", "identity", "agent"]


class Fault(BaseModel):
    """Something that breaks. To inject is to enter, to heal is to leave, whatever happens inside.

    The subclass's docstring says what breaks, then what a resilient server does, then what shows
    that one is not; `squall faults` prints it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)

    kind: ClassVar[str]
    lever: ClassVar[LeverName]
    shows: ClassVar[tuple[str, ...]]  # the verdicts that this fault exists to find

    @abstractmethod
    def inject(self, levers: Levers, name: str) -> AbstractAsyncContextManager[Injection]:
        """Apply the fault for as long as the context lasts; `name` is unique in the run.

        Raises:
            FaultError: when it cannot be applied or undone, or the lever it needs is missing.
        """

    def added_round_trip_s(self) -> float:
        """Seconds that the fault alone adds to a call's round trip; the score allows for them."""
        return 0.0

    def stops_service(self) -> bool:
        """Whether no server, however good, can answer treated calls while it lasts."""
        return False
