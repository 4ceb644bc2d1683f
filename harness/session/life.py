"""One agent's life: connect, perform each step when it is due, recover as the policy says, close.

The session records and never judges. Whatever ends it, every planned step is accounted for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import anyio
from pydantic_core import from_json

from faults.levers import Behaviour
from harness.clock import NS_PER_S, Clock
from harness.journal import ROWS_UNKNOWN, JournalWriter, SessionEntry
from harness.outcome import Effect, EndedBy, Outcome, Reason
from harness.plan import Plan, PlannedSession, PlannedStep
from harness.scenario import results
from harness.scenario.records import Scenario
from harness.session.conduct import Conduct
from harness.session.credential import Credential
from harness.session.identity import Identity
from harness.session.misbehaviour import PRELUDE_INDEX, prelude
from harness.session.policy import UNAUTHORIZED, Next, backoff_s, decide, session_is_lost
from harness.session.record import Recorder, Who
from harness.session.steps import Step
from harness.wire.client import WireClient
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook

OPEN_AGAIN_NS: Final = NS_PER_S // 2  # a session that could not open waits this long
CLOSE_S: Final = 2.0  # how long a polite goodbye may take
_REFUSALS: Final = range(400, 500)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What all sessions of one process share."""

    scenario: Scenario
    plan: Plan
    clock: Clock
    conduct: Conduct
    recorder: Recorder
    writer: JournalWriter
    steps: tuple[tuple[Step, ...], ...]  # per agent
    connect: Callable[[PlannedSession], WireClient]
    credential: Callable[[PlannedSession], Credential | None]
    schemas: SchemaBook

    def param_headers(self, step: Step, params: bytes) -> bytes:
        """Give the headers that repeat arguments, for the few tools that ask for them."""
        if step.method != "tools/call" or not self.schemas.asks_headers(step.name):
            return b""
        return self.schemas.param_headers(step.name, from_json(params)["arguments"])


@dataclass(eq=False)
class Session:
    """One session of the plan; `run` is its whole life."""

    stage: Stage
    planned: PlannedSession
    kept: dict[str, Any] = field(default_factory=dict)
    _open: bool = False
    _was_open: bool = False
    _tried_ns: int = -OPEN_AGAIN_NS
    _next: int = 0  # index of the first step of the group in hand
    _settled: set[int] = field(default_factory=set)  # of that group, those with a last entry

    def __post_init__(self) -> None:
        """Prepare what every step needs."""
        stage, planned = self.stage, self.planned
        self.client = stage.connect(planned)
        self.treated = planned.arm == "treated"
        self.who = Who(session=planned.session, treated=self.treated)
        self.steps = stage.steps[planned.agent]
        self.values = {
            "session": stage.plan.mark(planned.session),
            "agent": stage.scenario.agents[planned.agent].name,
        }
        self.identity = Identity(
            credential=stage.credential(planned),
            planned=planned,
            plan=stage.plan,
            conduct=stage.conduct,
            clock=stage.clock,
            writer=stage.writer,
            present=self._present,
        )
        self._opening = anyio.Lock()

    def _present(self, token: str) -> None:
        self.client.authorization = b"Bearer " + token.encode()

    # --- the life ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until the plan ends; cancelled, account for the rest of the steps and go."""
        plan, clock = self.stage.plan, self.stage.clock
        try:
            await clock.sleep_until(self.planned.open_ns)
            await self._ensure_open()
            for group in plan.groups(self.planned.session):
                if group[0].due_ns > clock.now_ns():  # a late session has no time to yield
                    await clock.sleep_until(group[0].due_ns)
                if len(group) == 1:
                    await self._perform(group[0])
                else:
                    async with anyio.create_task_group() as together:
                        for planned in group:
                            together.start_soon(self._perform, planned)
                self._next = group[-1].index + 1
                self._settled.clear()
            await clock.sleep_until(self.planned.end_ns)
        finally:
            with anyio.CancelScope(shield=True):
                self._account_for_the_rest()
                await self._close()

    def _account_for_the_rest(self) -> None:
        for planned in self.stage.plan.steps(self.planned.session):
            if planned.index >= self._next and planned.index not in self._settled:
                self._unsent(planned, Reason.RUN_ENDED)

    async def _close(self) -> None:
        if self._open:
            with anyio.move_on_after(CLOSE_S):
                await self.client.close(deadline_ns=self._deadline(CLOSE_S))
            self._entry("closed")
        self.client.drop_connections()

    # --- opening ----------------------------------------------------------------------------

    async def _ensure_open(self) -> Reason:
        """Have an open session; the reason when there is none."""
        async with self._opening:
            if self._open:
                return Reason.NONE
            await self.stage.clock.sleep_until(self._tried_ns + OPEN_AGAIN_NS)
            self._tried_ns = self.stage.clock.now_ns()
            if not await self.identity.have():
                return Reason.NO_TOKEN
            return await self._handshake()

    async def _handshake(self) -> Reason:
        began_ns = self.stage.clock.now_ns()
        deadline_s = self.stage.scenario.client.deadline_s
        reply = await self.client.open(deadline_ns=self._deadline(deadline_s))
        if reply.status == UNAUTHORIZED and await self.identity.renew(self.identity.serial):
            reply = await self.client.open(deadline_ns=self._deadline(deadline_s))
        took_ns = self.stage.clock.now_ns() - began_ns
        if reply.outcome is not Outcome.OK:
            self._entry("failed", why=_words(reply), took_ns=took_ns)
            return Reason.SESSION_DEAD
        self._open = True
        self._entry("reopened" if self._was_open else "opened", took_ns=took_ns)
        self._was_open = True
        return Reason.NONE

    async def _reopen(self, reply: Reply, session_id: str) -> bool:
        """Start a new session after the server forgot ours; the id tells which one was lost."""
        async with self._opening:
            if self.client.session_id != session_id:
                return self._open  # a parallel call has done it already
            self._entry("lost", why=_words(reply))
            self._open = False
            self.client.forget_session()
            return await self._handshake() is Reason.NONE

    # --- steps ------------------------------------------------------------------------------

    async def _perform(self, planned: PlannedStep) -> None:
        """Perform one step: its preludes, its attempts, and exactly one last entry."""
        step = self.steps[planned.position]
        if not self._open:
            reason = await self._ensure_open()
            if reason is not Reason.NONE:
                self._unsent(planned, reason)
                return
        values: dict[str, Any] = {**self.values, **self.kept, "nonce": planned.nonce}
        values["index"] = planned.index
        if not step.needs <= values.keys():
            self._unsent(planned, Reason.VALUE_MISSING)
            return
        if self.identity.wants_renewal():
            await self.identity.renew(self.identity.serial)
        if self.treated and self.stage.conduct.active:
            for behaviour in self.stage.conduct.preludes():
                if self._drawn(behaviour, planned.index):
                    await self._misbehave(planned, step, behaviour, values)
        await self._attempt(planned, step, values)

    async def _attempt(self, planned: PlannedStep, step: Step, values: Mapping[str, Any]) -> None:
        """Ask, and ask again as long as the policy says so."""
        stage, client, identity = self.stage, self.client, self.identity
        params = step.request(values)
        name = step.name if step.named is None else step.named.render_text(values)
        headers = stage.param_headers(step, params)
        losing = self._losing(planned) if stage.conduct.active else None
        attempt, mended = 1, set[Next]()
        while True:
            standing = identity.standing()
            serial, session_id = identity.serial, client.session_id
            lost = losing if attempt == 1 else None
            reply = await client.request(
                step.method,
                params,
                name=name,
                deadline_ns=stage.clock.now_ns() + step.deadline_ns,
                lose_reply=lost is not None,
                headers=headers,
            )
            rows = self._look_into(reply, step, values)
            follow = Next.SETTLE
            if reply.outcome is not Outcome.OK:
                standing = identity.standing_after(reply, standing)
                follow = await self._follow(
                    reply, attempt, mended, serial=serial, session_id=session_id
                )
            stage.recorder.attempt(
                self.who,
                index=planned.index,
                call=step.call,
                due_ns=planned.due_ns,
                reply=reply,
                attempt=attempt,
                last=follow is Next.SETTLE,
                effect=_effect(reply) if step.effect else Effect.NONE,
                auth=standing.auth,
                rows=rows,
                behaviour=lost.kind if lost else standing.behaviour,
                window=lost.window if lost else standing.window,
            )
            if follow is Next.SETTLE:
                self._settled.add(planned.index)
                return
            attempt += 1

    async def _follow(
        self, reply: Reply, attempt: int, mended: set[Next], *, serial: int, session_id: str
    ) -> Next:
        """Do what the policy says after a reply that was not what was asked for."""
        policy = self.stage.scenario.client
        follow = decide(
            reply,
            client=policy,
            attempt=attempt,
            renewed=Next.RENEW in mended,
            reopened=Next.REINITIALIZE in mended,
            can_renew=self.identity.renews_on_refusal(),
            has_session=bool(session_id),
        )
        mended.add(follow)
        match follow:
            case Next.RENEW:
                return Next.RETRY if await self.identity.renew(serial) else Next.SETTLE
            case Next.REINITIALIZE:
                return Next.RETRY if await self._reopen(reply, session_id) else Next.SETTLE
            case Next.RETRY:
                wait_ns = round(backoff_s(policy, attempt) * NS_PER_S)
                await self.stage.clock.sleep_until(self.stage.clock.now_ns() + wait_ns)
            case Next.SETTLE if self._open and session_id and session_is_lost(reply):
                self._entry("lost", why=_words(reply))
        return follow

    def _look_into(self, reply: Reply, step: Step, values: Mapping[str, Any]) -> int:
        """Hold the reply against the step's expectations; keep what later steps need."""
        result = reply.result
        if not isinstance(result, dict):
            return ROWS_UNKNOWN
        rows = self._measure(reply, step, values)
        if step.keep is not None and reply.outcome is Outcome.OK:
            kept = step.keep(result)
            for name in step.keeps:
                self.kept.pop(name, None)
            self.kept |= kept
        return rows

    def _measure(self, reply: Reply, step: Step, values: Mapping[str, Any]) -> int:
        """Hold a reply against the expectations; give its rows, -1 where none can be counted."""
        expected = reply.outcome is Outcome.OK or (
            reply.outcome is Outcome.TOOL_ERROR and step.expects_error
        )
        if not expected:
            return ROWS_UNKNOWN
        reason = step.expect(reply.result, values)
        if reason is None:
            reply.outcome, reply.reason = Outcome.OK, Reason.NONE
        elif reply.outcome is Outcome.OK:
            reply.outcome, reply.reason = Outcome.WRONG, reason
        return results.rows(reply.result) if step.counts_rows else ROWS_UNKNOWN

    # --- misbehaviour -----------------------------------------------------------------------

    def _drawn(self, behaviour: Behaviour, index: int) -> bool:
        plan = self.stage.plan
        return plan.draw(behaviour.kind, self.planned.session, index) < behaviour.share

    def _losing(self, planned: PlannedStep) -> Behaviour | None:
        losing = self.stage.conduct.get("lose_reply") if self.treated else None
        return losing if losing is not None and self._drawn(losing, planned.index) else None

    async def _misbehave(
        self, planned: PlannedStep, step: Step, behaviour: Behaviour, values: Mapping[str, Any]
    ) -> None:
        """Misbehave once, as attempt 0 of the call, under a nonce of its own."""
        nonce = self.stage.plan.nonce(self.planned.session, PRELUDE_INDEX + planned.index)
        values = {**values, "nonce": nonce}
        wrong = prelude(behaviour, step, values, self.identity.credential)
        if wrong is None:
            return
        standing = self.identity.standing()
        reply = await self.client.request(
            wrong.method,
            wrong.params,
            name=wrong.name,
            deadline_ns=self.stage.clock.now_ns() + step.deadline_ns,
            authorization=wrong.authorization,
            vanish_after_ns=wrong.vanish_after_ns,
        )
        measured = wrong.measured and isinstance(reply.result, dict)
        self.stage.recorder.attempt(
            self.who,
            index=planned.index,
            call=step.call,
            due_ns=planned.due_ns,
            reply=reply,
            attempt=0,
            last=False,
            auth=standing.auth if wrong.auth is None else wrong.auth,
            rows=self._measure(reply, step, values) if measured else ROWS_UNKNOWN,
            behaviour=behaviour.kind,
            window=behaviour.window,
        )

    # --- small things -----------------------------------------------------------------------

    def _deadline(self, seconds: float) -> int:
        return self.stage.clock.now_ns() + round(seconds * NS_PER_S)

    def _unsent(self, planned: PlannedStep, reason: Reason) -> None:
        step = self.steps[planned.position]
        self.stage.recorder.unsent(
            self.who,
            index=planned.index,
            call=step.call,
            due_ns=planned.due_ns,
            reason=reason,
            effect=Effect.ABSENT if step.effect else Effect.NONE,
        )
        self._settled.add(planned.index)

    def _entry(
        self,
        edge: Literal["opened", "lost", "reopened", "closed", "failed"],
        *,
        why: str = "",
        took_ns: int = 0,
    ) -> None:
        self.stage.writer.append(
            SessionEntry(
                at_ns=self.stage.clock.now_ns(),
                session=self.planned.session,
                edge=edge,
                era=self.client.era,
                protocol=self.client.protocol_version,
                why=why,
                took_ns=took_ns,
            )
        )


def _words(reply: Reply) -> str:
    """Say in a few words what came instead of an answer."""
    status = f"http {reply.status} " if reply.status else ""
    return f"{status}{reply.reason.name.lower()} {reply.detail}".strip()[:200]


def _effect(reply: Reply) -> Effect:
    """Say what the client may believe about the effect of one attempt at an effectful step."""
    if reply.outcome is Outcome.OK:
        return Effect.HAPPENED
    refused = reply.outcome is Outcome.HTTP_ERROR and reply.status in _REFUSALS
    if refused or reply.ended_by is EndedBy.NEVER_SENT:
        return Effect.ABSENT
    return Effect.UNKNOWN
