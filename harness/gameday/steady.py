"""A session of a game day: it does what the plan says until somebody ends the day."""

from __future__ import annotations

from itertools import takewhile
from typing import Final

import anyio

from harness.gameday.terms import Load
from harness.plan import PlannedSession
from harness.session.life import Session
from harness.session.stage import Stage

OPEN_END_NS: Final = 2**63 - 1


class Curtain:
    """Falls once, at a moment that nobody knows before: no step is due at or after it."""

    def __init__(self) -> None:
        """Begin with an open end."""
        self.at_ns = OPEN_END_NS
        self.sessions: dict[int, Steady] = {}

    def fall(self, at_ns: int) -> tuple[int, ...]:
        """End the day; give the sessions that only wait for a step which will not come.

        The others are in the middle of one, and leave when it is done.
        """
        self.at_ns = min(self.at_ns, at_ns)
        return tuple(
            number for number, session in self.sessions.items() if session.waits_past(self.at_ns)
        )

    def open_sessions(self) -> dict[str, int]:
        """Count the sessions of each arm that the target knows and has not lost."""
        counts = {"control": 0, "treated": 0}
        for session in self.sessions.values():
            counts[session.planned.arm] += session.is_open
        return counts


async def let_go(
    curtain: Curtain, load: Load | None, at_ns: int, *, patience_s: float, look_s: float
) -> None:
    """Let the curtain fall: who waits goes at once, the others when their call is answered.

    Without a `load` nobody is waited for.
    """
    waiting = curtain.fall(at_ns)
    if load is None:
        return
    for number in waiting:
        load.end(number)
    with anyio.move_on_after(patience_s):
        # They tell nobody when they leave.
        while load.living:  # noqa: ASYNC110
            await anyio.sleep(look_s)


class Steady(Session):
    """One session under a curtain."""

    __slots__ = ("_curtain", "_waits")

    def __init__(self, *, stage: Stage, planned: PlannedSession, curtain: Curtain) -> None:
        """Prepare to live until the curtain falls."""
        super().__init__(stage=stage, planned=planned)
        self._curtain = curtain
        self._waits = True
        curtain.sessions[planned.session] = self

    @property
    def is_open(self) -> bool:
        """Whether it has an open session with the target."""
        return self._open

    def waits_past(self, at_ns: int) -> bool:
        """Whether it does nothing but wait for a step that is due at or after this."""
        return self._waits and (not self._group or self._group[0].due_ns >= at_ns)

    async def run(self) -> None:
        """Live until the curtain falls; cancelled, account for the steps before it and go."""
        clock, curtain = self.stage.clock, self._curtain
        try:
            await clock.sleep_until(self.planned.open_ns)
            await self._ensure_open()
            for group in self._groups:
                self._group = group
                first = group[0]
                if first.due_ns > clock.now_ns():
                    self._waits = True
                    await clock.sleep_until(first.due_ns)
                if first.due_ns >= curtain.at_ns:
                    break
                self._waits = False
                if self.talker.changed:
                    await self.talker.follow_changes()
                if len(group) == 1:
                    await self._perform(first)
                else:
                    async with anyio.create_task_group() as together:
                        for planned in group:
                            together.start_soon(self._perform, planned)
                self._group = ()
            else:
                self._waits = True
                await clock.sleep_until(self.planned.end_ns)
        finally:
            with anyio.CancelScope(shield=True):
                at_ns = curtain.at_ns
                self._group = tuple(one for one in self._group if one.due_ns < at_ns)
                self._groups = takewhile(lambda group: group[0].due_ns < at_ns, self._groups)
                self._account_for_the_rest()
                await self._close()
                curtain.sessions.pop(self.planned.session, None)
