"""The levers of a fault, with this run's rig and load at their other ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from faults.levers import (
    Behaviour,
    BehaviourKind,
    Conditions,
    Exposure,
    FaultError,
    Levers,
    ProcessLever,
)
from harness.errors import RigError
from harness.rig.launched import USUAL, Launched
from harness.running.assembly import Rig
from harness.running.offering import Offering


def grip(rig: Rig, offering: Offering) -> Callable[[int], Levers]:
    """Give what makes the levers that one window's fault pulls."""

    def levers(window: int) -> Levers:
        return Levers(
            network=rig.network,
            identity=rig.identity,
            agent=_Agents(offering=offering, window=window),
            dependency=rig.dependency,
            process=_processes(rig, offering, window),
        )

    return levers


def _processes(rig: Rig, offering: Offering, window: int) -> ProcessLever | None:
    if rig.doors.command is not None:
        return _Processes(offering=offering, window=window)
    return None if rig.launched is None else _Target(launched=rig.launched, window=window)


@dataclass(frozen=True, kw_only=True)
class _Agents:
    """The agent lever: stamps behaviours with the window that asked for them."""

    offering: Offering
    window: int

    async def engage(self, behaviour: Behaviour) -> None:
        await self.offering.engage(self._stamped(behaviour))

    async def disengage(self, behaviour: Behaviour) -> None:
        await self.offering.disengage(self._stamped(behaviour))

    async def exposure(self, behaviour: Behaviour) -> Exposure:
        return await self.offering.exposure(self._stamped(behaviour))

    def _stamped(self, behaviour: Behaviour) -> Behaviour:
        return replace(behaviour, window=self.window)


@dataclass(frozen=True, kw_only=True)
class _Processes:
    """The process lever: strikes the treated sessions' servers, wherever those are hosted."""

    offering: Offering
    window: int

    async def kill(self) -> None:
        await self.offering.engage(self._behaviour("kill_process"))

    async def spare(self) -> None:
        await self.offering.disengage(self._behaviour("kill_process"))

    async def stop(self) -> None:
        await self.offering.engage(self._behaviour("stop_process"))

    async def resume(self) -> None:
        await self.offering.disengage(self._behaviour("stop_process"))

    async def tell(self, *, grace_s: float, conditions: Conditions | None = None) -> None:
        del grace_s, conditions
        raise FaultError("a server over pipes is told to end by closing them; use process-kill")

    async def restore(self) -> None:
        """Sessions start their own."""

    async def exposure(self) -> Exposure:
        """Who hosts a process writes down that it was struck; the journal counts."""
        return Exposure(count=0, unit="processes", source="journal")

    def _behaviour(self, kind: BehaviourKind) -> Behaviour:
        return Behaviour(kind=kind, share=1.0, window=self.window)


@dataclass(frozen=True, kw_only=True)
class _Target:
    """The process lever of a target that squall launched: one process for everybody."""

    launched: Launched
    window: int

    async def kill(self) -> None:
        with _as_fault():
            self.launched.kill(window=self.window)

    async def spare(self) -> None:
        await self.restore()

    async def stop(self) -> None:
        with _as_fault():
            self.launched.stop(window=self.window)

    async def resume(self) -> None:
        self.launched.resume()

    async def tell(self, *, grace_s: float, conditions: Conditions | None = None) -> None:
        with _as_fault():
            self.launched.tell(grace_s=grace_s, window=self.window, conditions=conditions or USUAL)

    async def restore(self) -> None:
        with _as_fault():
            await self.launched.restore()

    async def exposure(self) -> Exposure:
        """Whoever ended or stopped it wrote that down, or it was not done."""
        return Exposure(count=1, unit="processes", source="injector")


@contextmanager
def _as_fault() -> Iterator[None]:
    try:
        yield
    except RigError as error:
        raise FaultError(str(error)) from error
