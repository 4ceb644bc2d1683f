"""Which sessions lived through a stretch of the run, and what they had to give up for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness.phases import BASELINE, Evidence, Mask, Span, WindowSpan, recovery_code

Fate = Literal["kept", "reopened", "dead", "absent"]
CREDITS: Final[dict[Fate, float]] = {"kept": 1.0, "reopened": 0.5, "dead": 0.0, "absent": 0.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class Survival:
    """By session number: whether it was alive when the stretch began, and its credit after it."""

    alive: Mask
    credit: NDArray[np.float64]  # 1 same session, 0.5 had to initialise anew, 0 dead or hung

    def kept(self, among: Mask) -> int:
        """Count the sessions that came through as they were."""
        return int(np.count_nonzero(self.alive & among & (self.credit == CREDITS["kept"])))


def through_window(evidence: Evidence, window: WindowSpan) -> Survival:
    """Follow the sessions from a fault's start to the end of its recovery."""
    span = Span(start_ns=window.start_ns, end_ns=window.recovery_end_ns)
    after = evidence.phase == recovery_code(window.window)
    lived = through(evidence, span, after, known=evidence.settled["due_ns"] < window.start_ns)
    if window.fault.ends_sessions():
        arm = evidence.session_treated
        anew = np.flatnonzero(arm & (lived.credit[: len(arm)] == CREDITS["reopened"]))
        lived.credit[anew] = CREDITS["kept"]
    return lived


def through_baseline(evidence: Evidence) -> Survival:
    """Follow the sessions through the baseline."""
    calm = evidence.phase == BASELINE
    return through(evidence, evidence.phases.baseline, calm, known=calm)


def through(evidence: Evidence, span: Span, proof: Mask, *, known: Mask) -> Survival:
    """Follow the sessions through a stretch; `proof` selects the calls that show who lives.

    Where the protocol has no sessions to open or lose, an answered call among `known` shows that
    one was alive before, and one among `proof` that it still is.
    """
    count = evidence.session_count
    session = evidence.settled["session"]

    def tally(mask: Mask) -> NDArray[np.int64]:
        return np.bincount(session[mask], minlength=count)

    asked = tally(proof & evidence.counted)
    answered = tally(proof & evidence.ok)
    before = tally(known & evidence.ok)
    alive = np.zeros(count, dtype=np.bool_)
    credit = np.zeros(count)
    for number in range(count):
        fate = _fate(
            evidence, number, span, asked=int(asked[number]), answered=int(answered[number])
        )
        if fate is None:  # no edges: only calls can tell
            alive[number] = bool(before[number]) and bool(asked[number])
            credit[number] = 1.0 if answered[number] else 0.0
        else:
            alive[number] = fate != "absent"
            credit[number] = CREDITS[fate]
    return Survival(alive=alive, credit=credit)


def _fate(
    evidence: Evidence, session: int, span: Span, *, asked: int, answered: int
) -> Fate | None:
    """Read one session's edges; None when it has none."""
    edges = evidence.session_edges.get(session)
    if not edges:
        return None
    before = [entry.edge for entry in edges if entry.at_ns < span.start_ns]
    if not before or before[-1] not in ("opened", "reopened"):
        return "absent"
    inside = [entry.edge for entry in edges if span.start_ns <= entry.at_ns < span.end_ns]
    if (asked and not answered) or (inside and inside[-1] in ("lost", "failed")):
        return "dead"
    return "reopened" if "reopened" in inside or "lost" in inside else "kept"
