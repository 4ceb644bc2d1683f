"""One agent's life: connect, perform each step when it is due, recover as the policy says, close.

The session records and never judges. Whatever ends it, every planned step is accounted for.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any, Final

import anyio

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.journal import ROWS_UNKNOWN, SessionEdge, SessionEntry
from harness.outcome import Effect, EndedBy, Outcome, Reason
from harness.plan import PlannedSession, PlannedStep
from harness.session.attempts import Asked, Mend
from harness.session.identity import GOOD, OPEN_TARGET, Identity
from harness.session.mischief.acts import before
from harness.session.mischief.scene import Scene
from harness.session.policy import (
    Next,
    backoff_s,
    believed_effect,
    decide,
    session_is_lost,
    words,
)
from harness.session.record import Who
from harness.session.stage import Stage
from harness.session.steps import Step, measure
from harness.session.talker import Talker
from harness.session.turn import Turn
from harness.wire.reply import Reply

OPEN_AGAIN_NS: Final = NS_PER_S // 2  # a session that could not open waits this long
CLOSE_S: Final = 2.0  # how long a polite goodbye may take
# Bound once: looking a member up on its class costs more than comparing it.
_OK, _SETTLE, _NO_EFFECT, _MORE = Outcome.OK, Next.SETTLE, Effect.NONE, Reason.RESULT_TYPE


class Session:
    """One session of the plan; `run` is its whole life."""

    __slots__ = (
        "_group", "_groups", "_open", "_opening", "_tried_ns", "_was_open", "client",
        "conducted", "identity", "planned", "stage", "steps", "talker", "values", "who",
    )  # fmt: skip

    def __init__(self, *, stage: Stage, planned: PlannedSession) -> None:
        """Prepare what every step needs."""
        self.stage, self.planned = stage, planned
        self._open = self._was_open = False
        self._tried_ns = -OPEN_AGAIN_NS
        self._opening = Turn()
        self._group: tuple[PlannedStep, ...] = ()  # in hand: due together
        self.client = stage.connect(planned)
        treated = planned.arm == "treated"
        self.who = Who(session=planned.session, treated=treated)
        # The official client does not misbehave on purpose.
        self.conducted = treated and planned.engine == "wire"
        self.steps = stage.steps[planned.agent]
        if stage.inspector is not None:
            self.steps = stage.inspector.equip(self.steps, planned)
        # What templates may name, kept included.
        self.values: dict[str, Any] = {
            "session": stage.plan.mark(planned.session),
            "agent": stage.scenario.agents[planned.agent].name,
        }
        self.talker = Talker(stage, self.who, self.client, self.values)
        if planned.engine == "wire":
            self.steps = self.talker.watch_lists(self.steps)
        self.identity = Identity(
            credential=stage.credential(planned),
            planned=planned,
            plan=stage.plan,
            conduct=stage.conduct,
            clock=stage.clock,
            writer=stage.writer,
            present=self._present,
        )
        self._groups = stage.plan.groups(planned.session)

    def _present(self, token: str) -> None:
        self.client.authorization = b"Bearer " + token.encode()

    async def run(self) -> None:
        """Live until the plan ends; cancelled, account for the rest of the steps and go."""
        clock = self.stage.clock
        try:
            await clock.sleep_until(self.planned.open_ns)
            await self._ensure_open()
            now_ns, perform = clock.now_ns, self._perform
            for group in self._groups:
                self._group = group
                first = group[0]
                if first.due_ns > now_ns():  # a late session has no time to yield
                    await clock.sleep_until(first.due_ns)
                if self.talker.changed:
                    await self.talker.follow_changes()
                if len(group) == 1:
                    await perform(first)
                else:
                    async with anyio.create_task_group() as together:
                        for planned in group:
                            together.start_soon(self._perform, planned)
                self._group = ()
            await clock.sleep_until(self.planned.end_ns)
        finally:
            with anyio.CancelScope(shield=True):
                self._account_for_the_rest()
                await self._close()

    def _account_for_the_rest(self) -> None:
        """Give their last entries to what is left of the group in hand and to all after it."""
        for planned in chain(self._group, chain.from_iterable(self._groups)):
            if not planned.settled:
                self._unsent(planned, Reason.RUN_ENDED)

    async def _close(self) -> None:
        if self._open:
            with anyio.move_on_after(CLOSE_S):
                await self.client.close(deadline_ns=self._deadline(CLOSE_S))
            self._entry("closed")
        self.client.drop_connections()

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
        if await self.identity.mend(reply, self.identity.serial):
            reply = await self.client.open(deadline_ns=self._deadline(deadline_s))
        took_ns = self.stage.clock.now_ns() - began_ns
        if reply.outcome is not Outcome.OK:
            self._entry("failed", why=words(reply), took_ns=took_ns)
            return Reason.SESSION_DEAD
        self._open = True
        self._entry("reopened" if self._was_open else "opened", took_ns=took_ns)
        await self.talker.renew(reply, self._deadline(deadline_s))
        self._was_open = True
        return Reason.NONE

    async def _reopen(self, reply: Reply, session_id: str) -> bool:
        """Start a new session after the server forgot ours; the id tells which one was lost."""
        async with self._opening:
            if self.client.session_id != session_id:
                return self._open  # a parallel call has done it already
            self._lose(reply)
            return await self._handshake() is Reason.NONE

    async def begin_again(self) -> None:
        """Come back as an agent does that was cut off with all others: in a new session."""
        async with self._opening:
            if not self._open:
                return  # whatever is due next opens one
            self._entry("lost", why="cut off with all others")
            self._open = False
            self._tried_ns = self.stage.clock.now_ns()
            await self._handshake()

    def _lose(self, reply: Reply) -> None:
        self._entry("lost", why=words(reply))
        self._open = False

    async def _perform(self, planned: PlannedStep) -> None:
        """Perform one step: its preludes, its attempts, and exactly one last entry."""
        stage, step, identity = self.stage, self.steps[planned.position], self.identity
        if not self._open:
            reason = await self._ensure_open()
            if reason is not Reason.NONE:
                self._unsent(planned, reason)
                return
        if step.kept_needs and not step.kept_needs <= self.values.keys():
            self._unsent(planned, Reason.VALUE_MISSING)
            return
        if identity.needed and identity.wants_renewal():
            await identity.renew(identity.serial)
        values = self.values.copy()
        values["nonce"], values["index"] = planned.nonce, planned.index
        losing: Behaviour | None = None
        if self.conducted and stage.conduct.active:
            losing = await before(self._scene(planned, step, values))
        params = step.params.render_json(values)
        name = step.name if step.named is None else step.named.render_text(values)
        client = self.client
        standing = identity.standing() if identity.needed else OPEN_TARGET
        serial, session_id = identity.serial if identity.needed else 0, client.session_id
        sent_ns = stage.clock.now_ns()
        try:
            if step.talk is not None:
                reply = await self.talker.ask(step, values, lose_reply=losing is not None)
            else:
                reply = await client.request(
                    step.method,
                    params,
                    name=name,
                    deadline_ns=sent_ns + step.deadline_ns,
                    lose_reply=losing is not None,
                )
                if reply.reason is _MORE:
                    reply = await self.talker.finish(reply, step, params, name)
        except anyio.get_cancelled_exc_class():
            self._cut_off(planned, step, attempt=1, sent_ns=sent_ns)
            raise
        rows = self._look_into(reply, step, values)
        # An answer under a token that nobody may trust is recorded with what is behind it.
        if reply.outcome is _OK and (standing is OPEN_TARGET or standing is GOOD):
            effect = Effect.HAPPENED if step.effect else _NO_EFFECT
            stage.recorder.success(self.who, planned, step.call, reply, rows, effect, standing.auth)
            planned.settled = True
            return
        first = Asked(reply=reply, rows=rows, standing=standing, losing=losing)
        await self._go_on(planned, step, values, first, Mend(serial, session_id))

    async def _go_on(
        self,
        planned: PlannedStep,
        step: Step,
        values: dict[str, Any],
        asked: Asked,
        mend: Mend,
    ) -> None:
        """Record an attempt that did not go well, and ask again as long as the policy says so."""
        identity, attempt = self.identity, 1
        while True:
            standing = identity.standing_after(asked.reply, asked.standing)
            identity.hush(asked.reply)
            follow = _SETTLE
            try:
                if asked.reply.outcome is not _OK:
                    follow = await self._follow(asked.reply, attempt, mend)
            finally:  # cut short while it waits, this attempt is the last one
                losing = asked.losing
                self.stage.recorder.attempt(
                    self.who,
                    index=planned.index,
                    call=step.call,
                    due_ns=planned.due_ns,
                    reply=asked.reply,
                    attempt=attempt,
                    last=follow is _SETTLE,
                    effect=believed_effect(asked.reply) if step.effect else _NO_EFFECT,
                    auth=standing.auth,
                    rows=asked.rows,
                    behaviour=losing.kind if losing else standing.behaviour,
                    window=losing.window if losing else standing.window,
                )
                if follow is _SETTLE:
                    planned.settled = True
            if follow is _SETTLE:
                return
            attempt += 1
            mend.serial, mend.session_id = identity.serial, self.client.session_id
            sent_ns = self.stage.clock.now_ns()
            try:
                asked = await self._ask_again(step, values, attempt)
            except anyio.get_cancelled_exc_class():
                self._cut_off(planned, step, attempt=attempt, sent_ns=sent_ns)
                raise

    def _cut_off(self, planned: PlannedStep, step: Step, *, attempt: int, sent_ns: int) -> None:
        """Settle a call that the run's end cuts off: only the ledger knows what became of it."""
        reply = Reply(Outcome.ABANDONED, Reason.RUN_ENDED, ended_by=EndedBy.RUN_END)
        reply.sent_ns, reply.done_ns = sent_ns, self.stage.clock.now_ns()
        self.stage.recorder.attempt(
            self.who,
            index=planned.index,
            call=step.call,
            due_ns=planned.due_ns,
            reply=reply,
            attempt=attempt,
            last=True,
            effect=Effect.UNKNOWN if step.effect else _NO_EFFECT,
            auth=self.identity.standing().auth,
        )
        planned.settled = True

    async def _ask_again(self, step: Step, values: dict[str, Any], attempt: int) -> Asked:
        standing = self.identity.standing()
        reply = await self.talker.ask(step, values, attempt=attempt)
        rows = self._look_into(reply, step, values)
        return Asked(reply=reply, rows=rows, standing=standing, losing=None)

    async def _follow(self, reply: Reply, attempt: int, mend: Mend) -> Next:
        """Do what the policy says after a reply that was not what was asked for."""
        policy = self.stage.scenario.client
        if self._open and reply.reason is Reason.PROCESS_DIED and mend.is_of(self.client):
            self._lose(reply)  # another is started for the next attempt or call
        follow = decide(
            reply,
            client=policy,
            attempt=attempt,
            renewed=Next.RENEW in mend.done,
            reopened=Next.REINITIALIZE in mend.done,
            can_renew=self.identity.renews_on_refusal(),
            can_widen=self.identity.can_widen(reply, mend.serial),
            has_session=bool(mend.session_id),
        )
        mend.done.add(follow)
        match follow:
            case Next.RENEW | Next.WIDEN:
                return Next.RETRY if await self.identity.mend(reply, mend.serial) else Next.SETTLE
            case Next.REINITIALIZE:
                return Next.RETRY if await self._reopen(reply, mend.session_id) else Next.SETTLE
            case Next.RETRY:
                wait_ns = round(backoff_s(policy, attempt) * NS_PER_S)
                await self.stage.clock.sleep_until(self.stage.clock.now_ns() + wait_ns)
                if not self._open and await self._ensure_open() is not Reason.NONE:
                    return Next.SETTLE
            case Next.SETTLE if self._open and mend.session_id and session_is_lost(reply):
                self._entry("lost", why=words(reply))
        return follow

    def _look_into(self, reply: Reply, step: Step, values: Mapping[str, Any]) -> int:
        """Hold the reply against the step's expectations; keep what later steps need."""
        result = reply.result
        if not isinstance(result, dict):
            return ROWS_UNKNOWN
        rows = measure(reply, step, values)
        if step.keep is not None and reply.outcome is _OK:
            kept = step.keep(result)
            for name in step.keeps:
                self.values.pop(name, None)
            self.values |= kept
        return rows

    def _scene(self, planned: PlannedStep, step: Step, values: Mapping[str, Any]) -> Scene:
        return Scene(
            stage=self.stage,
            session=self.planned,
            who=self.who,
            client=self.client,
            identity=self.identity,
            planned=planned,
            step=step,
            values=values,
            begin_again=self.begin_again,
        )

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
        planned.settled = True

    def _entry(self, edge: SessionEdge, *, why: str = "", took_ns: int = 0) -> None:
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
