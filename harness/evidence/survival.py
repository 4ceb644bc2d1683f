"""Which sessions lived through a stretch of the run, and what they had to give up for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness.evidence.attempts import FAILED, LOST, OPENED, REOPENED, Edges
from harness.evidence.phases import BASELINE, Evidence, Mask, Span, WindowSpan, recovery_code

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
    told, begun, fell, anew = _followed(evidence.edges, span, count)
    dead = fell | ((asked > 0) & (answered == 0))
    credit = np.where(dead, CREDITS["dead"], np.where(anew, CREDITS["reopened"], CREDITS["kept"]))
    credit = np.where(begun, credit, CREDITS["absent"])
    return Survival(
        alive=np.where(told, begun, (before > 0) & (asked > 0)),  # without edges calls must tell
        credit=np.where(told, credit, np.where(answered > 0, 1.0, 0.0)),
    )


def _followed(edges: Edges, span: Span, count: int) -> tuple[Mask, Mask, Mask, Mask]:
    """Follow the sessions' edges through a stretch.

    Gives which sessions have any, which were alive when it began, which had a loss for their last
    word in it, and which had to start anew.
    """
    of = edges.session[edges.session < count]
    if not len(of):
        none = np.zeros(count, dtype=np.bool_)
        return none, none, none, none
    at_ns, edge = edges.at_ns[: len(of)], edges.edge[: len(of)]
    inside = (at_ns >= span.start_ns) & (at_ns < span.end_ns)

    def number(mask: Mask) -> NDArray[np.int64]:
        return np.bincount(of[mask], minlength=count)

    total = number(np.ones(len(of), dtype=np.bool_))
    early, within = number(at_ns < span.start_ns), number(inside)
    first = np.minimum(np.cumsum(total) - total, len(of) - 1)
    last_early = edge[np.maximum(first + early - 1, 0)]
    last_within = edge[np.maximum(first + early + within - 1, 0)]
    return (
        total > 0,
        (early > 0) & np.isin(last_early, (OPENED, REOPENED)),
        (within > 0) & np.isin(last_within, (LOST, FAILED)),
        number(inside & np.isin(edge, (REOPENED, LOST))) > 0,
    )
