"""Do calls of sessions that behave fail because of those that do not?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from harness.checks import sightings, spreading
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence
from harness.outcome import Outcome
from harness.verdict import Finding

# Said plainly, and to be tried again: no wrong answer.
_POLITE: Final = (401, 403, 413, 429, 503)
_FAILED: Final = (
    Outcome.TOOL_ERROR,
    Outcome.PROTOCOL_ERROR,
    Outcome.HTTP_ERROR,
    Outcome.TRANSPORT_ERROR,
)
_RULE: Final = Rule(
    verdict="wrong-answer",
    wrong="failed, though nothing was wrong with them",
    source="the same sessions' calls before any fault; JSON-RPC 2.0 §5: each request has its own",
    unseen="too few calls of untouched sessions were made before any fault",
)


def broken_neighbours(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether untouched sessions' calls failed while others misbehaved, and not before.

    Needs twenty of their calls before any fault. Refusals that say to come back later are none,
    nor are calls without a good credential. Says nothing where nobody misbehaves.
    """
    if not spreading.suspects(evidence):
        return ()
    calls = evidence.calls
    judged = (calls["treated"] == 0) & (calls["attempt"] > 0) & evidence.attempted & evidence.fit
    judged &= sightings.in_force(evidence) == 0
    if int(spreading.calm(evidence, judged).sum()) < spreading.CALLS_MIN:
        return (sightings.unknown(_RULE, _RULE.unseen),)
    bad = judged & np.isin(calls["outcome"], _FAILED) & ~np.isin(calls["status"], _POLITE)
    windows = sightings.in_force(evidence)
    bad &= spreading.spread(evidence, judged=judged, bad=bad, windows=windows) > 0
    return sightings.judge(evidence, _RULE, judged=judged, bad=bad)


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (broken_neighbours,)
