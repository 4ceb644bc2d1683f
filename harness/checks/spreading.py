"""Did the bad calls of some sessions break those of others, whom no fault has touched?

A misbehaviour of the treated sessions is a fault of theirs alone. Where untouched sessions' calls
go wrong while it lasts, and did not before, at a share well beyond what is usual, that has spread.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.machine import busier
from harness.evidence.phases import Evidence, Mask, Span, WindowSpan

CALLS_MIN: Final = 20  # of untouched sessions, before any fault and under this one
BAD_MIN: Final = 5
SESSIONS_MIN: Final = 2
SHARE_MIN: Final = 0.02
BEYOND: Final = 5.0  # times the share before, and that with one more bad call
AFTER: Final = 2.0  # times the share after it, where nobody misbehaves

Windows = NDArray[np.int16]


def suspects(evidence: Evidence) -> tuple[WindowSpan, ...]:
    """Give the windows in which treated sessions misbehave and nothing strikes the others."""
    return tuple(
        window
        for window in evidence.injected
        if window.fault.lever == "agent" and window.arm == "treated"
    )


def calm(evidence: Evidence, judged: Mask) -> Mask:
    """Tell which of the judged attempts are untouched sessions', and over before any fault."""
    first_ns = min((window.start_ns for window in evidence.injected), default=0)
    return np.asarray(judged & (evidence.calls["treated"] == 0) & (evidence.ended_ns < first_ns))


def spread(evidence: Evidence, *, judged: Mask, bad: Mask, windows: Windows) -> Windows:
    """Give `windows` with those untouched attempts put under a fault to whom it has spread.

    `windows` says under which window each attempt stands; who stands under one stays there. The
    share that is demanded grows with how much busier the machine was.
    """
    suspected = suspects(evidence)
    free = (evidence.calls["treated"] == 0) & (windows == 0)
    if not suspected or not (bad & free).any():
        return windows
    before = calm(evidence, judged)
    if int(before.sum()) < CALLS_MIN:
        return windows
    usual = (float((bad & before).sum()) + 1) / (float(before.sum()) + 1)
    under = {window.window: _meets(evidence, window) for window in suspected}
    elsewhere = judged & free & ~np.logical_or.reduce(list(under.values()))
    found = windows.copy()
    for window in suspected:
        here = judged & free & under[window.window] & (found == 0)
        hit = here & bad
        count = int(hit.sum())
        if int(here.sum()) < CALLS_MIN or count < BAD_MIN:
            continue
        if len(np.unique(evidence.calls["session"][hit])) < SESSIONS_MIN:
            continue
        after = elsewhere & (evidence.began_ns >= window.healed_ns)
        rest = float(bad[after].mean()) if after.any() else 0.0
        span = Span(start_ns=window.start_ns, end_ns=window.healed_ns)
        least = max(SHARE_MIN, BEYOND * busier(evidence, span) * usual, AFTER * rest)
        if count / int(here.sum()) >= least:
            found[here] = window.window
    return found


def _meets(evidence: Evidence, window: WindowSpan) -> Mask:
    return np.asarray(
        evidence.attempted
        & (evidence.began_ns < window.healed_ns)
        & (evidence.ended_ns >= window.start_ns)
    )
