"""What a misbehaviour has at hand, and how an attempt that precedes the real call is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.journal import ROWS_UNKNOWN, Carried, ProbeEntry
from harness.outcome import Auth, Outcome
from harness.plan import PlannedSession, PlannedStep
from harness.scenario.marks import PRELUDE_INDEX, TURN_BITS
from harness.session.identity import Identity
from harness.session.record import Who
from harness.session.stage import Stage
from harness.session.steps import Step
from harness.wire.client import WireClient
from harness.wire.reply import Reply
from harness.wire.speaker import Speaker

TEXT_MAX: Final = 300  # of what a server said


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Whose session it is, and which call the misbehaviour precedes."""

    stage: Stage
    session: PlannedSession
    who: Who
    client: Speaker
    identity: Identity
    planned: PlannedStep
    step: Step
    values: Mapping[str, Any]  # what the real call's templates may name
    begin_again: Callable[[], Awaitable[None]]  # lets the session come back as a new one

    def drawn(self, behaviour: Behaviour) -> bool:
        """Tell whether this call is one of the share that misbehaves so."""
        drawn = self.stage.plan.draw(behaviour.kind, self.session.session, self.planned.index)
        return drawn < behaviour.share

    def calls_tool(self, name: str = "") -> bool:
        """Tell whether the step is a plain call of a tool, of this one where one is named."""
        step = self.step
        return step.method == "tools/call" and step.talk is None and name in ("", step.name)

    def own_values(self, turn: int = 0) -> dict[str, Any]:
        """Give the values for a request of its own: under a nonce that no planned call has.

        `turn` tells up to 16 requests of one act apart.
        """
        index = turn << TURN_BITS | PRELUDE_INDEX + self.planned.index
        return {**self.values, "nonce": self.stage.plan.nonce(self.session.session, index)}

    def deadline_ns(self, seconds: float | None = None) -> int:
        """Give the end of a wait that begins now; the step's own deadline by default."""
        wait_ns = self.step.deadline_ns if seconds is None else round(seconds * NS_PER_S)
        return self.stage.clock.now_ns() + wait_ns

    def record(
        self,
        behaviour: Behaviour,
        reply: Reply,
        *,
        auth: Auth | None = None,
        rows: int = ROWS_UNKNOWN,
    ) -> None:
        """Write an attempt 0 of the call; `auth` None is whatever the session's credential is."""
        self.stage.recorder.attempt(
            self.who,
            index=self.planned.index,
            call=self.step.call,
            due_ns=self.planned.due_ns,
            reply=reply,
            attempt=0,
            last=False,
            auth=self.identity.standing().auth if auth is None else auth,
            rows=rows,
            behaviour=behaviour.kind,
            window=behaviour.window,
        )

    def among(self, behaviour: Behaviour) -> bool:
        """Tell whether the session is one of the share that misbehaves so: at least one is."""
        drawn = self.stage.backstage.drawn
        key = f"{behaviour.kind}:{behaviour.share}"
        if key not in drawn:
            plan = self.stage.plan
            treated = [one.session for one in plan.sessions if one.arm == "treated"]
            treated.sort(key=lambda session: plan.draw(behaviour.kind, session, 0))
            drawn[key] = frozenset(treated[: max(1, round(behaviour.share * len(treated)))])
        return self.session.session in drawn[key]

    def another(self) -> WireClient | None:
        """Give a client of a session of its own, not yet open; None where only HTTP has one."""
        client = self.stage.connect(self.session)
        if not isinstance(client, WireClient):
            return None
        client.authorization = self.client.authorization
        client.inbox.rules = self.client.inbox.rules
        return client

    def beside(self, behaviour: Behaviour, act: Callable[[], Awaitable[None]]) -> None:
        """Let an act go on beside the session's own calls, unless one like it does already."""
        self.stage.backstage.begin(behaviour.kind, self.session.session, act)

    def tell(
        self,
        behaviour: Behaviour,
        reply: Reply,
        *,
        variant: str,
        sent: str = "",
        nonce: str = "",
        carried: Carried = "",
        text: str = "",
        reason: str = "",
    ) -> None:
        """Write down what a record of a call cannot say of a misbehaving request."""
        error = reply.error or {}
        code = error.get("code")
        self.stage.backstage.tell(
            self.stage.writer,
            ProbeEntry(
                at_ns=self.stage.clock.now_ns() if reply.done_ns < 0 else reply.done_ns,
                session=self.session.session,
                window=behaviour.window,
                kind=behaviour.kind,
                variant=variant,
                era=self.client.era,
                index=self.planned.index,
                tool=self.step.name,
                sent=sent,
                sent_ns=reply.sent_ns,
                status=reply.status,
                outcome=reply.outcome.name.lower(),
                reason=reason or reply.reason.name.lower(),
                code=code if isinstance(code, int) else None,
                is_error=reply.outcome is Outcome.TOOL_ERROR,
                challenge=reply.challenge[:TEXT_MAX],
                carried=carried,
                nonce=nonce,
                text=text[:TEXT_MAX],
            ),
        )
