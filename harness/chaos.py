"""When faults happen: wait, write down the intent, inject, hold, heal, write down what was.

A fault that does not take makes the run unknown and does not stop it. Healing is shielded: neither
a cancellation nor an error on the way out can leave a fault in force.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import anyio

from faults.fault import Fault
from faults.levers import Exposure, FaultError, Levers
from harness.clock import Clock
from harness.journal import FaultEntry, JournalWriter
from harness.plan import Plan, PlannedWindow
from harness.scenario.records import Scenario

HEAL_S = 20.0  # a fault that cannot be undone in this time counts as not healed
T = TypeVar("T")


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
    ) -> None:
        """Hold what is needed; `levers` gives the levers for one window."""
        self._scenario = scenario
        self._plan = plan
        self._levers = levers
        self._writer = writer
        self._clock = clock
        self._run_id = run_id
        self.in_force: dict[int, str] = {}
        self.not_healed: list[str] = []

    async def conduct(self, stop: anyio.Event) -> None:
        """Run every window at its time; return when all are healed. `stop` ends them early."""
        async with anyio.create_task_group() as windows:
            for planned in self._plan.windows:
                windows.start_soon(self._window, planned, stop)

    async def _window(self, planned: PlannedWindow, stop: anyio.Event) -> None:
        fault: Fault = self._scenario.faults[planned.window - 1].fault
        await self._until(planned.start_ns, stop)
        if stop.is_set():
            return
        self._note(planned, fault, "intended", sync=True)
        name = f"squall-{self._run_id}-{planned.window}"
        exposure = Exposure(count=0, unit="calls", source="none")
        try:
            async with _shielded(fault.inject(self._levers(planned.window), name)) as injection:
                self.in_force[planned.window] = fault.kind
                self._note(planned, fault, "injected")
                try:
                    await self._until(planned.end_ns, stop)
                finally:
                    with anyio.CancelScope(shield=True):
                        exposure = await _ask(injection.exposure)
                        self._note(planned, fault, "healing", exposure=exposure)
        except (FaultError, TimeoutError) as error:
            injected = planned.window in self.in_force
            self._note(planned, fault, "not_healed" if injected else "failed", error=str(error))
            if injected:
                self.not_healed.append(f"{planned.window}:{fault.kind}: {error}")
        else:
            self._note(planned, fault, "healed", exposure=exposure)
        finally:
            self.in_force.pop(planned.window, None)

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
        edge: Any,
        *,
        exposure: Exposure | None = None,
        error: str = "",
        sync: bool = False,
    ) -> None:
        self._writer.append(
            FaultEntry(
                at_ns=self._clock.now_ns(),
                window=planned.window,
                kind=fault.kind,
                lever=fault.lever,
                edge=edge,
                exposure_count=exposure.count if exposure else 0,
                exposure_unit=exposure.unit if exposure else "",
                exposure_source=exposure.source if exposure else "",
                error=error[:300],
            ),
            sync=sync,
        )


async def _ask(exposure: Callable[[], Any]) -> Exposure:
    """Ask what was hit; an injector that will not say has hit nothing that can be proven."""
    try:
        answer: Exposure = await exposure()
    except FaultError:
        return Exposure(count=0, unit="calls", source="none")
    return answer


@asynccontextmanager
async def _shielded(manager: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """Enter and leave `manager` where no cancellation reaches, within a bounded time."""
    with anyio.CancelScope(shield=True), anyio.fail_after(HEAL_S):
        value = await manager.__aenter__()
    failure: BaseException | None = None
    try:
        yield value
    except BaseException as error:  # noqa: BLE001  carried past the healing, then raised again
        failure = error
    with anyio.CancelScope(shield=True), anyio.fail_after(HEAL_S):
        await manager.__aexit__(None, None, None)
    if failure is not None:
        raise failure
