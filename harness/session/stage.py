"""What all sessions of one process share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from harness.clock import Clock
from harness.journal import JournalWriter
from harness.plan import Plan, PlannedSession, PlannedWindow
from harness.scenario.records import Scenario
from harness.session.backstage import Backstage
from harness.session.conduct import Conduct
from harness.session.credential import Credential
from harness.session.inspection import Inspector
from harness.session.lists import Lists
from harness.session.record import Recorder
from harness.session.steps import Step
from harness.wire.answering import NO_RULES, Rules
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Speaker


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
    connect: Callable[[PlannedSession], Speaker]
    credential: Callable[[PlannedSession], Credential | None]
    rules: Rules = NO_RULES  # what the sessions answer when the server asks
    said: Counter[str] = field(default_factory=Counter)  # by servers unasked, since the last look
    inspector: Inspector | None = None  # None: nobody looks into answers
    lists: Lists | None = None  # None: nobody looks at what is offered
    backstage: Backstage = field(default_factory=Backstage)
    schemas: SchemaBook = field(default_factory=SchemaBook)  # what the target's tools take and give
    made_up: Callable[[int], PlannedWindow] | None = None  # windows that no plan has

    def window(self, number: int) -> PlannedWindow:
        """Give a fault window by its number, of the plan or made up since."""
        return self.plan.windows[number - 1] if self.made_up is None else self.made_up(number)
