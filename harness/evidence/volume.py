"""How many calls a plan has in the phases that are compared, before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Final

from harness.plan import NS_PER_S, Plan, PlannedSession

CALLS_MIN: Final = 29  # what bounds a p90, and so what the verdict asks of every phase


@dataclass(frozen=True, kw_only=True)
class Thin:
    """A phase with too few calls of an arm for anything to be said of it."""

    phase: str  # as the scenario names it: baseline, or recovery
    arm: str
    due: int  # calls that are due in it
    enough_s: float  # a length of it that would do; 0 where there are no calls at all


def thin(plan: Plan, least: int = CALLS_MIN) -> tuple[Thin, ...]:
    """Give the phases in which fewer than `least` calls are due, each once, with its worst arm."""
    found: dict[str, Thin] = {}
    for phase, arm, start_ns, end_ns in _compared(plan):
        sessions = [each for each in plan.sessions if each.arm == arm and not each.window]
        due = round(sum(_due(plan, each, start_ns, end_ns) for each in sessions))
        if not sessions or due >= least or (phase in found and found[phase].due <= due):
            continue
        enough_s = ceil((end_ns - start_ns) / NS_PER_S * least / due) if due else 0
        found[phase] = Thin(phase=phase, arm=arm, due=due, enough_s=float(enough_s))
    return tuple(found.values())


def _compared(plan: Plan) -> Iterator[tuple[str, str, int, int]]:
    for arm in ("treated", "control"):
        yield "baseline", arm, plan.baseline_start_ns, plan.baseline_end_ns
    for window in plan.windows:
        yield "recovery", "treated", window.end_ns, window.recovery_end_ns


def _due(plan: Plan, session: PlannedSession, start_ns: int, end_ns: int) -> float:
    """Count a session's calls between two moments; those that are due together on the average."""

    def before(moment_ns: int) -> int:
        return max(0, -((session.first_due_ns - min(moment_ns, session.end_ns)) // session.pace_ns))

    return (before(end_ns) - before(start_ns)) * plan.calls_a_turn(session)
