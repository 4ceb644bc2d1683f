"""The storm itself: load and faults together, and one journal of it all."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import anyio

from harness import overrides
from harness.brake import Brake
from harness.capacity.course import Course
from harness.climb import Climb, Pids
from harness.clock import NS_PER_S, RunClock
from harness.errors import BrokenOffError, leaves
from harness.gameday import counts
from harness.gameday.day import Day, held
from harness.gameday.game import Game
from harness.gameday.proof import Prover
from harness.journal import (
    AuditEntry,
    Calls,
    JournalWriter,
    RunEntry,
    append_all,
    merge,
)
from harness.overrides import Overrides
from harness.plan import Plan
from harness.recent import Recent
from harness.rig.spans.control import record
from harness.running import audit, health, ledgers, lookout
from harness.running.assembly import Rig
from harness.running.assignment import Assignment
from harness.running.chaos import Chaos, Conductor
from harness.running.grip import grip
from harness.running.host import Host, longest_deadline_s
from harness.running.interruption import Interruption
from harness.running.offering import LocalOffering, Offering, WorkerOffering, offered_here
from harness.running.status import Status, status
from harness.scenario.conditions import parse_abort
from harness.scenario.load import Loaded
from harness.scenario.records import Scenario
from harness.wire.schemas import SchemaBook

LIVE_S = 0.25
LOOKED_S = 1.0  # between two looks at the control arm
ZERO_LEAD_S = 0.3  # from the moment all stands to the plan's zero
LATE_EFFECTS_S = 1.0  # how long work that was asked for may still reach the ledger
KEY_MAX = 128  # an inflated argument may have been the key; its nonce stands at the front
How = Literal["completed", "aborted", "interrupted", "failed"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Everything that stands when the storm begins."""

    loaded: Loaded
    overrides: Overrides
    plan: Plan
    rig: Rig
    tools: tuple[dict[str, Any], ...]
    folder: Path
    run_id: str
    workers: int
    web_port: int | None
    interruption: Interruption
    audited: tuple[AuditEntry, ...] = ()  # what the target counted before any load
    course: Course | None = None  # of a climb, which decides step by step what is asked
    day: Day | None = None  # of faults by hand
    # What the run stands on: each returns, with a sentence, when that is no more.
    pillars: tuple[Callable[[], Awaitable[str]], ...] = ()


@dataclass(eq=False)
class Ending:
    """Why a run ends, set once by whoever is first."""

    clock: RunClock
    stop: anyio.Event = field(default_factory=anyio.Event)
    how: How = "completed"
    why: str = ""
    at_ns: int = 0
    # Hears of it in the same moment, before anything else can happen.
    on_call: Callable[[int], None] = lambda _: None

    def call(self, how: How, why: str) -> None:
        """End the run: faults first, then the load."""
        if not self.stop.is_set():
            self.how, self.why = how, why
            self.at_ns = self.clock.now_ns()
            self.on_call(self.at_ns)
            self.stop.set()

    def told(self) -> tuple[How | Literal[""], int]:
        """How the run ends, and since when; "" while it lasts."""
        return (self.how, self.at_ns) if self.stop.is_set() else ("", 0)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A run that took place."""

    folder: Path
    how: How
    why: str
    not_healed: tuple[str, ...]
    locust_totals: tuple[int, int]  # requests and failures, by Locust's own count


async def storm(stage: Stage, on_status: Callable[[Status], None]) -> Ran:
    """Offer the load and the faults; leave a closed journal behind.

    Raises:
        RigError: when the load generator does not come up.
        BrokenOffError: when the journal cannot be written any more; the faults are undone.
    """
    clock = RunClock()
    ending = Ending(clock)

    def full(error: OSError) -> None:
        ending.call("failed", f"the journal cannot be written: {error.strerror or error}")

    with JournalWriter(stage.folder, on_failure=full) as writer:
        try:
            not_healed, totals = await _whole(stage, on_status, writer, ending)
        except Exception as error:
            why = ", ".join(type(one).__name__ for one in leaves(error))
            _close(writer, ending, how="failed", why=why)
            raise
        _close(writer, ending, how=ending.how, why=ending.why)
    try:
        if writer.failure is None:
            merge(stage.folder)
    except OSError as error:
        writer.failure = error
    if writer.failure is not None:
        raise BrokenOffError(
            f"the journal in {stage.folder} cannot be written "
            f"({writer.failure.strerror or writer.failure}); all faults are undone and the load "
            f"has ended; what was recorded until then is judged by: squall judge {stage.folder}"
        )
    return Ran(
        folder=stage.folder,
        how=ending.how,
        why=ending.why,
        not_healed=not_healed,
        locust_totals=totals,
    )


def _close(writer: JournalWriter, ending: Ending, *, how: How, why: str) -> None:
    at_ns = ending.at_ns or ending.clock.now_ns()
    writer.append(RunEntry(at_ns=at_ns, edge="ended", how=how, why=why), sync=True)


async def _whole(
    stage: Stage, on_status: Callable[[Status], None], writer: JournalWriter, ending: Ending
) -> tuple[tuple[str, ...], tuple[int, int]]:
    """Stand the load up and let it all happen; what was not healed, and Locust's totals."""
    clock, recent = ending.clock, Recent()
    climb = None if stage.course is None else _climb(stage, stage.course, writer, ending)
    rig, scenario = stage.rig, stage.loaded.scenario
    game = None if stage.day is None else _game(stage, stage.day, writer, ending)
    asking = audit.auditor(scenario, rig, stage.tools, clock) if climb is None else None
    async with (
        held(stage.day, game),
        _offering(stage, clock, writer, recent, climb or game) as offering,
    ):
        stage.interruption.arm(lambda name: ending.call("interrupted", name))
        clock.origin_ns = RunClock().origin_ns + round(ZERO_LEAD_S * NS_PER_S)
        began = RunEntry(at_ns=clock.now_ns(), edge="started", unix_ns=time.time_ns())
        writer.append(began, sync=True)
        append_all(writer, stage.audited)
        led = climb or game  # by steps or by people; otherwise by the plan alone
        chaos: Conductor = led or _chaos(stage, clock, writer, offering)
        if climb is not None:
            climb.levers = grip(rig, offering)
        if game is not None:
            ending.on_call = game.close
            assert isinstance(offering, LocalOffering)
            prover = _prover(stage, game, offering.host)
            game.take(offering.host, grip(rig, offering), rig.toxiproxy_kind, prover.look)

        def show() -> None:
            now = status(stage.plan, clock, chaos, offering=offering, recent=recent)
            on_status(now if led is None else led.told(now))

        async with anyio.create_task_group() as beside:
            beside.start_soon(lookout.watch, rig.launched, clock, writer)
            beside.start_soon(lookout.ask_health, scenario.target, rig.doors, clock, writer)
            for name, proxy in rig.dependency_proxies.items():
                watched = (name, proxy, rig.launched, clock, writer)
                beside.start_soon(lookout.count_connections, *watched)
            if game is None:  # it has brakes of its own
                beside.start_soon(_watch_control, stage.loaded.scenario, recent, ending)
            beside.start_soon(_keep_showing, clock, show)
            if stage.workers:  # else the sessions' host does it
                beside.start_soon(health.record, clock, writer)
            if game is None:
                beside.start_soon(audit.watch, asking, stage.plan, writer)
            else:
                beside.start_soon(counts.watch, asking, game)
            for lost in stage.pillars:
                beside.start_soon(_end_without, lost, ending)
            try:
                await _rage(offering, chaos, ending)
            finally:
                beside.cancel_scope.cancel()
        if rig.ledger or rig.notes_url or asking is not None or rig.spans is not None:
            await anyio.sleep(LATE_EFFECTS_S)
        await ledgers.copy(rig, clock, writer)
        await record(rig.spans, clock, writer)
        await audit.end(asking, writer)
    return tuple(chaos.not_healed), offering.totals()


async def _rage(offering: Offering, chaos: Conductor, ending: Ending) -> None:
    """Offer load and faults until either the plan or something else ends them; keep when that was.

    Whatever ends the run ends the faults first, then the load.
    """
    async with anyio.create_task_group() as together:
        halt = anyio.Event()
        together.start_soon(_break_things, chaos, ending, halt)
        why = await offering.offer(halt)
        if why:
            ending.call("aborted", why)
        ending.at_ns = ending.at_ns or ending.clock.now_ns()
        ending.stop.set()


def _chaos(stage: Stage, clock: RunClock, writer: JournalWriter, offering: Offering) -> Chaos:
    """Give the conductor of the faults, with this rig's levers in its hands."""
    return Chaos(
        scenario=stage.loaded.scenario,
        plan=stage.plan,
        levers=grip(stage.rig, offering),
        writer=writer,
        clock=clock,
        run_id=stage.run_id,
    )


def _climb(stage: Stage, course: Course, writer: JournalWriter, ending: Ending) -> Climb:
    """Give the conductor of a climb, which ends the run when it is done."""
    return Climb(
        scenario=stage.loaded.scenario,
        plan=stage.plan,
        course=course,
        writer=writer,
        clock=ending.clock,
        run_id=stage.run_id,
        end=ending.call,
        pids=Pids(target=stage.rig.pid, proxy=stage.rig.proxy_pid),
    )


def _game(stage: Stage, day: Day, writer: JournalWriter, ending: Ending) -> Game:
    """Give the conductor of a game day, which ends the run when its operators say so."""
    return Game(
        scenario=stage.loaded.scenario,
        plan=stage.plan,
        terms=day.terms,
        writer=writer,
        clock=ending.clock,
        run_id=stage.run_id,
        name=stage.loaded.name,
        end=lambda why: ending.call("completed", why),
        ended=ending.told,
    )


def _prover(stage: Stage, game: Game, host: Host) -> Prover:
    """Give who looks, on a game day, whether everything is undone."""
    rig = stage.rig
    return Prover(
        folder=stage.folder,
        run_id=stage.run_id,
        proxied=rig.network is not None,
        launched=rig.launched,
        identity=rig.identity,
        dependency=rig.dependency,
        mischief=host.mischief,
        misbehaved=host.conduct.windows,
        hits=game.hits,
        clock=game.clock,
        deadline_s=longest_deadline_s(stage.loaded.scenario),
    )


@asynccontextmanager
async def _offering(
    stage: Stage,
    clock: RunClock,
    writer: JournalWriter,
    recent: Recent,
    led: Climb | Game | None,
) -> AsyncIterator[Offering]:
    """Stand the load up, in this process or in workers."""
    scenario, plan, rig = stage.loaded.scenario, stage.plan, stage.rig
    if stage.workers:
        async with AsyncExitStack() as stack:
            crew = WorkerOffering(
                plan=plan,
                clock=clock,
                writer=writer,
                assignment=Assignment(
                    folder=str(stage.folder),
                    text=stage.loaded.text,
                    file=stage.loaded.lines.file,
                    overrides=overrides.dump(stage.overrides),
                    worker=0,
                    workers=stage.workers,
                    master_port=0,
                    doors=rig.doors,
                    access=rig.access,
                    tools=stage.tools,
                ),
                web_port=stage.web_port,
                recent=recent,
                deadline_s=longest_deadline_s(scenario),
            )
            await crew.start(stack)
            stack.push_async_callback(crew.close)
            yield crew
        return
    schemas = SchemaBook()
    for page in stage.tools:
        schemas.learn(page)
    listeners: list[Callable[[Calls], None]] = [recent.hear]
    listeners += [] if led is None else [led.hear]

    def hear(batch: Calls) -> None:
        for listen in listeners:
            listen(batch)

    async with AsyncExitStack() as stack:
        host = Host(
            scenario=scenario,
            plan=plan,
            clock=clock,
            writer=writer,
            doors=rig.doors,
            access=rig.access,
            schemas=schemas,
            on_batch=hear,
            window=None if led is None else led.window,
            **({} if led is None else {"life": led.life}),
        )
        local = await stack.enter_async_context(
            offered_here(host=host, plan=plan, clock=clock, web_port=stage.web_port)
        )
        listeners.append(local.on_batch)
        await stack.enter_async_context(host)
        yield local


async def _break_things(chaos: Conductor, ending: Ending, halt: anyio.Event) -> None:
    """Conduct the faults; once they are healed and the run is over, let the load end too."""
    await chaos.conduct(ending.stop)
    await ending.stop.wait()
    halt.set()


# --- beside the storm -----------------------------------------------------------------------


async def _watch_control(scenario: Scenario, recent: Recent, ending: Ending) -> None:
    """End the run when the control arm suffers more than the scenario accepts."""
    if scenario.abort.control_errors is None:
        return
    brake = Brake(arm="control", condition=parse_abort(scenario.abort.control_errors))
    while True:
        await anyio.sleep(LOOKED_S)
        if why := brake.pull({brake.arm: recent.window(brake.arm, 1)}, LOOKED_S):
            ending.call("aborted", why)
            return


async def _end_without(lost: Callable[[], Awaitable[str]], ending: Ending) -> None:
    """End the run when something that it stands on is no more."""
    ending.call("failed", await lost())


async def _keep_showing(clock: RunClock, show: Callable[[], None]) -> None:
    """Show how things stand; a terminal that has gone away ends no run."""
    while True:
        try:
            show()
        except OSError:
            return
        await clock.sleep_until(clock.now_ns() + round(LIVE_S * NS_PER_S))
