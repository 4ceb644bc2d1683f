"""Conducts a game day: faults by hand, on a lease, and everything undone when somebody says so.

It stands where a plan's windows or a climb stand in other runs: between a storm and its faults.
Every deed is in the journal before it is done; what a page shows is read from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import anyio
from anyio.abc import TaskGroup

from faults.levers import Exposure, Levers
from harness.clock import NS_PER_S, Clock
from harness.gameday.attendance import Attendance
from harness.gameday.book import Book, Deed
from harness.gameday.brakes import Brakes
from harness.gameday.hits import Hits
from harness.gameday.leases import GRACE_S, Leases
from harness.gameday.proof import Prove
from harness.gameday.series import Series
from harness.gameday.steady import Curtain, Steady, let_go
from harness.gameday.terms import LEVERS, STOP_CONDITION, Halt, Load, Terms, ns
from harness.gameday.windows import Struck
from harness.gameday.wish import RefusedError, Wish, missing
from harness.journal import Calls, FaultEntry, JournalWriter, RemarkEntry
from harness.plan import Plan, PlannedSession, PlannedWindow
from harness.running.chaos import HEAL_S, Chaos
from harness.running.status import Status
from harness.scenario.records import Scenario
from harness.session.life import Session
from harness.session.stage import Stage

TICK_S: Final = 0.25
WINDOWS_MAX: Final = 255  # a journal counts them in one byte
LAST_S: Final = 2.0  # before the day's longest end, no fault is started any more


@dataclass(eq=False, kw_only=True)
class Game:
    """One game day while it lasts."""

    scenario: Scenario
    plan: Plan
    terms: Terms
    writer: JournalWriter
    clock: Clock
    run_id: str
    name: str
    end: Callable[[str], None]  # ends the run, saying who did
    ended: Callable[[], tuple[str, int]]  # how the run ends, and since when; "" while it lasts
    levers: Callable[[int], Levers] | None = None
    load: Load | None = None
    prove: Prove | None = None  # looks whether faults that are over still stand
    has: frozenset[str] = frozenset()  # the levers of this run
    proxy: str = "none"
    series: Series = field(default_factory=Series)
    brakes: Brakes = field(default_factory=Brakes)
    faults: list[Struck] = field(default_factory=list)
    halted: Halt | None = None
    over: bool = False
    held_by: str = ""  # for a moment nothing can be started, for this reason
    changed: anyio.Event = field(default_factory=anyio.Event)
    _curtain: Curtain = field(default_factory=Curtain)
    _chaos: Chaos | None = None
    _group: TaskGroup | None = None
    _ending: bool = False

    def __post_init__(self) -> None:
        self.book = Book(writer=self.writer, clock=self.clock)
        self.hits = Hits([one.session for one in self.plan.sessions if one.arm == "treated"])
        self.writer.on_entry = self.hits.hear
        self.attendance = Attendance(
            leases=Leases(
                length_ns=ns(self.terms.lease_s), grace_ns=ns(min(GRACE_S, self.terms.lease_s))
            ),
            book=self.book,
            clock=self.clock,
            tell=self.tell,
        )

    # --- what a storm asks of its conductor ---------------------------------------------------

    @property
    def in_force(self) -> Mapping[int, str]:
        """The windows whose fault is in force, each with its kind."""
        return self._chaos.in_force if self._chaos else {}

    @property
    def exposures(self) -> Mapping[int, Exposure]:
        """What they have hit, about a second old."""
        return self._chaos.exposures if self._chaos else {}

    @property
    def not_healed(self) -> Sequence[str]:
        """What may still be in force, in words."""
        return self._chaos.not_healed if self._chaos else []

    def take(self, load: Load, levers: Callable[[int], Levers], proxy: str, prove: Prove) -> None:
        """Take the load and the levers in hand, once they stand; `proxy` is the kind of its own."""
        self.load, self.levers, self.proxy, self.prove = load, levers, proxy, prove
        there = levers(0)
        self.has = frozenset(name for name in LEVERS if getattr(there, name) is not None)

    def close(self, at_ns: int) -> None:
        """Let no step be due any more from this moment on, which is now: the day is ending."""
        self._curtain.fall(at_ns)

    async def conduct(self, stop: anyio.Event) -> None:
        """Be at the operators' service until `stop`; then heal everything, and let the load go."""
        assert self.levers is not None
        self._chaos = Chaos(
            scenario=self.scenario,
            plan=self.plan,
            levers=self.levers,
            writer=self.writer,
            clock=self.clock,
            run_id=self.run_id,
            on_edge=self._hear_edge,
        )
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(self._tick)
            await stop.wait()
            self.over = True
            self._end_faults("the storm ended")
            with anyio.CancelScope(shield=True):
                for one in self.faults:
                    await one.done.wait()
                await self._drop_the_curtain()
            self._group = None
            self.tell()
            group.cancel_scope.cancel()

    def life(self, stage: Stage, planned: PlannedSession) -> Session:
        """Give the life of one session."""
        return Steady(stage=stage, planned=planned, curtain=self._curtain)

    def window(self, number: int) -> PlannedWindow:
        """Give the window of a fault, up to its end as things stand."""
        return self.faults[number - 1].window()

    def hear(self, batch: Calls) -> None:
        """Take in the calls of about a second, and look whether they end what is in force."""
        now_ns = self.clock.now_ns()
        self.hits.take(batch, at_ns=now_ns)
        sums = self.series.add(batch, self._curtain.open_sessions(), at_ns=now_ns)
        why = self.brakes.pull(sums, now_ns=now_ns)
        if why:
            self.ask_halt(STOP_CONDITION, why)
        self.tell()

    def told(self, status: Status) -> Status:
        """Say where the day is, in the words of a live view."""
        return replace(status, phase=self.phase())

    # --- what operators ask for ---------------------------------------------------------------

    def phase(self) -> str:
        """Name what the day is in now."""
        now_ns = self.clock.now_ns()
        if self.over:
            return "over"
        if now_ns < self.plan.baseline_end_ns:
            return "warm-up" if now_ns < self.plan.baseline_start_ns else "baseline"
        if any(not one.is_over for one in self.faults):
            return "fault"
        return "recovery" if self.recovering_s() > 0 else "steady"

    def recovering_s(self) -> float:
        """Seconds for which the recovery of the last fault is yet to be watched."""
        ends = [one.end_ns for one in self.faults if one.start_ns and one.end_ns is not None]
        if not ends:
            return 0.0
        until_ns = max(ends) + ns(self.scenario.phases.recovery_s)
        return max(0.0, (until_ns - self.clock.now_ns()) / NS_PER_S)

    def why_not(self) -> str:
        """Say why no fault can be started now; "" when one can."""
        return next(filter(None, self._obstacles()), "")

    def _obstacles(self) -> Iterator[str]:
        now_ns, plan = self.clock.now_ns(), self.plan
        if self.over or self._ending or self._group is None:
            yield "the storm is not under way"
        if now_ns < plan.baseline_end_ns:
            left_s = (plan.baseline_end_ns - now_ns) / NS_PER_S
            yield f"the baseline is being measured for {left_s:.0f} s more"
        if self.halted is not None and self.halted.state != "resumed":
            yield "everything was halted; let the day go on first"
        running = [one for one in self.faults if not one.is_over]
        for one in running:
            yield f"{one.id}, started by {one.who}, is in force; stop it first"
        left_s = 0.0 if running else self.recovering_s()
        if left_s > 0:
            yield f"the recovery of {self.faults[-1].id} is being watched for {left_s:.0f} s more"
        yield self.held_by
        if self.not_healed:
            yield "a fault is not proven undone; end the day, then squall recover"
        if len(self.faults) >= WINDOWS_MAX:
            yield f"a day has at most {WINDOWS_MAX} faults; end this one"
        if now_ns > plan.end_ns - ns(LAST_S):
            yield "the day's time is up"
        if not self.attendance.has_operator:
            yield "no operator's page is connected"

    def start(self, wish: Wish, who: str) -> Struck:
        """Order a fault; its order is on disk when this returns, and it is being applied.

        Raises:
            RefusedError: when none can be started now.
        """
        why = self.why_not() or missing(wish.fault, self.has, self.proxy)
        if why:
            raise RefusedError(why, status=409)
        assert self._group is not None
        number, now_ns = len(self.faults) + 1, self.clock.now_ns()
        for_s = min(wish.for_s, (self.plan.end_ns - now_ns) / NS_PER_S - 1)
        one = Struck(
            number=number,
            wish=replace(wish, for_s=for_s),
            who=who,
            ordered_ns=now_ns,
            lease=self.attendance.leases.grant(number, now_ns=now_ns, for_ns=ns(for_s)),
        )
        self.book.order(one)
        self.book.lease(one.lease, "granted")
        self.brakes.set_for(
            wish.fault, self.scenario.abort.control_errors, wish.hypothesis.condition
        )
        self.faults.append(one)
        self._group.start_soon(self._strike, one)
        self.tell()
        return one

    def stop(self, number: int, who: str) -> None:
        """End a fault before its time.

        Raises:
            RefusedError: when it is not in force.
        """
        one = self._running(number)
        self._did(who, "stopped", window=number)
        self._end(one, f"stopped by {who}")

    def extend(self, number: int, for_s: float, who: str) -> None:
        """Let a fault last until so long from now; its lease is renewed as before.

        Raises:
            RefusedError: when it is not in force.
        """
        one = self._running(number)
        now_ns = self.clock.now_ns()
        for_ns = min(ns(for_s), self.plan.end_ns - now_ns - NS_PER_S)
        self.attendance.leases.extend(one.number, now_ns=now_ns, for_ns=for_ns)
        self._did(who, "extended", window=number, words=f"{for_ns / NS_PER_S:g} s from now")

    def ask_halt(self, who: str, why: str = "") -> None:
        """Undo everything at once, prove it, and start nothing until somebody lets the day go on.

        Raises:
            RefusedError: when a halt is under way.
        """
        if self.halted is not None and self.halted.state == "undoing":
            raise RefusedError("everything is being undone already", status=409)
        if self.over or self._group is None:
            raise RefusedError("the storm is not under way", status=409)
        now_ns = self.clock.now_ns()
        self.halted = Halt(who=who, at_ns=now_ns, words=why)
        self.book.halt(self.halted)
        self._end_faults(f"halted by {who}{f': {why}' if why else ''}")
        self._group.start_soon(self._prove, self.halted)
        self.tell()

    def resume(self, who: str) -> None:
        """Let faults be started again after a halt that is proven.

        Raises:
            RefusedError: when nothing was halted, or not everything is proven undone.
        """
        if self.halted is None or self.halted.state == "resumed":
            raise RefusedError("nothing was halted", status=409)
        if self.halted.state != "proven":
            raise RefusedError("not everything is proven undone", status=409)
        self.halted.state = "resumed"
        self._did(who, "resumed")

    def remark(self, entry: RemarkEntry) -> None:
        """Write down what somebody says.

        Raises:
            RefusedError: when there is too much of it, or the fault it is about is not there.
        """
        if not 0 <= entry.window <= len(self.faults):
            raise RefusedError(f"there is no fault {entry.window}", at="window", status=409)
        self.book.remark(entry)
        self.tell()

    def finish(self, who: str) -> None:
        """End the day: faults first, then the load; then it is judged.

        Raises:
            RefusedError: when it has ended.
        """
        if self.over or self._ending or self._group is None:
            raise RefusedError("the day is over", status=409)
        self._ending = True
        self._did(who, "ended")
        self._end_faults(f"{who} ended the day")
        self._group.start_soon(self._finish, f"ended by {who}")

    # --- what pages are shown ------------------------------------------------------------------

    def living(self) -> int:
        """How many sessions live."""
        return 0 if self.load is None else self.load.living

    def tell(self) -> None:
        """Wake whoever shows how things stand."""
        self.changed.set()
        self.changed = anyio.Event()

    # --- within -------------------------------------------------------------------------------

    async def _strike(self, one: Struck) -> None:
        """Have a fault in force until it is to end, and see it healed."""
        assert self._chaos is not None
        window = replace(one.window(), end_ns=self.plan.end_ns)  # unless somebody ends it before
        try:
            await self._chaos.window(window, one.wish.fault, one.over)
        finally:
            self.attendance.leases.end(one.number)
            if not one.is_over:
                one.state = "healed" if one.start_ns is None else "not proven healed"
                one.end_ns = one.end_ns or self.clock.now_ns()
            one.done.set()
            self.tell()

    async def _tick(self) -> None:
        """End what is to end; the leases need no finer clock."""
        while True:
            await self.clock.sleep_until(self.clock.now_ns() + ns(TICK_S))
            for number, why in self.attendance.look():
                one = self.faults[number - 1]
                if not one.over.is_set():
                    self.book.lease(one.lease, "ended", why)
                    self._end(one, why)

    async def _finish(self, why: str) -> None:
        """End the run once its faults are undone."""
        for one in self.faults:
            await one.done.wait()
        self.end(why)

    async def _prove(self, halt: Halt) -> None:
        """See everything undone, look whether it is, and say so."""
        with anyio.move_on_after(2 * HEAL_S):
            for one in self.faults:
                await one.done.wait()
        left = [one.id for one in self.faults if not one.done.is_set()]
        assert self.prove is not None
        self.book.proof(halt, (*left, *self.not_healed), await self.prove(self.faults))
        self.tell()

    async def _drop_the_curtain(self) -> None:
        """Let the sessions go; whoever interrupts does not wait for them."""
        how, at_ns = self.ended()
        load = self.load if how == "completed" else None
        patience_s = self.scenario.client.deadline_s + 1
        await let_go(self._curtain, load, at_ns, patience_s=patience_s, look_s=TICK_S / 2)

    def _hear_edge(self, entry: FaultEntry) -> None:
        self.faults[entry.window - 1].hear(entry)
        if entry.edge in {"injected", "healed"}:
            self.series.cut()
        self.tell()

    def _end_faults(self, why: str) -> None:
        for one in self.faults:
            self._end(one, why)

    def _end(self, one: Struck, why: str) -> None:
        if not one.over.is_set():
            one.why = why
            one.over.set()
            self.brakes.release()
            self.tell()

    def _running(self, number: int) -> Struck:
        if not 1 <= number <= len(self.faults) or self.faults[number - 1].over.is_set():
            raise RefusedError("this fault is not in force any more", at="window", status=409)
        return self.faults[number - 1]

    def _did(self, who: str, deed: Deed, *, window: int = 0, words: str = "") -> None:
        self.book.deed(who, deed, window=window, words=words)
        self.tell()
