"""All sessions of one process: starts and ends them, and keeps the books once a second.

Locust says which session lives when; this is where it lives. The hot path only packs records into
a buffer; everything else about finished calls is computed here from whole batches of them.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from typing import Self

import anyio
import numpy as np
from anyio.abc import TaskGroup

from harness.clock import NS_PER_S, RunClock
from harness.journal import (
    CALL_DTYPE,
    Calls,
    HealthEntry,
    JournalWriter,
    NoteEntry,
    SaidEntry,
    append_all,
)
from harness.plan import Plan, PlannedSession, PlannedWindow, flat
from harness.rig.reaching import http_client
from harness.running.health import HealthMeter
from harness.scenario.records import ListStep, Scenario
from harness.session.access import Access, Doors, creditor
from harness.session.conduct import Conduct
from harness.session.connecting import connector, witness_connector
from harness.session.credential import Credential
from harness.session.inspection import Inspector
from harness.session.life import Session
from harness.session.lists import Lists
from harness.session.mischief.errands import Errands
from harness.session.mischief.outsider import OUTSIDER
from harness.session.mischief.passes import Passes, outsiders
from harness.session.processes import Processes
from harness.session.record import Recorder
from harness.session.stage import Stage
from harness.session.steps import compile_agent
from harness.session.talker import compile_rules
from harness.wire.limits import Limits
from harness.wire.schemas import SchemaBook

FLUSH_S = 1.0
FIRST_FLUSH_S = 0.8  # sooner, for whoever waits for the first number
# The last call that began in time ends by its deadline and the grace after it. What has piled up
# behind it is not waited for: a server that drowns would keep the run going for minutes.
OVERTIME_S = Limits().hang_grace_s
# How many new objects before the collector looks for cycles: a thousand calls in flight hold more
# than the usual 700, and none of them is a cycle.
YOUNG_OBJECTS = 50_000
LAST_WORDS_S = 3.0  # how long a cancelled session may take to account for its steps and leave


def longest_deadline_s(scenario: Scenario) -> float:
    """Give the longest time, in seconds, that any step of the scenario may wait for its reply."""
    own_s = [
        max(step.deadline_s or 0.0, getattr(step, "patience_s", None) or 0.0)
        for agent in scenario.agents
        for step in flat(agent)
        if not isinstance(step, ListStep)
    ]
    return max(scenario.client.deadline_s, *own_s, 0.0)


def _session(stage: Stage, planned: PlannedSession) -> Session:
    return Session(stage=stage, planned=planned)


class Host:
    """The sessions of one process, as an async context manager around their whole time."""

    def __init__(
        self,
        *,
        scenario: Scenario,
        plan: Plan,
        clock: RunClock,
        writer: JournalWriter,
        doors: Doors,
        access: Access,
        schemas: SchemaBook,
        on_batch: Callable[[Calls], None],
        life: Callable[[Stage, PlannedSession], Session] = _session,
        window: Callable[[int], PlannedWindow] | None = None,
    ) -> None:
        """Compile what all sessions share; nothing is connected yet.

        `window` gives the fault windows where they are not the plan's.
        """
        self._life = life
        self.clock = clock
        self.conduct = Conduct()
        self._plan = plan
        self._writer = writer
        self._on_batch = on_batch
        self._scopes: dict[int, anyio.CancelScope] = {}
        self._deadline_s = longest_deadline_s(scenario)
        self._http = http_client(doors.url, trust=doors.trust, unix_socket=doors.unix_socket)
        self._collects = gc.get_threshold()  # as it was, and shall be again
        self._meter = HealthMeter(worker=writer.worker, clock=clock)
        self._credentials: dict[int, Credential] = {}
        self._client_secrets = access.secrets
        writer.secrets_of = self._secrets_of
        self.health: HealthEntry | None = None  # of the last second
        self._group: TaskGroup | None = None
        self._settled = 0  # how many sessions lived when the collector was last told to pass over
        self._left = anyio.Event()  # set whenever a session leaves
        self._processes: Processes | None = None
        self._errands: Errands | None = None
        self._passes = Passes(
            creditor(access, self._http, clock.now_ns),
            clock.now_ns,
            clients={arm: registration.client_id for arm, registration in access.clients},
        )
        if doors.command is not None:
            self._processes = Processes(
                doors.command, now_ns=clock.now_ns, writer=writer, worker=writer.worker
            )
            self.conduct.on_engaged = self._processes.engage
            self.conduct.on_disengaged = self._processes.disengage
        self._doors, self._schemas = doors, schemas
        connect = {"wire": connector(scenario, doors, schemas, clock.now_ns, self._processes)}
        if plan.witnesses:
            connect["sdk"] = witness_connector(scenario, doors, clock.now_ns)
        self._stage = Stage(
            scenario=scenario,
            plan=plan,
            clock=clock,
            conduct=self.conduct,
            recorder=Recorder(writer),
            writer=writer,
            steps=tuple(
                compile_agent(scenario, plan, number) for number in range(len(scenario.agents))
            ),
            connect=lambda planned: connect[planned.engine](planned.arm, planned.session),
            credential=self._creditor(access),
            rules=compile_rules(scenario),
            inspector=Inspector(clock.now_ns, worker=writer.worker),
            lists=Lists(clock.now_ns),
            schemas=schemas,
            made_up=window,
        )

    async def __aenter__(self) -> Self:
        # What stands now lives as long as the process: looking through it again and again would
        # cost pauses of tens of milliseconds in the middle of measurements.
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS, *self._collects[1:])
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._stage.backstage.open(self._group)
        self._group.start_soon(self._meter.watch)
        self._group.start_soon(self._keep_books)
        if self._writer.worker <= 1:  # in one process of the run
            if self._processes is None:
                self._send_outsiders()
            for witness in self._plan.witnesses:
                self.begin(witness.session, _nothing)
        return self

    async def __aexit__(self, *failure: object) -> None:
        assert self._group is not None
        self.cancel_all()
        with anyio.CancelScope(shield=True), anyio.move_on_after(LAST_WORDS_S + 2):
            await self._empty()
        if self._processes is not None:
            with anyio.CancelScope(shield=True):
                await self._processes.__aexit__(None, None, None)
        self._group.cancel_scope.cancel()
        try:
            await self._group.__aexit__(None, None, None)
            self._book(last=True)
        finally:
            gc.set_threshold(*self._collects)
            gc.unfreeze()
            with anyio.CancelScope(shield=True):
                await self._http.aclose()

    def _send_outsiders(self) -> None:
        """Have outsiders ready to go on the errands that faults send them on."""
        assert self._group is not None
        ground = outsiders(self._stage, self._doors, self._schemas, self._passes)
        errands = self._errands = Errands(ground, self._group)
        self.conduct.on_engaged, self.conduct.on_disengaged = errands.begin, errands.end

    async def _empty(self) -> None:
        """Wait until the last session has left."""
        while self._scopes:
            self._left = anyio.Event()
            await self._left.wait()

    @property
    def living(self) -> int:
        """How many sessions live now."""
        return sum(number < len(self._plan.sessions) for number in self._scopes)

    @property
    def lag_ms(self) -> float | None:
        """The loop's lag in the last second, its 99th percentile."""
        return None if self.health is None else self.health.lag_p99_ms

    def alive(self) -> dict[str, int]:
        """How many sessions of each arm live now; another thread may ask."""
        planned = self._plan.sessions
        return dict(Counter(planned[one].arm for one in list(self._scopes) if one < len(planned)))

    def mischief(self) -> tuple[str, ...]:
        """Name what sessions or outsiders do wrong on purpose now, or would with the next step."""
        away = (
            []
            if self._errands is None
            else [one for one, n in self._errands.under_way.items() if n]
        )
        backstage = self._stage.backstage.under_way
        return tuple(dict.fromkeys([*self.conduct.in_force, *away, *backstage]))

    def begin(self, number: int, done: Callable[[], None]) -> None:
        """Start session `number`; `done` is called when its life is over.

        That is at the plan's end or, if it is late by then, one deadline and the grace after it.
        """
        assert self._group is not None
        last_ns = self._plan.planned(number).end_ns - self.clock.now_ns()
        left_s = last_ns / NS_PER_S + self._deadline_s + OVERTIME_S
        scope = anyio.CancelScope(deadline=anyio.current_time() + left_s)
        self._scopes[number] = scope
        self._group.start_soon(self._live, number, scope, done)

    def end(self, number: int) -> None:
        """Cut session `number` short; it still accounts for its steps."""
        if number in self._scopes:
            self._scopes[number].cancel()

    def cancel_all(self) -> None:
        """Cut every session short."""
        for scope in list(self._scopes.values()):
            scope.cancel()

    async def _live(self, number: int, scope: anyio.CancelScope, done: Callable[[], None]) -> None:
        try:
            with scope:
                await self._life(self._stage, self._plan.planned(number)).run()
        finally:
            self._scopes.pop(number, None)
            self._credentials.pop(number, None)
            self._left.set()
            done()

    async def _keep_books(self) -> None:
        await anyio.sleep(FIRST_FLUSH_S)
        while True:
            self._book()
            self._settle()
            await anyio.sleep(FLUSH_S)

    def _settle(self) -> None:
        """Keep the collector from looking through sessions that have only just begun.

        While thousands open it would do so again and again: more than half of the process's time.
        """
        if self.living > self._settled:
            self._settled = self.living
            gc.freeze()

    def _book(self, *, last: bool = False) -> None:
        """Hand the finished calls of the last second to the file, the meter and the listener."""
        batch: Calls = np.frombuffer(bytes(self._writer.buffer), dtype=CALL_DTYPE)
        health = self._meter.entry(batch, sessions=self.living)
        self.health = health
        self._writer.append(health)
        said = self._stage.said
        if said:
            counts = dict(sorted(said.items()))
            worker = self._writer.worker
            self._writer.append(SaidEntry(at_ns=health.at_ns, worker=worker, counts=counts))
            said.clear()
        if self._stage.inspector is not None:
            append_all(self._writer, self._stage.inspector.entries())
        if self._stage.lists is not None:
            append_all(self._writer, self._stage.lists.entries(all_=last))
        self._writer.flush()
        if self._plan.witnesses:  # what the official client did is no part of the load
            batch = batch[batch["session"] < len(self._plan.sessions)]
        self._on_batch(batch)

    def note(self, text: str) -> None:
        """Write a remark for the report's reader."""
        self._writer.append(NoteEntry(at_ns=self.clock.now_ns(), text=text))

    # --- what a session is made of ----------------------------------------------------------

    def _creditor(self, access: Access) -> Callable[[PlannedSession], Credential | None]:
        credential = creditor(access, self._http, self.clock.now_ns)

        def remembered(planned: PlannedSession) -> Credential | None:
            made = credential(planned.arm)
            if made is not None:
                self._credentials[planned.session] = made
            return made

        return remembered

    def _secrets_of(self, session: int) -> tuple[str, ...]:
        """Give what a session's entries must not show, should a server have echoed it."""
        if session == OUTSIDER:
            return (*self._passes.secrets, *self._client_secrets)
        held = self._credentials.get(session)
        tokens = () if held is None or not held.token else (held.token, held.damaged(), *held.shown)
        return (*tokens, *self._client_secrets)


def _nothing() -> None:
    """Tell nobody that a witness has left: it was no user of Locust's."""
