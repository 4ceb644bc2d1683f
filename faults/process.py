"""Faults of the target's processes: told to end, killed, stopped, started differently.

Pulled by squall itself, on a process that it has started: a launched target's own, which serves
everybody, or over pipes each treated session's.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Final

from pydantic import Field

from faults.fault import Fault, LeverName, Struck, Undo
from faults.levers import Conditions, FaultError, Injection, Levers, ProcessLever
from faults.quantities import Duration

# What the bundled server has to be told, so that there is something that it can lack.
OWNER_VARIABLE: Final = "SQUALL_OWNER"
START_VARIABLE: Final = "SQUALL_SLOW_START_S"  # how long it takes to start


def process_lever(levers: Levers, kind: str) -> ProcessLever:
    """Give the lever, or say why the fault cannot be applied.

    Raises:
        FaultError: when squall has started none.
    """
    if levers.process is None:
        raise FaultError(f"{kind} needs a target that squall starts")
    return levers.process


class ProcessFault(Fault):
    """A fault of the target's own process, so that nobody is spared where there is but one."""

    lever: ClassVar[LeverName] = "process"

    def strikes(self) -> Struck:
        """Everybody; over pipes, where each session has a process of its own, the treated alone."""
        return "both"

    def stops_service(self) -> bool:
        """Nobody can answer who does not run."""
        return True


class Sigterm(ProcessFault):
    """The target is told to end by SIGTERM, as in every deploy, with calls in flight.

    What has not ended after `grace` is killed. Another process is started on the same address as
    soon as the first is gone, as a supervisor would.
    A resilient server: it takes no new work, answers what is under way, ends the streams that have
    no end of their own, and is gone within the grace; the next one is ready soon.
    Shows: calls in flight that get no answer, a process that has to be killed, sessions that do not
    come back.
    """

    kind: ClassVar[str] = "sigterm"
    shows: ClassVar[tuple[str, ...]] = ("no-drain", "hung-exit", "no-recovery", "health-lies")
    grace_s: Duration = Field(
        15.0, alias="grace", ge=0.5, description="from the signal to SIGKILL; at most the window"
    )

    def ends_sessions(self) -> bool:
        """What a process alone knows ends with it."""
        return True

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Tell it to end; leave it running as it was launched."""
        del name
        processes = process_lever(levers, self.kind)
        async with Undo() as undo:
            undo.later(processes.restore)
            await processes.tell(grace_s=self.grace_s)
            yield Injection(exposure=processes.exposure)


class Relaunch(ProcessFault):
    """The target is started again under other conditions, and at the window's end as it was."""

    grace_s: Duration = Field(5.0, alias="grace", ge=0.5, description="from SIGTERM to SIGKILL")

    @abstractmethod
    def conditions(self) -> Conditions:
        """What is different for the process that is started."""

    def ends_sessions(self) -> bool:
        """What a process alone knows ends with it."""
        return True

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Start it so; then as it was launched."""
        del name
        processes = process_lever(levers, self.kind)
        async with Undo() as undo:
            undo.later(processes.restore)
            await processes.tell(grace_s=self.grace_s, conditions=self.conditions())
            yield Injection(exposure=processes.exposure)


class EnvMissing(Relaunch):
    """The target is started again without a variable of its environment, as in a wrong deploy.

    It is told to end, as by `sigterm`, and at the window's end it is started as it was.
    A resilient server: it does not start, and says which variable it lacks; or it can do without.
    Shows: a server that is up and fails its calls.
    """

    kind: ClassVar[str] = "env-missing"
    shows: ClassVar[tuple[str, ...]] = ("late-fail-config", "no-recovery")
    variable: str = Field(
        OWNER_VARIABLE,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="its name; the default is the bundled server's",
    )

    def conditions(self) -> Conditions:
        """Its environment lacks the variable."""
        return Conditions(environment={self.variable: None})


class PathDiffers(Relaunch):
    """The target is started again in another directory, as by a service manager or a container.

    It is told to end, as by `sigterm`, and at the window's end it is started where it was.
    A resilient server: its paths are absolute, or it does not start and says what it cannot find.
    Shows: a server that is up and fails its calls.
    """

    kind: ClassVar[str] = "path-differs"
    shows: ClassVar[tuple[str, ...]] = ("late-fail-config", "no-recovery")
    directory: str = Field("/", pattern=r"^/", description="which one; it has to be there")

    def conditions(self) -> Conditions:
        """It is started elsewhere."""
        return Conditions(directory=self.directory)


class SlowStart(Relaunch):
    """The target is started again and takes long until it can work, as with a cold cache.

    It is told to end, as by `sigterm`; a variable tells the next one how long to take, and what
    does not know it takes no longer. At the window's end it is started as it was.
    A resilient server: until it can work it does not say that it can, and then it answers.
    Shows: a health check that says ok while calls fail, sessions that do not come back.
    """

    kind: ClassVar[str] = "slow-start"
    shows: ClassVar[tuple[str, ...]] = ("health-lies", "no-recovery")
    takes_s: Duration = Field(5.0, alias="takes", ge=0.5, description="less than the window")
    variable: str = Field(
        START_VARIABLE,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="told the seconds; the default is the bundled server's",
    )

    def conditions(self) -> Conditions:
        """Its environment says how long."""
        return Conditions(environment={self.variable: f"{self.takes_s:g}"})


class ProcessKill(ProcessFault):
    """The target's processes are killed, in the middle of their work.

    Over pipes their clients start others, as the specification says, and until the window ends
    those are killed as they come up; a launched target is started again at the window's end.
    A resilient server: what it has answered for is kept, a new process is ready soon, and an effect
    that is asked for again under the same key is found.
    Shows: lost or doubled effects, processes that do not come up again, a dead neighbour.
    """

    kind: ClassVar[str] = "process-kill"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "double-exec", "wrong-answer", "crash")

    def ends_sessions(self) -> bool:
        """What a process alone knows ends with it; a session over pipes is its process."""
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


class ProcessStop(ProcessFault):
    """The target's processes stand still, as under a stalled machine or SIGSTOP.

    Nothing tells their clients: connections and pipes stay open, take what they hold, and say
    nothing.
    A resilient server: once it runs again it answers what is still waited for, each once, and goes
    on; what was cancelled meanwhile is not begun.
    Shows: sessions that stay dead, work done twice or for nobody, a crash on waking.
    """

    kind: ClassVar[str] = "process-stop"
    shows: ClassVar[tuple[str, ...]] = ("no-recovery", "double-exec", "hang", "crash")

    @asynccontextmanager
    async def inject(self, levers: Levers, name: str) -> AsyncIterator[Injection]:
        """Stop them, and let them run again."""
        del name
        processes = process_lever(levers, self.kind)
        async with Undo() as undo:
            undo.later(processes.resume)
            await processes.stop()
            yield Injection(exposure=processes.exposure)
