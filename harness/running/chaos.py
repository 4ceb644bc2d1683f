"""When faults happen: wait, write down the intent, inject, hold, heal, write down what was.

A fault that does not take makes the run unknown and does not stop it. Healing is shielded: neither
a cancellation nor an error on the way out can leave a fault in force.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final, Literal, Protocol

import anyio

from faults.fault import Fault
from faults.levers import Exposure, FaultError, Injection, Levers, NotUndoneError
from harness.clock import NS_PER_S, Clock
from harness.journal import FaultEntry, JournalWriter
from harness.plan import Plan, PlannedWindow
from harness.scenario.records import Scenario

LOOK_S: Final = 1.0  # how often an injector is asked, for the live view, what it has hit so far
HEAL_S: Final = 20.0  # a fault that cannot be applied, or undone, in this time will not be
ASK_S: Final = 6.0  # meanwhile the fault lasts
NOTHING: Final = Exposure(count=0, unit="calls", source="none")
Edge = Literal["intended", "injected", "healing", "healed", "failed", "not_healed"]


class Conductor(Protocol):
    """Decides when faults happen while a storm lasts."""

    @property
    def in_force(self) -> Mapping[int, str]:
        """The windows whose fault is in force, each with its kind."""
        ...

    @property
    def exposures(self) -> Mapping[int, Exposure]:
        """What they have hit, about a second old."""
        ...

    @property
    def not_healed(self) -> Sequence[str]:
        """What may still be in force, in words."""
        ...

    async def conduct(self, stop: anyio.Event) -> None:
        """Let all of it happen; return when everything is healed. `stop` ends it early."""
        ...


class Chaos:
    """Conducts a plan's fault windows."""

    def __init__(
        self,
        *,
        scenario: Scenario,
        plan: Plan,
        levers: Callable[[int], Levers],
        writer: JournalWriter,
        clock: Clock,
        run_id: str,
        on_edge: Callable[[FaultEntry], None] = lambda _: None,
    ) -> None:
        """Hold what is needed; `levers` gives the levers for one window.

        `on_edge` hears of every edge as it is written down.
        """
        self._scenario = scenario
        self._plan = plan
        self._levers = levers
        self._writer = writer
        self._clock = clock
        self._run_id = run_id
        self._on_edge = on_edge
        self.in_force: dict[int, str] = {}
        self.exposures: dict[int, Exposure] = {}  # of the windows in force, about a second old
        self.not_healed: list[str] = []

    async def conduct(self, stop: anyio.Event) -> None:
        """Run every window at its time; return when all are healed. `stop` ends them early."""
        async with anyio.create_task_group() as windows:
            for planned in self._plan.windows:
                fault: Fault = self._scenario.faults[planned.window - 1].fault
                windows.start_soon(self.window, planned, fault, stop)

    async def window(self, planned: PlannedWindow, fault: Fault, stop: anyio.Event) -> None:
        """Run one window at its time, of the plan or made up since; return when it is healed."""
        await self._until(planned.start_ns, stop)
        if stop.is_set():
            return
        self._note(planned, fault, "intended", sync=True)
        if stop.is_set():  # the intent could not be written
            return
        name = f"squall-{self._run_id}-{planned.window}"
        force = fault.inject(self._levers(planned.window), name)
        try:
            with anyio.fail_after(HEAL_S, shield=True):
                injection = await force.__aenter__()
        except (FaultError, TimeoutError) as error:
            self._note(planned, fault, "failed", error=_words(error))
            if isinstance(error, NotUndoneError):
                self._confess(planned, fault, error)
            return
        self.in_force[planned.window] = fault.kind
        try:
            self._note(planned, fault, "injected")
            await self._hold(planned, injection, stop)
        finally:
            with anyio.CancelScope(shield=True):
                await self._heal(planned, fault, force, injection)

    async def _hold(self, planned: PlannedWindow, injection: Injection, stop: anyio.Event) -> None:
        """Wait for the window's end, and look now and then at what it has hit so far."""

        async def look() -> None:
            while True:
                self.exposures[planned.window] = await _ask(injection)
                await self._clock.sleep_until(self._clock.now_ns() + round(LOOK_S * NS_PER_S))

        async with anyio.create_task_group() as looking:
            looking.start_soon(look)
            await self._until(planned.end_ns, stop)
            looking.cancel_scope.cancel()

    async def _heal(
        self,
        planned: PlannedWindow,
        fault: Fault,
        force: AbstractAsyncContextManager[Injection],
        injection: Injection,
    ) -> None:
        """Note what was hit, undo the fault whatever comes of that, and note how it went."""
        exposure = NOTHING
        healed = False
        try:
            exposure = await _ask(injection)
            self._note(planned, fault, "healing", exposure=exposure)
        finally:
            try:
                with anyio.fail_after(HEAL_S):
                    await force.__aexit__(None, None, None)
                healed = True
            except (FaultError, TimeoutError) as error:
                self._confess(planned, fault, error)
            finally:
                self.in_force.pop(planned.window, None)
                self.exposures.pop(planned.window, None)
        if healed:
            self._note(planned, fault, "healed", exposure=exposure)

    def _confess(self, planned: PlannedWindow, fault: Fault, error: Exception) -> None:
        """Say that a fault may still be in force; known to the caller before it is written."""
        self.not_healed.append(f"{planned.window}:{fault.kind}: {_words(error)}")
        self._note(planned, fault, "not_healed", error=_words(error), sync=True)

    async def _until(self, at_ns: int, stop: anyio.Event) -> None:
        """Wait for a moment of the run, or for the end of it."""
        async with anyio.create_task_group() as waiting:

            async def watch() -> None:
                await stop.wait()
                waiting.cancel_scope.cancel()

            waiting.start_soon(watch)
            await self._clock.sleep_until(at_ns)
            waiting.cancel_scope.cancel()

    def _note(
        self,
        planned: PlannedWindow,
        fault: Fault,
        edge: Edge,
        *,
        exposure: Exposure | None = None,
        error: str = "",
        sync: bool = False,
    ) -> None:
        entry = FaultEntry(
            at_ns=self._clock.now_ns(),
            window=planned.window,
            kind=fault.kind,
            lever=fault.lever,
            edge=edge,
            exposure_count=exposure.count if exposure else 0,
            exposure_unit=exposure.unit if exposure else "",
            exposure_source=exposure.source if exposure else "",
            error=error[:300],
        )
        self._writer.append(entry, sync=sync)
        self._on_edge(entry)


async def _ask(injection: Injection) -> Exposure:
    """Ask what was hit; an injector that will not say has hit nothing that can be proven."""
    try:
        with anyio.fail_after(ASK_S):
            return await injection.exposure()
    except (FaultError, TimeoutError):
        return NOTHING


def _words(error: Exception) -> str:
    return str(error) or f"the lever did not answer within {HEAL_S:g} s"
