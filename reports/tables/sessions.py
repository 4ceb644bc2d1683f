"""The table of sessions: who each was, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.journal import SessionEdge, SessionEntry
from harness.outcome import Outcome
from harness.plan import PlannedSession
from reports.tables.table import Cells, Column, Of, Run, Table, plain


@dataclass(frozen=True, kw_only=True)
class _Session:
    """A session as planned, and what the journal tells of it."""

    planned: PlannedSession
    agent: str
    told: tuple[SessionEntry, ...]

    def of(self, edge: SessionEdge) -> list[SessionEntry]:
        """Its entries of one kind, in time order."""
        return [entry for entry in self.told if entry.edge == edge]

    def first_s(self, edge: SessionEdge) -> float | None:
        """When the first of them was written."""
        return next((entry.at_ns / 1e9 for entry in self.of(edge)), None)

    def last(self, say: Callable[[SessionEntry], str]) -> str:
        """The last word of its entries on something, of those that have one."""
        return next((word for word in map(say, reversed(self.told)) if word), "")


def _sessions(run: Run) -> list[_Session]:
    evidence = run.evidence
    return [
        _Session(
            planned=one,
            agent=evidence.scenario.agents[one.agent].name,
            told=evidence.session_edges.get(one.session, ()),
        )
        for one in (*evidence.plan.sessions, *evidence.plan.witnesses)
    ]


def _calls(run: Run, among: Callable[[NDArray[Any]], NDArray[np.bool_]]) -> Cells:
    settled = run.evidence.settled
    numbers = [one.planned.session for one in _sessions(run)]
    found = np.bincount(settled["session"][among(settled)], minlength=max(numbers, default=-1) + 1)
    return plain(found[numbers])


_OF: Final = Of(_sessions)
TABLE: Final = Table(
    name="sessions",
    row="one session",
    columns=(
        _OF.count("session", "its number", lambda one: one.planned.session),
        _OF.text("agent", "which of the scenario's agents it is", lambda one: one.agent),
        _OF.text("arm", "control or treated", lambda one: one.planned.arm),
        _OF.text("engine", "wire, or sdk for the official client", lambda one: one.planned.engine),
        _OF.count(
            "window",
            "number of the fault whose load it is part of; 0 for the usual load",
            lambda one: one.planned.window,
        ),
        _OF.text(
            "era",
            "of the protocol; empty if it never opened",
            lambda one: one.last(lambda entry: entry.era),
        ),
        _OF.text(
            "protocol", "the revision it spoke", lambda one: one.last(lambda entry: entry.protocol)
        ),
        _OF.number(
            "planned_s",
            "when it was to connect, in seconds since the run began",
            lambda one: one.planned.open_ns / 1e9,
        ),
        _OF.number(
            "opened_s", "when it had; missing if it never did", lambda one: one.first_s("opened")
        ),
        _OF.number(
            "closed_s",
            "when it was closed; missing if it never was",
            lambda one: one.first_s("closed"),
        ),
        _OF.count(
            "reopened", "how often it had to begin anew", lambda one: len(one.of("reopened"))
        ),
        _OF.count("lost", "how often it was lost", lambda one: len(one.of("lost"))),
        _OF.count("failed", "how often it could not be opened", lambda one: len(one.of("failed"))),
        Column(
            name="calls",
            meaning="its calls, each counted once",
            cells=lambda run: _calls(run, lambda found: np.ones(len(found), dtype=np.bool_)),
        ),
        Column(
            name="ok",
            meaning="of them, those that were answered, and truly",
            cells=lambda run: _calls(run, lambda found: np.asarray(found["outcome"] == Outcome.OK)),
        ),
        _OF.text(
            "why",
            "the last reason for a loss or a failure",
            lambda one: one.last(lambda entry: entry.why),
        ),
    ),
)
