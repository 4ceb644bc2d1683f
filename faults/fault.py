"""What a fault is: a frozen record, and one context manager that applies and undoes it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from typing import ClassVar, Final, Literal, ParamSpec

import anyio
from pydantic import BaseModel, ConfigDict

from faults.levers import FaultError, Injection, Levers, NotUndoneError

LeverName = Literal["network", "identity", "agent", "process", "dependency"]
Struck = Literal["treated", "both"]
UNDO_S: Final = 6.0  # for one step back; a lever gives up by itself before that
P = ParamSpec("P")


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
            FaultError: when it cannot be applied, or the lever it needs is missing.
            NotUndoneError: when it, or the part of it that was applied, may still be in force.
        """

    def strikes(self) -> Struck:
        """Which arms it strikes; what hits the target itself leaves no control arm."""
        return "treated"

    def added_round_trip_s(self) -> float:
        """Seconds that the fault alone adds to a call's round trip; the score allows for them."""
        return 0.0

    def ends_sessions(self) -> bool:
        """Whether the fault itself ends treated sessions, so that a new one is no loss."""
        return False

    def stops_service(self) -> bool:
        """Whether no server, however good, can answer treated calls while it lasts."""
        return False


class Undo(AsyncExitStack):
    """Takes back, last first, what was done inside its block, however the block ends.

    Every step runs, whatever became of the others; no cancellation reaches one, and none lasts
    longer than `UNDO_S`.
    """

    def later(self, step: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Remember a step back; said before the step forth, whose answer may be lost.

        Raises:
            NotUndoneError: at the end of the block, when the step fails or does not end.
        """
        self.push_async_callback(_surely, partial(step, *args, **kwargs))


async def _surely(step: Callable[[], Awaitable[None]]) -> None:
    try:
        with anyio.fail_after(UNDO_S, shield=True):
            await step()
    except FaultError as error:
        raise NotUndoneError(str(error)) from error
    except TimeoutError:
        raise NotUndoneError(f"the lever did not answer within {UNDO_S:g} s") from None
