"""Every attempt of a run beside its plan: the views of a journal that know of no phases yet.

The numpy views are made once and shared. "Settled" names the last attempts: one row a logical
call.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.downstream import Downstream, lay
from harness.evidence.executions import Executions, match
from harness.journal import (
    Calls,
    DependencyEntry,
    EffectEntry,
    HealthEntry,
    Journal,
    SessionEntry,
    TargetEntry,
)
from harness.outcome import Auth, Effect, Outcome, Reason
from harness.plan import Plan, flat
from harness.scenario.records import Scenario

Mask = NDArray[np.bool_]
Indices = NDArray[np.intp]
Times = NDArray[np.int64]

UNFIT: Final = (
    Auth.EXPIRED,
    Auth.REVOKED,
    Auth.ABSENT,
    Auth.DAMAGED,
    Auth.MISDIRECTED,
    Auth.UNSUITED,
    Auth.SKEWED,
    Auth.WITHDRAWN,
)
EDGES: Final = ("opened", "reopened", "lost", "failed", "closed")
OPENED, REOPENED, LOST, FAILED, _ = range(len(EDGES))
GRACE_NS: Final = 5_000_000_000  # after the deadline, before a call is given up as a hang
_STARTING_NS: Final = 5_000_000_000  # that a program may take to start, however quick another was
_STARTING_TIMES: Final = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Edges:
    """What happened to sessions, a row each, by session and then in time order."""

    session: Times
    at_ns: Times
    edge: NDArray[np.uint8]  # index into `EDGES`


@dataclass(frozen=True, kw_only=True, eq=False)
class Attempts:
    """A journal and its plan. Columns are aligned with `settled` or, where said, with `calls`."""

    scenario: Scenario
    plan: Plan
    journal: Journal

    @property
    def calls(self) -> Calls:
        """Every attempt, sorted by (session, index, attempt)."""
        return self.journal.calls

    @cached_property
    def logical(self) -> Indices:
        """Where in `calls` the settling attempts are, one for each logical call."""
        return np.flatnonzero(self.calls["last"] == 1)

    @cached_property
    def settled(self) -> Calls:
        """The settling attempts themselves."""
        return self.calls if len(self.logical) == len(self.calls) else self.calls[self.logical]

    @cached_property
    def group(self) -> Indices:
        """For every attempt in `calls`, the number of its logical call, from 0."""
        calls = self.calls
        if not len(calls):
            return np.zeros(0, dtype=np.intp)
        session, index = calls["session"], calls["index"]
        fresh = (session[1:] != session[:-1]) | (index[1:] != index[:-1])
        return np.concatenate(([0], np.cumsum(fresh))).astype(np.intp)

    @cached_property
    def by_call_ns(self) -> Times:
        """By call of the plan: the longest deadline that a step gives it."""
        by_call_s = [0.0] * max(1, len(self.plan.calls))
        for agent, positions in zip(self.scenario.agents, self.plan.positions, strict=True):
            for step, call in zip(flat(agent), positions, strict=True):
                own_s = getattr(step, "deadline_s", None) or self.scenario.client.deadline_s
                by_call_s[call] = max(by_call_s[call], own_s)
        return (np.array(by_call_s) * 1e9).astype(np.int64)

    @cached_property
    def deadline_ns(self) -> Times:
        """How long each settled call was allowed to take."""
        return np.asarray(self.by_call_ns[self.settled["call"]])

    def _settling(self, attempts: Mask) -> Mask:
        """Mark the settled calls that have one of these attempts among their own."""
        marked = np.zeros(int(self.group[-1]) + 1 if len(self.group) else 0, dtype=np.bool_)
        marked[self.group[attempts]] = True
        return np.asarray(marked[self.group[self.logical]])

    @cached_property
    def prelude(self) -> Indices:
        """Where in `calls` the misbehaving attempts are that precede a real call."""
        return np.flatnonzero(self.calls["attempt"] == 0)

    @cached_property
    def session_count(self) -> int:
        """One more than the greatest session number in the plan or the calls."""
        seen = int(self.calls["session"].max()) + 1 if len(self.calls) else 0
        return max(seen, len(self.session_treated))

    @cached_property
    def session_treated(self) -> Mask:
        """By session number: whether it belongs to the treated arm."""
        arm = np.zeros(max((s.session for s in self.plan.sessions), default=-1) + 1, dtype=np.bool_)
        arm[[s.session for s in self.plan.sessions if s.arm == "treated"]] = True
        return arm

    @cached_property
    def session_edges(self) -> dict[int, tuple[SessionEntry, ...]]:
        """What happened to each session, in time order."""
        edges: dict[int, list[SessionEntry]] = {}
        for entry in self.journal.of(SessionEntry):
            edges.setdefault(entry.session, []).append(entry)
        return {session: tuple(entries) for session, entries in edges.items()}

    @cached_property
    def era(self) -> str:
        """The protocol era that the sessions spoke: legacy, modern, or both."""
        said = {entry.era for entry in self.journal.of(SessionEntry)}
        eras = said - {"", "auto"}  # those who never got in still ask which one it is
        return "both" if len(eras) > 1 else eras.pop() if eras else self.scenario.spoken_era

    @cached_property
    def edges(self) -> Edges:
        """The same in columns, by session and time."""
        entries = self.journal.of(SessionEntry)
        session = np.fromiter((e.session for e in entries), dtype=np.int64, count=len(entries))
        order = np.argsort(session, kind="stable")
        at_ns = np.fromiter((e.at_ns for e in entries), dtype=np.int64, count=len(entries))
        edge = np.array([EDGES.index(e.edge) for e in entries], dtype=np.uint8)
        return Edges(session=session[order], at_ns=at_ns[order], edge=edge[order])

    @cached_property
    def answered_ns(self) -> tuple[Times, Times]:
        """By session number: when its first answer was whole, and its last; -1 without any."""
        ok = self.calls[self.calls["outcome"] == Outcome.OK]
        first = np.full(self.session_count, np.iinfo(np.int64).max)
        last = np.full(self.session_count, -1, dtype=np.int64)
        np.minimum.at(first, ok["session"], ok["done_ns"])
        np.maximum.at(last, ok["session"], ok["done_ns"])
        return np.where(last < 0, -1, first), last

    @cached_property
    def begun(self) -> tuple[Indices, Times]:
        """Where in `calls` the last attempts are that the run let start, by when due; and when."""
        started = self.logical[self.settled["reason"] != Reason.RUN_ENDED]
        due_ns = self.calls["due_ns"][started]
        order = np.argsort(due_ns, kind="stable")
        return started[order], due_ns[order]

    @cached_property
    def acted(self) -> Times:
        """By window number: how many attempts misbehaved for it."""
        return np.bincount(self.calls["window"], minlength=256)

    @cached_property
    def waits(self) -> NDArray[np.float64]:
        """When, and what share of its time a process of the generator ran and waited to run."""
        told = [
            (entry.at_ns, entry.cpu_share, entry.run_delay_share)
            for entry in self.journal.of(HealthEntry)
            if entry.run_delay_share is not None
        ]
        return np.array(told, dtype=np.float64).reshape(-1, 3)

    @cached_property
    def declared(self) -> Indices:
        """Where in `calls` the settling attempts of the calls are that should take effect once."""
        return np.asarray(self.logical[self.settled["effect"] != Effect.NONE])

    @cached_property
    def executions(self) -> Executions:
        """How often each of those took effect, by the ledger."""
        return match(
            map(attrgetter("key"), self.journal.of(EffectEntry)),
            marks=self.plan.marks,
            session=self.calls["session"][self.declared],
            index=self.calls["index"][self.declared],
        )

    @cached_property
    def downstream(self) -> Downstream:
        """What the calls made the target ask of its dependencies; empty where none was watched."""
        return lay(
            self.journal.of(DependencyEntry),
            marks=self.plan.marks,
            session=self.settled["session"],
            index=self.settled["index"],
        )

    # --- of every attempt -------------------------------------------------------------------

    @cached_property
    def attempted(self) -> Mask:
        """Whether each attempt was made, with or without a connection to send it on."""
        return np.asarray(self.calls["outcome"] != Outcome.UNSENT)

    @cached_property
    def fit(self) -> Mask:
        """Whether each attempt presented a credential that is good, or needed none."""
        return ~np.isin(self.calls["auth"], UNFIT)

    @cached_property
    def began_ns(self) -> Times:
        """When each attempt was sent; where nothing could be sent, when it was due."""
        calls = self.calls
        return np.where(calls["sent_ns"] >= 0, calls["sent_ns"], calls["due_ns"])

    @cached_property
    def ended_ns(self) -> Times:
        """When each attempt ended: with its reply, or at the latest when waiting for one did.

        Only a reply leaves a stamp. Without one the wait may have lasted to the deadline, and a
        hang or a timeout to the end of the grace after it.
        """
        calls = self.calls
        allowed_ns = np.full(
            len(self.plan.calls), self.scenario.client.deadline_s * 1e9, dtype=np.int64
        )
        seen = np.unique(self.settled["call"])
        allowed_ns[seen] = np.maximum(allowed_ns[seen], self.by_call_ns[seen])
        wait_ns = allowed_ns[calls["call"]]
        wait_ns[np.isin(calls["outcome"], (Outcome.HANG, Outcome.TIMEOUT))] += GRACE_NS
        wait_ns[calls["sent_ns"] < 0] = 0
        return np.where(calls["done_ns"] >= 0, calls["done_ns"], self.began_ns + wait_ns)


def tried_until_ns(calls: Calls, ended_ns: Times) -> Times:
    """Give until when each call was tried, at least: its end, and -1 where nobody can say.

    A session makes its calls one after another, so one that found no connection was tried no
    sooner than those before it had ended: the fault of that time kept it, not that of its due time.
    """
    sent = calls["sent_ns"] >= 0
    places = np.arange(len(calls))
    before = np.maximum.accumulate(np.where(sent, places, -1))
    mine = (before >= 0) & (calls["session"][before] == calls["session"])
    unconnected = ~sent & mine & (calls["outcome"] == Outcome.TRANSPORT_ERROR)
    return np.where(sent, ended_ns, np.where(unconnected, ended_ns[before], -1))


def ready_again_ns(journal: Journal) -> dict[int, int]:
    """Give, by window, when a target that was started again first answered.

    One that took so long that the next fault had come is no sooner ready for either. One that is
    still starting at the end has five seconds, and three times what another start has taken.
    """
    turns = journal.of(TargetEntry)
    began = {turn.pid: turn for turn in turns if turn.edge == "started"}
    ready = [turn for turn in turns if turn.edge == "ready"]
    late = {began.get(turn.pid, turn).window: turn.at_ns for turn in ready}
    took_ns = [turn.at_ns - began[turn.pid].at_ns for turn in ready if turn.pid in began]
    given_ns = max(_STARTING_NS, _STARTING_TIMES * max(took_ns, default=0))
    starting = began.keys() - {turn.pid for turn in turns if turn.edge in ("ready", "ended")}
    due = {began[pid].window: began[pid].at_ns + given_ns for pid in starting}
    return {turn.window: turn.at_ns for turn in ready} | late | due
