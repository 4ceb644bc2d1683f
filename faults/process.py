"""Faults of the target's processes: killed, or stopped in their tracks. Pulled by squall itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from faults.fault import Fault, LeverName, Undo
from faults.levers import FaultError, Injection, Levers, ProcessLever


def process_lever(levers: Levers, kind: str) -> ProcessLever:
    """Give the lever, or say why the fault cannot be applied.

    Raises:
        FaultError: when the treated sessions have no processes of their own that squall started.
    """
    if levers.process is None:
        raise FaultError(f"{kind} needs server processes that squall starts for the sessions")
    return levers.process


class ProcessKill(Fault):
    """The treated sessions' server processes are killed, in the middle of their work.

    Their clients start others, as the specification says, and until the window ends those are
    killed as they come up.
    A resilient server: what it has answered for is kept, a new process is ready soon, and an effect
    that is asked for again under the same key is found.
    Shows: lost or doubled effects, processes that do not come up again, a dead neighbour.
    """

    kind: ClassVar[str] = "process-kill"
    lever: ClassVar[LeverName] = "process"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "double-exec", "wrong-answer", "crash")

    def ends_sessions(self) -> bool:
        """A session over pipes is its process."""
        return True

    def stops_service(self) -> bool:
        """What a process was asked dies with it, and there is no other."""
        return True

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Kill whatever is there or comes, and then let it live."""
        del name
        processes = process_lever(levers, self.kind)
        async with Undo() as undo:
            undo.later(processes.spare)
            await processes.kill()
            yield Injection(exposure=processes.exposure)


class ProcessStop(Fault):
    """The treated sessions' server processes stand still, as under a stalled machine or SIGSTOP.

    Nothing tells their clients: the pipes stay open, take what they hold, and say nothing.
    A resilient server: once it runs again it answers what is still waited for, each once, and goes
    on; what was cancelled meanwhile is not begun.
    Shows: sessions that stay dead, work done twice or for nobody, a crash on waking.
    """

    kind: ClassVar[str] = "process-stop"
    lever: ClassVar[LeverName] = "process"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "double-exec", "hang", "crash")

    def stops_service(self) -> bool:
        """Nobody can answer who does not run."""
        return True

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Stop them, and let them run again."""
        del name
        processes = process_lever(levers, self.kind)
        async with Undo() as undo:
            undo.later(processes.resume)
            await processes.stop()
            yield Injection(exposure=processes.exposure)
