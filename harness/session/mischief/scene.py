"""What a misbehaviour has at hand, and how an attempt that precedes the real call is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.journal import ROWS_UNKNOWN
from harness.outcome import Auth
from harness.plan import PlannedSession, PlannedStep
from harness.scenario.marks import PRELUDE_INDEX
from harness.session.identity import Identity
from harness.session.record import Who
from harness.session.stage import Stage
from harness.session.steps import Step
from harness.wire.reply import Reply
from harness.wire.speaker import Speaker


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

    def drawn(self, behaviour: Behaviour) -> bool:
        """Tell whether this call is one of the share that misbehaves so."""
        drawn = self.stage.plan.draw(behaviour.kind, self.session.session, self.planned.index)
        return drawn < behaviour.share

    def own_values(self) -> dict[str, Any]:
        """Give the values for a request of its own: under a nonce that no planned call has."""
        index = PRELUDE_INDEX + self.planned.index
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
