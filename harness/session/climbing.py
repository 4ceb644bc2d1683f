"""A session of a climb: it stays open from step to step, and makes its part of each one's calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

import anyio

from harness.outcome import Reason
from harness.plan import PlannedSession, PlannedStep
from harness.session.life import Session
from harness.session.stage import Stage


@dataclass(eq=False, kw_only=True)
class Rung:
    """One step of a climb: when calls are due, and until when one may still be sent."""

    number: int  # 1, 2, ...
    due_ns: Sequence[int]  # in order; each session in turn takes the next one
    sessions: int
    give_up_ns: int  # brought forward when the target has plainly fallen behind

    def of(self, session: int) -> Sequence[int]:
        """Give the moments that are one session's."""
        return self.due_ns[session :: self.sessions]


@dataclass(eq=False)
class Rungs:
    """Where sessions wait for the next step."""

    _rung: Rung | None = None
    _over: bool = False
    _fresh: anyio.Event = field(default_factory=anyio.Event)

    def put(self, rung: Rung | None) -> None:
        """Begin a step; None ends the climb."""
        self._rung, self._over = rung, rung is None
        self._fresh.set()
        self._fresh = anyio.Event()

    async def each(self) -> AsyncIterator[Rung]:
        """Give every step from now on, as it begins."""
        seen = 0
        while not self._over:
            rung = self._rung
            if rung is None or rung.number == seen:
                await self._fresh.wait()
                continue
            seen = rung.number
            yield rung


class Climber(Session):
    """One session through all steps; what it kept of one reply serves in the next step too."""

    def __init__(self, *, stage: Stage, planned: PlannedSession, rungs: Rungs) -> None:
        """Prepare to live through all steps that `rungs` gives."""
        super().__init__(stage=stage, planned=planned)
        self.rungs = rungs
        self._turn = 0  # which of the agent's groups of steps comes next
        self._index = 0

    async def run(self) -> None:
        """Live until the climb ends; cancelled, account for the step in hand and go."""
        clock = self.stage.clock
        self._groups = iter(())
        try:
            await clock.sleep_until(self.planned.open_ns)
            await self._ensure_open()
            async for rung in self.rungs.each():
                self._groups = self._groups_of(rung.of(self.planned.session))
                await self._climb(rung)
        finally:
            with anyio.CancelScope(shield=True):
                self._account_for_the_rest()
                await self._close()

    async def _climb(self, rung: Rung) -> None:
        """Make the calls of one step, each when it is due, or as soon after as the last allows."""
        clock = self.stage.clock
        for group in self._groups:
            self._group = group
            if group[0].due_ns > clock.now_ns():
                await clock.sleep_until(group[0].due_ns)
            if clock.now_ns() >= rung.give_up_ns:
                for planned in group:
                    self._unsent(planned, Reason.RUN_ENDED)
            elif len(group) == 1:
                await self._perform(group[0])
            else:
                async with anyio.create_task_group() as together:
                    for planned in group:
                        together.start_soon(self._perform, planned)
            self._group = ()

    def _groups_of(self, due_ns: Sequence[int]) -> Iterator[tuple[PlannedStep, ...]]:
        """Give the agent's steps in their order, from where the step before has left off."""
        sizes = self.stage.plan.together[self.planned.agent]
        session, nonce = self.planned.session, self.stage.plan.nonce
        for at_ns in due_ns:
            turn = self._turn % len(sizes)
            position, size = sum(sizes[:turn]), sizes[turn]
            first = self._index
            self._turn += 1
            self._index += size
            yield tuple(
                PlannedStep(
                    session, first + one, position + one, at_ns, nonce(session, first + one)
                )
                for one in range(size)
            )
