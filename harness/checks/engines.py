"""Do our client and the official one tell the same story of the same server?

Compared is the baseline, where nothing is broken. Under a fault the two are known to differ: one
broken connection ends the official client whole, with everything it had in flight; it starts no new
session after a 404, and it keeps a refusal's status to itself. That is shown, and not judged.
"""

from __future__ import annotations

from math import sqrt
from typing import Final

import numpy as np

from harness.evidence.phases import BASELINE, Evidence, Mask
from harness.evidence.witnesses import median_ms
from harness.scenario.units import counted
from harness.verdict import Ruling, Soundness

NAME: Final = "engines-agree"
CALLS_MIN: Final = 20
Z: Final = 3.29  # of a two-sided interval of 99.9 %: a run has many questions to be wrong in
ANSWERED_APART_MAX: Final = 0.05
# The official client's own work is a millisecond or two a call, more while it opens; and both share
# one event loop, where each waits for the other.
SLOWER_MAX_MS: Final = 50.0
SLOWER_RATIO_MAX: Final = 4.0


def engines_agree(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether either client was answered as often, as fully and about as fast as the other.

    Nothing where only ours was there. The interval is Wilson's for the official client's share.
    """
    theirs = evidence.witnessed
    if theirs is None:
        return ()
    calm = (evidence.phase == BASELINE) & evidence.counted
    seen = (theirs.phase == BASELINE) & theirs.counted
    count, total = int(seen.sum()), int(calm.sum())
    if count < CALLS_MIN or total < CALLS_MIN:
        return (
            _told(
                "unknown",
                f"{counted(count, 'calls')} of the official client, {CALLS_MIN} are needed",
            ),
        )
    share, own = float(theirs.ok[seen].mean()), float(evidence.ok[calm].mean())
    low, high = wilson(share, count)
    apart = abs(share - own)
    words = [f"answered {share:.1%} of {count} calls by the official client, {own:.1%} by ours"]
    doubts = []
    if apart > ANSWERED_APART_MAX and not low <= own <= high:
        doubts.append("one of the two is told of failures that the other does not see")
    doubts += _rows_apart(evidence, theirs, calm, seen)
    their_ms = median_ms(theirs, seen & theirs.ok)
    own_ms = median_ms(evidence, calm & evidence.ok)
    if their_ms is not None and own_ms is not None:
        words.append(f"p50 from sent {their_ms:.1f} and {own_ms:.1f} ms")
        if own_ms > their_ms + max(SLOWER_MAX_MS, (SLOWER_RATIO_MAX - 1) * their_ms):
            doubts.append("ours is slower than the official client")
        if their_ms > own_ms + max(SLOWER_MAX_MS, (SLOWER_RATIO_MAX - 1) * own_ms):
            doubts.append("ours is faster than can be explained")
    why = "; ".join([*doubts, *words])
    return (_told("fail" if doubts else "pass", why, apart),)


def _rows_apart(evidence: Evidence, theirs: Evidence, calm: Mask, seen: Mask) -> list[str]:
    """Name the calls whose results hold other numbers of rows for one client than for the other."""
    doubts = []
    for code, name in enumerate(evidence.plan.calls):
        own = evidence.settled["rows"][calm & evidence.ok & (evidence.settled["call"] == code)]
        beside = theirs.settled["rows"][seen & theirs.ok & (theirs.settled["call"] == code)]
        own, beside = own[own >= 0], beside[beside >= 0]
        if not len(own) or not len(beside):
            continue
        if beside.min() > own.max() or beside.max() < own.min():
            doubts.append(
                f"{name} gave {_span(beside)} rows to the official client, {_span(own)} to ours"
            )
    return doubts


def _span(values: np.ndarray[tuple[int], np.dtype[np.int32]]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low}" if low == high else f"{low} to {high}"


def wilson(share: float, count: int, z: float = Z) -> tuple[float, float]:
    """Give Wilson's score interval of a share seen in `count` trials (Wilson 1927)."""
    centre = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    half /= 1 + z * z / count
    return centre - half, centre + half


def _told(ruling: Ruling, why: str, apart: float | None = None) -> Soundness:
    return Soundness(
        name=NAME,
        ruling=ruling,
        why=why,
        observed=None if apart is None else round(apart, 4),
        limit=None if apart is None else ANSWERED_APART_MAX,
        unit="share",
    )
