"""The levers of a fault, with this run's rig and load at their other ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from faults.levers import Behaviour, BehaviourKind, Exposure, Levers
from harness.assembly import Rig
from harness.offering import Offering


def grip(rig: Rig, offering: Offering) -> Callable[[int], Levers]:
    """Give what makes the levers that one window's fault pulls."""

    def levers(window: int) -> Levers:
        return Levers(
            network=rig.network,
            identity=rig.identity,
            agent=_Agents(offering=offering, window=window),
            dependency=rig.dependency,
            process=_Processes(offering=offering, window=window) if rig.doors.command else None,
        )

    return levers


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

    async def exposure(self) -> Exposure:
        """Who hosts a process writes down that it was struck; the journal counts."""
        return Exposure(count=0, unit="processes", source="journal")

    def _behaviour(self, kind: BehaviourKind) -> Behaviour:
        return Behaviour(kind=kind, share=1.0, window=self.window)
