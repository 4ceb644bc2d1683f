"""A game day without a target: its game, fake levers, and a wish that may be granted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel

from harness import journal
from harness.gameday import wish
from harness.gameday.crowd import Page, Role
from harness.gameday.game import Game
from harness.gameday.terms import Terms
from harness.gameday.windows import Struck
from harness.gameday.wish import Wish
from harness.journal import HealthEntry, Journal, JournalWriter
from harness.played import Course, plan_for
from harness.rig.looks import Look
from harness.scenario.records import Scenario
from tests import journals, virtual
from tests.faults.fakes import World

BASELINE_END_S = 12.0  # of `journals.scenario`
LONGEST_S = 600.0
HYPOTHESIS = {"expected": "calls slow down and are answered", "stop_when": "half of them fail"}


@dataclass
class NoLoad:
    """A load that nobody offers."""

    living: int = 0
    health: HealthEntry | None = None
    ended: list[int] = field(default_factory=list)

    def end(self, number: int) -> None:
        """Note it."""
        self.ended.append(number)


@dataclass(eq=False)
class StagedDay:
    """A game in somebody's hands, and how to end it."""

    world: World
    folder: Path
    game: Game = field(init=False)
    stop: anyio.Event = field(default_factory=anyio.Event)
    how: tuple[str, int] = ("", 0)
    why: str = ""
    stands: tuple[str, ...] = ()  # what the proof finds

    def end(self, why: str) -> None:
        """End the run, as a storm does."""
        self.why, self.how = why, ("completed", self.game.clock.now_ns())
        self.stop.set()

    def ended(self) -> tuple[str, int]:
        """How the run ends, and since when."""
        return self.how

    async def prove(self, faults: Sequence[Struck]) -> Look:
        """Give what still stands."""
        assert all(one.is_over for one in faults)
        await anyio.lowlevel.checkpoint()
        return Look(stands=self.stands, seen=("the proxies hold nothing of it",))

    def come(self, who: str = "Ana", role: Role = "operator", page: str = "") -> Page:
        """Let a page connect."""
        made = Page(id=page or who, who=who, role=role, heard_ns=self.game.clock.now_ns())
        self.game.attendance.come(made)
        return made

    def journal(self) -> Journal:
        """Read what was written."""
        return journal.read(self.folder)


def wanted(of: Scenario, kind: str = "tcp-latency", **changes: Any) -> Wish:
    """Give a wish, read as a page's is."""
    body = {"kind": kind, "parameters": {}, "for": "20s", "hypothesis": HYPOTHESIS} | changes
    return wish.read(body, of)


def staged(
    folder: Path, of: Scenario | None = None, *, lease_s: float = 30.0
) -> tuple[StagedDay, JournalWriter]:
    """Give a day and the writer of its journal, which has to be entered."""
    scenario = of or journals.scenario()
    writer, world = JournalWriter(folder), World()
    day = StagedDay(world=world, folder=folder)
    day.game = Game(
        scenario=scenario,
        plan=plan_for(scenario, Course(longest_s=LONGEST_S)),
        terms=Terms(longest_s=LONGEST_S, lease_s=lease_s),
        writer=writer,
        clock=virtual.VirtualClock(),
        run_id="r4nd",
        name="day",
        end=day.end,
        ended=day.ended,
    )
    day.game.take(NoLoad(), lambda _: world.levers, "embedded", day.prove)
    return day, writer


@asynccontextmanager
async def under_way(
    folder: Path, of: Scenario | None = None, *, lease_s: float = 30.0
) -> AsyncIterator[StagedDay]:
    """A day whose baseline is over, with nobody there yet; ended after the block."""
    day, writer = staged(folder, of, lease_s=lease_s)
    with writer:
        async with anyio.create_task_group() as group:
            group.start_soon(day.game.conduct, day.stop)
            await anyio.sleep_until(BASELINE_END_S + 1)
            yield day
            if not day.stop.is_set():
                day.end("the test is over")
