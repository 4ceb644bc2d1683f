"""What a session carries from one attempt at a call to the next."""

from __future__ import annotations

from dataclasses import dataclass, field

from faults.levers import Behaviour
from harness.session.identity import Standing
from harness.session.policy import Next
from harness.wire.reply import Reply
from harness.wire.speaker import Speaker


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One attempt as it ended."""

    reply: Reply
    rows: int
    standing: Standing
    losing: Behaviour | None


@dataclass(slots=True)
class Mend:
    """What a call's attempts have done to get through, and under which token and session."""

    serial: int
    session_id: str
    done: set[Next] = field(default_factory=set)

    def is_of(self, client: Speaker) -> bool:
        """Whether the attempt in hand was made in the session that the client has now."""
        return self.session_id == client.session_id
