"""Climbs a target's capacity: step by step, each decided by the journal of those before it.

It judges a step by what is in the run folder, as whoever judges the run later does, so both see the
same. It never goes on hammering: a step is cut short when its calls pile up or fail, what is still
waiting then is not sent, and the next step begins only when the last call of this one is settled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic
from typing import Final, Literal

import anyio
import numpy as np
from anyio.to_thread import run_sync

from faults.levers import Exposure, Levers
from harness import journal
from harness.capacity.arrivals import calls_a_turn, due_times_ns
from harness.capacity.course import OPENING_S, Course
from harness.capacity.ladder import first_rate, next_rate, rounded, step_length_s
from harness.capacity.ruling import evidence_of
from harness.capacity.steps import Bars, Reading, answered, readings
from harness.clock import NS_PER_S, RunClock
from harness.journal import Calls, JournalWriter, NoteEntry, StepEntry
from harness.plan import Plan, PlannedSession, PlannedWindow
from harness.rig import vitals
from harness.running.chaos import HEAL_S, Chaos
from harness.running.host import longest_deadline_s
from harness.running.status import Status
from harness.scenario.conditions import limits
from harness.scenario.records import Scenario
from harness.scenario.units import counted
from harness.session.climbing import Climber, Rung, Rungs
from harness.session.life import Session
from harness.session.stage import Stage
from harness.wire.limits import Limits

LEAD_S: Final = 0.3  # from a step's decision to its first call
LOOK_S: Final = 0.1
PATIENCE_S: Final = 1.0  # after a step's end, how long its calls may still be sent
BACKLOG_S: Final = 2.0  # of calls that wait; more, and the step is cut short
BACKLOG_LIMITS: Final = 2.0  # or so many times the longest limit on latency
FAILING_SHARE: Final = 0.5  # of the calls of a second, twice in a row, and the step is cut short
FAILING_LEAST: Final = 20  # calls, or it says nothing
SETTLE_S: Final = 1.0  # from a fault's start to the first step under it
GONE_S: Final = 5.0  # beyond every deadline: what is not settled then never will be


@dataclass(frozen=True, kw_only=True)
class Pids:
    """Processes that squall started, where it did."""

    target: int | None
    proxy: int | None


@dataclass(eq=False, kw_only=True)
class _Count:
    """The step under way, as its calls are settled."""

    start_ns: int
    end_ns: int
    calls: int
    heard_ns: int = 0  # when the count was last brought up to date, about once a second
    settled: int = 0
    failing: int = 0  # seconds in a row in which most calls failed


@dataclass(eq=False, kw_only=True)
class Climb:
    """Conducts the steps, and each curve's fault around them."""

    scenario: Scenario
    plan: Plan
    course: Course
    writer: JournalWriter
    clock: RunClock
    run_id: str
    end: Callable[[Literal["completed", "aborted"], str], None]
    pids: Pids
    levers: Callable[[int], Levers] | None = None
    _rungs: Rungs = field(default_factory=Rungs)
    _chaos: list[Chaos] = field(default_factory=list)
    _windows: dict[int, PlannedWindow] = field(default_factory=dict)  # by their curves
    _steps: int = 0
    _turns: list[int] = field(default_factory=list)  # of each session, over all steps
    _count: _Count | None = None
    _now: str = "opening"

    # --- what a storm asks of its conductor ---------------------------------------------------

    @property
    def in_force(self) -> Mapping[int, str]:
        """The window whose fault is in force, with its kind."""
        return self._chaos[-1].in_force if self._chaos else {}

    @property
    def exposures(self) -> Mapping[int, Exposure]:
        """What it has hit."""
        return self._chaos[-1].exposures if self._chaos else {}

    @property
    def not_healed(self) -> Sequence[str]:
        """What may still be in force, in words."""
        return [words for chaos in self._chaos for words in chaos.not_healed]

    async def conduct(self, stop: anyio.Event) -> None:
        """Climb every curve; `stop` ends it where it is, and the fault in force is healed."""
        async with anyio.create_task_group() as group:

            async def halt() -> None:
                await stop.wait()
                group.cancel_scope.cancel()

            group.start_soon(halt)
            await self._curves()
            group.cancel_scope.cancel()
        self.end("completed", "")  # says nothing where something else was first
        self._rungs.put(None)

    def life(self, stage: Stage, planned: PlannedSession) -> Session:
        """Give the life of one session."""
        return Climber(stage=stage, planned=planned, rungs=self._rungs)

    def window(self, number: int) -> PlannedWindow:
        """Give the window of a curve's fault."""
        return self._windows[number]

    def hear(self, batch: Calls) -> None:
        """Count the calls that were settled in the last second, and those that failed."""
        count = self._count
        if count is None:
            return
        count.heard_ns = self.clock.now_ns()
        due_ns = batch["due_ns"]
        mine = batch[(batch["last"] == 1) & (due_ns >= count.start_ns) & (due_ns < count.end_ns)]
        count.settled += len(mine)
        sent = mine[mine["sent_ns"] >= 0]
        bad = len(sent) - int(np.count_nonzero(answered(sent)))
        most = len(sent) >= FAILING_LEAST and bad > FAILING_SHARE * len(sent)
        count.failing = count.failing + 1 if most else 0

    def told(self, status: Status) -> Status:
        """Say where the climb is, in the words of a live view."""
        return replace(status, phase=self._now, hits=(), windows=(), total_s=self.course.budget_s)

    # --- curves -------------------------------------------------------------------------------

    async def _curves(self) -> None:
        until_ns = round(self.course.budget_s * NS_PER_S)
        await self.clock.sleep_until(self._opened_ns())
        bare: Sequence[Reading] = ()
        for curve, name in enumerate(self.course.curves):
            left = len(self.course.curves) - curve
            share_ns = self.clock.now_ns() + (until_ns - self.clock.now_ns()) // left
            if curve == 0:
                bare = await self._curve(curve, name, (), share_ns)
                continue
            async with self._under(curve) as in_force:
                if in_force:
                    await self._curve(curve, name, bare, share_ns)

    def _opened_ns(self) -> int:
        """Give when the sessions have had their time to open."""
        last_ns = max(planned.open_ns for planned in self.plan.sessions)
        return min(round(OPENING_S * NS_PER_S), last_ns + NS_PER_S)

    @asynccontextmanager
    async def _under(self, curve: int) -> AsyncIterator[bool]:
        """Hold the curve's fault in force for the block; gives whether it is."""
        assert self.levers is not None
        window = PlannedWindow(
            window=curve,
            start_ns=self.clock.now_ns(),
            end_ns=self.plan.end_ns,
            recovery_end_ns=self.plan.end_ns,
        )
        chaos = Chaos(
            scenario=self.scenario,
            plan=replace(self.plan, windows=(window,)),
            levers=self.levers,
            writer=self.writer,
            clock=self.clock,
            run_id=self.run_id,
        )
        self._chaos.append(chaos)
        self._windows[curve] = window
        over, ended = anyio.Event(), anyio.Event()

        async def hold() -> None:
            try:
                await chaos.conduct(over)
            finally:
                ended.set()

        async with anyio.create_task_group() as group:
            group.start_soon(hold)
            with anyio.move_on_after(HEAL_S + 1):
                # The lever says nothing when it has pulled; it takes milliseconds.
                while not chaos.in_force and not ended.is_set():  # noqa: ASYNC110
                    await anyio.sleep(0.02)
            if chaos.in_force:
                await anyio.sleep(SETTLE_S)
            yield bool(chaos.in_force)
            over.set()

    async def _curve(
        self, curve: int, name: str, bare: Sequence[Reading], until_ns: int
    ) -> Sequence[Reading]:
        """Climb one curve until its knee is found, its time is up, or the target is gone."""
        tried: list[Reading] = []
        first = first_rate(self.course, bare)
        bars = Bars.of(limits(self.scenario.limits))
        while (rate := next_rate(tried, self.course, first, bars)) is not None:
            length_s = step_length_s(self.course, rate)
            if tried and self.clock.now_ns() + round((LEAD_S + length_s) * NS_PER_S) > until_ns:
                self._note(f"{name}: the time was up before the step of {rate:g}/s")
                break
            self._now = f"{name}, {rate:g}/s"
            await self._step(curve, rate, length_s)
            if self.pids.target is not None and not await _lives(self.pids.target):
                self.end("aborted", f"the target died at {rate:g}/s")
                await anyio.sleep_forever()  # until the end that was just called comes
            found = await run_sync(self._read)
            tried = [one for one in found if one.curve == curve]
        return tried

    def _read(self) -> tuple[Reading, ...]:
        """Read the climb so far, as whoever judges it later does."""
        folder: Path = self.writer.folder
        return readings(evidence_of(self.scenario, self.course, journal.read(folder)))

    # --- one step -----------------------------------------------------------------------------

    async def _step(self, curve: int, rate_per_s: float, length_s: float) -> None:
        """Offer one step, and see every call of it settled."""
        self._steps += 1
        sessions = len(self.plan.sessions)
        start_ns = self.clock.now_ns() + round(LEAD_S * NS_PER_S)
        end_ns = start_ns + round(length_s * NS_PER_S)
        turns = max(1, round(rate_per_s * length_s / calls_a_turn(self.plan)))
        due_ns = due_times_ns(
            turns,
            start_ns=start_ns,
            end_ns=end_ns,
            spacing=self.course.spacing,
            key=(self.plan.seed, curve, self._steps),
        )
        rung = Rung(
            number=self._steps,
            due_ns=due_ns,
            sessions=sessions,
            give_up_ns=end_ns + round(PATIENCE_S * NS_PER_S),
        )
        count = _Count(start_ns=start_ns, end_ns=end_ns, calls=self._take_turns(turns))
        entry = StepEntry(
            at_ns=self.clock.now_ns(),
            step=self._steps,
            curve=curve,
            edge="began",
            rate_per_s=rounded(rate_per_s),
            start_ns=start_ns,
            end_ns=end_ns,
            calls=count.calls,
            sessions=sessions,
        )
        self.writer.append(entry, sync=True)
        self._count = count
        before_s, began_s = await _cpu_s(self.pids.proxy), monotonic()
        self._rungs.put(rung)
        cut_ns, why = await self._watch(rung, count, end_ns)
        busy = _share(before_s, await _cpu_s(self.pids.proxy), monotonic() - began_s)
        await self._settled(rung, count, cut_ns)
        self._count = None
        self.writer.append(
            replace(
                entry,
                at_ns=self.clock.now_ns(),
                edge="ended",
                end_ns=cut_ns,
                why=why,
                proxy_cpu_share=busy,
            ),
            sync=True,
        )

    def _take_turns(self, turns: int) -> int:
        """Count the calls of so many turns, which the sessions take one after the other."""
        planned = self.plan.sessions
        self._turns = self._turns or [0] * len(planned)
        calls = 0
        for turn in range(turns):
            session = turn % len(planned)
            sizes = self.plan.together[planned[session].agent]
            calls += sizes[self._turns[session] % len(sizes)]
            self._turns[session] += 1
        return calls

    async def _watch(self, rung: Rung, count: _Count, end_ns: int) -> tuple[int, str]:
        """Wait for a step's end, or cut it short; give when that was, and why."""
        per_turn = count.calls / len(rung.due_ns)
        rate_per_s = count.calls * NS_PER_S / (end_ns - count.start_ns)
        while (now_ns := self.clock.now_ns()) < end_ns:
            await anyio.sleep(LOOK_S)
            due = float(np.searchsorted(rung.due_ns, count.heard_ns)) * per_turn
            waiting_s = (due - count.settled) / rate_per_s
            why = ""
            if waiting_s > self._backlog_s:
                why = f"cut short: {waiting_s:.1f} s of calls were waiting"
            elif count.failing >= 2:  # noqa: PLR2004  once may be a hiccup
                why = "cut short: most calls failed"
            if why:
                rung.give_up_ns = now_ns
                return now_ns, why
        return end_ns, ""

    @property
    def _backlog_s(self) -> float:
        """How many seconds' calls may wait: more than any limit on latency lets them."""
        wanted = limits(self.scenario.limits).values()
        slowest_s = max((one.limit for one in wanted if one.unit == "s"), default=0.0)
        return max(BACKLOG_S, slowest_s * BACKLOG_LIMITS)

    async def _settled(self, rung: Rung, count: _Count, end_ns: int) -> None:
        """Wait until every call of a step is settled, which its deadline makes sure of."""
        grace_s = Limits().hang_grace_s + PATIENCE_S + GONE_S
        late_ns = end_ns + round((longest_deadline_s(self.scenario) + grace_s) * NS_PER_S)
        # The sessions tell nobody when they are done: the journal does, once a second.
        while count.settled < count.calls and self.clock.now_ns() < late_ns:  # noqa: ASYNC110
            await anyio.sleep(LOOK_S)
        if count.settled < count.calls:
            left = count.calls - count.settled
            self._note(f"step {rung.number}: {counted(left, 'calls')} never settled")

    def _note(self, text: str) -> None:
        self.writer.append(NoteEntry(at_ns=self.clock.now_ns(), text=text))


async def _cpu_s(pid: int | None) -> float | None:
    return None if pid is None else (await vitals.sample(pid)).cpu_s


def _share(before_s: float | None, after_s: float | None, wall_s: float) -> float | None:
    if before_s is None or after_s is None or wall_s <= 0:
        return None
    return round((after_s - before_s) / wall_s, 4)


async def _lives(pid: int) -> bool:
    return (await vitals.sample(pid)).threads is not None
