"""One agent's life: connect, perform each step when it is due, recover as the policy says, close.

The session records and never judges. Whatever ends it, every planned step is accounted for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import anyio
from pydantic_core import from_json, to_json

from faults.levers import Behaviour
from harness.clock import NS_PER_S, Clock
from harness.errors import SquallError
from harness.journal import ROWS_UNKNOWN, JournalWriter, SessionEntry, TokenEntry
from harness.outcome import Auth, Effect, EndedBy, Outcome, Reason
from harness.plan import Plan, PlannedSession, PlannedStep
from harness.scenario import results
from harness.scenario.records import Scenario
from harness.session.conduct import Conduct
from harness.session.credential import Credential
from harness.session.policy import UNAUTHORIZED, Next, backoff_s, decide, session_is_lost
from harness.session.record import Recorder, Who
from harness.session.steps import Step, inflate
from harness.wire.client import WireClient
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook

OPEN_AGAIN_NS = NS_PER_S // 2  # a session that could not open tries again no sooner than this
DEFAULT_LEEWAY_S = 1.0  # clock skew granted before a token counts as expired
CLOSE_S = 2.0  # how long a polite goodbye may take
PRELUDE_INDEX = 2**31  # preludes draw nonces from a range no planned step uses


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
    _reauthorized: int = 0
    _next: int = 0  # index of the first step of the group in hand
    _settled: set[int] = field(default_factory=set)  # of that group, those with a last entry

    def __post_init__(self) -> None:
        """Prepare what every step needs."""
        stage, planned = self.stage, self.planned
        self.client = stage.connect(planned)
        self.credential = stage.credential(planned)
        self.treated = planned.arm == "treated"
        self.who = Who(session=planned.session, treated=self.treated)
        self.steps = stage.steps[planned.agent]
        self.values = {
            "session": stage.plan.mark(planned.session),
            "agent": stage.scenario.agents[planned.agent].name,
        }
        self._mending = anyio.Lock()

    # --- the life ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Live until the plan ends; cancelled, account for the rest of the steps and go."""
        plan, clock = self.stage.plan, self.stage.clock
        try:
            await clock.sleep_until(self.planned.open_ns)
            await self._ensure_open()
            for group in plan.groups(self.planned.session):
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
        if self._open:
            return Reason.NONE
        async with self._mending:
            if self._open:
                return Reason.NONE
            now_ns = self.stage.clock.now_ns()
            if now_ns - self._tried_ns < OPEN_AGAIN_NS:
                await self.stage.clock.sleep_until(self._tried_ns + OPEN_AGAIN_NS)
            self._tried_ns = self.stage.clock.now_ns()
            if not await self._authorize():
                return Reason.NO_TOKEN
            return await self._handshake()

    async def _handshake(self) -> Reason:
        began_ns = self.stage.clock.now_ns()
        deadline_s = self.stage.scenario.client.deadline_s
        reply = await self.client.open(deadline_ns=self._deadline(deadline_s))
        if reply.status == UNAUTHORIZED and await self._renew(self._serial()):
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
        async with self._mending:
            if self.client.session_id != session_id:
                return self._open  # a parallel call has done it already
            self._entry("lost", why=_words(reply))
            self._open = False
            self.client.forget_session()
            return await self._handshake() is Reason.NONE

    # --- credentials ------------------------------------------------------------------------

    def _serial(self) -> int:
        return self.credential.serial if self.credential else 0

    async def _authorize(self) -> bool:
        """Have a token, where the target wants one."""
        credential = self.credential
        if credential is None or credential.token:
            self._reauthorized = self.stage.conduct.reauthorize_serial
            self._present()
            return True
        return await self._take(credential.obtain, "minted")

    async def _renew(self, serial: int) -> bool:
        """Replace token number `serial`; another call of this session may have done so already."""
        credential = self.credential
        if credential is None or not credential.renewable:
            return False
        if credential.serial != serial:
            return True
        return await self._take(credential.renew, "renewed")

    async def _take(self, obtain: Callable[[], Any], edge: Any) -> bool:
        credential = self.credential
        assert credential is not None
        now_ns = self.stage.clock.now_ns
        session = self.planned.session
        self._reauthorized = self.stage.conduct.reauthorize_serial
        try:
            await obtain()
        except SquallError as error:
            self.stage.writer.append(
                TokenEntry(at_ns=now_ns(), session=session, edge="failed", why=str(error)[:200])
            )
            return False
        self._present()
        self.stage.writer.append(
            TokenEntry(
                at_ns=now_ns(),
                session=session,
                edge=edge,
                expires_ns=credential.expires_ns,
                serial=credential.serial,
            )
        )
        return True

    def _present(self) -> None:
        if self.credential is not None:
            self.client.authorization = b"Bearer " + self.credential.token.encode()

    async def _refresh_when_due(self) -> None:
        """Do what the refresh policy asks for before a step."""
        credential = self.credential
        if credential is None:
            return
        conduct = self.stage.conduct
        if self.treated and self._reauthorized != conduct.reauthorize_serial:
            async with self._mending:
                if self._reauthorized != conduct.reauthorize_serial and credential.renewable:
                    await self._take(credential.renew, "renewed")
                self._reauthorized = conduct.reauthorize_serial
        if not credential.due(self.stage.clock.now_ns()):
            return
        if self.treated and self._sloppy():
            return
        async with self._mending:
            if credential.due(self.stage.clock.now_ns()):
                await self._renew(credential.serial)

    def _sloppy(self) -> bool:
        """Whether this session is one of those that use their token until it is refused."""
        overdue = self.stage.conduct.get("overdue_token")
        return overdue is not None and self._drawn(overdue, 0)

    def _auth(self, *, leeway: bool = True) -> tuple[Auth, str, int]:
        """Judge the credential at this moment: its state, and the behaviour and window behind.

        With `leeway`, it counts as invalid only once nobody may trust it any longer.
        """
        credential = self.credential
        if credential is None:
            return Auth.NONE_NEEDED, "", 0
        conduct, now_ns = self.stage.conduct, self.stage.clock.now_ns()
        overdue = conduct.get("overdue_token") if self.treated else None
        leeway_s = (overdue.after_s if overdue else DEFAULT_LEEWAY_S) if leeway else 0.0
        if 0 <= credential.expires_ns < now_ns - leeway_s * NS_PER_S:
            return (
                Auth.EXPIRED,
                "overdue_token" if overdue else "",
                overdue.window if overdue else 0,
            )
        revoked = conduct.get("revoked_token") if self.treated else None
        if revoked is not None and credential.minted_ns < conduct.since_ns("revoked_token"):
            grace_s = revoked.after_s if leeway else 0.0
            if now_ns > conduct.since_ns("revoked_token") + grace_s * NS_PER_S:
                return Auth.REVOKED, "revoked_token", revoked.window
        return Auth.VALID, "", 0

    def _after(self, reply: Reply, before: tuple[Auth, str, int]) -> tuple[Auth, str, int]:
        """Judge the credential again in the light of the reply.

        Within the leeway a server may accept a token that has just run out and may refuse it, and
        a refusal then is one of an invalid token.
        """
        if before[0] is not Auth.VALID or reply.outcome is Outcome.OK or not reply.status:
            return before
        strict = self._auth(leeway=False)
        return before if strict[0] is Auth.VALID else strict

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
        await self._refresh_when_due()
        if self.treated and self.stage.conduct.active:
            for behaviour in self.stage.conduct.preludes():
                if self._drawn(behaviour, planned.index):
                    await self._prelude(planned, step, behaviour, values)
        await self._attempts(planned, step, values)

    async def _attempts(self, planned: PlannedStep, step: Step, values: Mapping[str, Any]) -> None:
        client = self.client
        params = step.request(values)
        name = step.name if step.named is None else step.named.render_text(values)
        headers = self.stage.param_headers(step, params)
        attempt, renewed, reopened = 1, False, False
        while True:
            auth, behaviour, window = self._auth()
            losing = self._losing(planned) if attempt == 1 else None
            if losing is not None:
                behaviour, window = losing.kind, losing.window
            serial, session_id = self._serial(), client.session_id
            reply = await client.request(
                step.method,
                params,
                name=name,
                deadline_ns=self.stage.clock.now_ns() + step.deadline_ns,
                lose_reply=losing is not None,
                headers=headers,
            )
            auth, behaviour, window = self._after(reply, (auth, behaviour, window))
            rows = self._look_into(reply, step, values)
            follow = decide(
                reply,
                client=self.stage.scenario.client,
                attempt=attempt,
                renewed=renewed,
                reopened=reopened,
                can_renew=self.credential is not None and self.credential.renews_on_refusal(),
                has_session=bool(session_id),
            )
            if follow is Next.RENEW:
                async with self._mending:
                    renewed = await self._renew(serial)
                follow = Next.RETRY if renewed else Next.SETTLE
            elif follow is Next.REINITIALIZE:
                reopened = await self._reopen(reply, session_id)
                follow = Next.RETRY if reopened else Next.SETTLE
            elif follow is Next.RETRY:
                await anyio.sleep(backoff_s(self.stage.scenario.client, attempt))
            elif self._open and session_id and session_is_lost(reply):
                self._entry("lost", why=_words(reply))
            self.stage.recorder.attempt(
                self.who,
                index=planned.index,
                call=step.call,
                due_ns=planned.due_ns,
                reply=reply,
                attempt=attempt,
                last=follow is Next.SETTLE,
                effect=_effect(step, reply),
                auth=auth,
                rows=rows,
                behaviour=behaviour,
                window=window,
            )
            if follow is Next.SETTLE:
                self._settled.add(planned.index)
                return
            attempt += 1

    def _look_into(self, reply: Reply, step: Step, values: Mapping[str, Any]) -> int:
        """Hold the reply against the step's expectations; keep what later steps need."""
        result = reply.result
        if not isinstance(result, dict) or reply.outcome not in {Outcome.OK, Outcome.TOOL_ERROR}:
            return ROWS_UNKNOWN
        rows = results.rows(result) if step.counts_rows else ROWS_UNKNOWN
        if reply.outcome is Outcome.OK or step.expects_error:
            reason = step.expect(result, values)
            if reason is None:
                reply.outcome, reply.reason = Outcome.OK, Reason.NONE
            elif reply.outcome is Outcome.OK:
                reply.outcome, reply.reason = Outcome.WRONG, reason
        if step.keep is not None and reply.outcome is Outcome.OK:
            kept = step.keep(result)
            for name in step.keeps:
                self.kept.pop(name, None)
            self.kept |= kept
        return rows

    # --- misbehaviour -----------------------------------------------------------------------

    def _drawn(self, behaviour: Behaviour, index: int) -> bool:
        plan = self.stage.plan
        return plan.draw(behaviour.kind, self.planned.session, index) < behaviour.share

    def _losing(self, planned: PlannedStep) -> Behaviour | None:
        if not (self.treated and self.stage.conduct.active):
            return None
        losing = self.stage.conduct.get("lose_reply")
        return losing if losing is not None and self._drawn(losing, planned.index) else None

    async def _prelude(
        self, planned: PlannedStep, step: Step, behaviour: Behaviour, values: Mapping[str, Any]
    ) -> None:
        """Misbehave once, as attempt 0 of the call, under a nonce of its own."""
        nonce = self.stage.plan.nonce(self.planned.session, PRELUDE_INDEX + planned.index)
        values = {**values, "nonce": nonce}
        params: bytes | None = step.request(values)
        assert params is not None
        name, authorization, vanish_after_ns = step.name, None, None
        auth = self._auth()[0]
        match behaviour.kind:
            case "no_token":
                authorization, auth = b"", Auth.ABSENT
            case "damaged_token":
                if self.credential is None:
                    return
                authorization, auth = b"Bearer " + self.credential.damaged().encode(), Auth.DAMAGED
            case "payload_request":
                params = inflate(params, nonce, behaviour.size_bytes)
            case "payload_response":
                name = behaviour.tool
                arguments = {behaviour.argument: behaviour.size_bytes}
                params = to_json({"name": name, "arguments": arguments})
            case "vanish":
                vanish_after_ns = round(behaviour.after_s * NS_PER_S)
        if params is None:
            return
        method = "tools/call" if behaviour.kind == "payload_response" else step.method
        reply = await self.client.request(
            method,
            params,
            name=name,
            deadline_ns=self.stage.clock.now_ns() + step.deadline_ns,
            authorization=authorization,
            vanish_after_ns=vanish_after_ns,
        )
        rows = ROWS_UNKNOWN
        if behaviour.kind == "payload_request":
            rows = self._measure(reply, step, values)
        self.stage.recorder.attempt(
            self.who,
            index=planned.index,
            call=step.call,
            due_ns=planned.due_ns,
            reply=reply,
            attempt=0,
            last=False,
            auth=auth,
            rows=rows,
            behaviour=behaviour.kind,
            window=behaviour.window,
        )

    def _measure(self, reply: Reply, step: Step, values: Mapping[str, Any]) -> int:
        """Hold a prelude's reply against the expectations, and keep nothing of it."""
        if reply.outcome is not Outcome.OK or not isinstance(reply.result, dict):
            return ROWS_UNKNOWN
        reason = step.expect(reply.result, values)
        if reason is not None:
            reply.outcome, reply.reason = Outcome.WRONG, reason
        return results.rows(reply.result) if step.counts_rows else ROWS_UNKNOWN

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

    def _entry(self, edge: Any, *, why: str = "", took_ns: int = 0) -> None:
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


def _effect(step: Step, reply: Reply) -> Effect:
    """Say what the client may believe about the effect of one attempt."""
    if not step.effect:
        return Effect.NONE
    if reply.outcome is Outcome.OK:
        return Effect.HAPPENED
    if reply.outcome is Outcome.HTTP_ERROR and 400 <= reply.status < 500:  # noqa: PLR2004
        return Effect.ABSENT
    if reply.ended_by is EndedBy.NEVER_SENT:
        return Effect.ABSENT
    return Effect.UNKNOWN
