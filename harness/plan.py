"""Scenario -> Plan: everything that will be asked, of whom and when, before anything is asked.

Pure and seeded. A session's steps are computed on demand from (seed, session, index) alone, in
integer arithmetic and a fixed hash, so a plan costs no memory per step, every worker derives the
same one, and the same seed gives the same bytes on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Arm = Literal["control", "treated"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStep:
    """One step of one session, due at a moment of the run."""

    session: int
    index: int  # 0, 1, 2, ... within the session; (session, index) names the logical call
    position: int  # which of the agent's flattened steps it is, see `Plan.calls`
    due_ns: int
    nonce: str  # 16 hexadecimal digits, unique in the run


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedSession:
    """One session: who it is, which arm it belongs to, when it opens and when its steps are due."""

    session: int
    agent: int  # index into the scenario's agents
    arm: Arm
    open_ns: int  # when it connects
    first_due_ns: int  # its first step; later ones follow every pace_ns
    pace_ns: int
    end_ns: int  # no step is due at or after this


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedWindow:
    """One fault window as planned; what really happened stands in the journal."""

    window: int  # 1, 2, ... ; 0 means none
    start_ns: int
    end_ns: int
    recovery_end_ns: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The whole run, planned."""

    seed: int
    sessions: tuple[PlannedSession, ...]
    windows: tuple[PlannedWindow, ...]
    ramp_end_ns: int
    baseline_start_ns: int
    baseline_end_ns: int
    end_ns: int
    # every distinct call of the scenario in file order, as shown in reports: "search", "tools/list"
    calls: tuple[str, ...]

    def steps(self, session: int) -> Iterator[PlannedStep]:
        """Yield a session's steps in the order they are due."""
        raise NotImplementedError

    def nonce(self, session: int, index: int) -> str:
        """Give the nonce of one logical call."""
        raise NotImplementedError

    def draw(self, purpose: str, session: int, index: int) -> float:
        """Give a reproducible number in [0, 1) for a decision about one call."""
        raise NotImplementedError
