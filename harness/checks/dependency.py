"""Do answers own up to what the target depends on: its refusals, and how old it is?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from harness.checks import connections, retries, sightings, spinning, starving
from harness.checks.claims import claims, singles
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence
from harness.scenario.records import CallStep
from harness.verdict import Finding

_UNANSWERED: Final = "no call was answered with a result"
_STALE: Final = Rule(
    verdict="stale-read",
    wrong="did not show what the same session had written before, and did not say so",
    source="scenario: expect.fresh",
    unseen=_UNANSWERED,
    hard=True,
)
_MASKED_BELOW: Final = Rule(
    verdict="auth-masked",
    wrong="claimed success although the dependency had refused their credential",
    source="the dependency's ledger: 401 or 403, and nothing that succeeded",
    unseen=_UNANSWERED,
)


def stale_read(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether sessions read back what they wrote.

    Needs one reply with a result to a step that expects to; says nothing where none does. An
    error that says that the answer would be old is right.
    """
    steps = [s for s in singles(evidence) if isinstance(s, CallStep) and s.expect.fresh]
    if not steps:
        return ()
    charged = claims(evidence)
    asks = np.isin(evidence.plan.calls, [step.call for step in steps])
    judged = charged.judged & (evidence.calls["attempt"] > 0) & asks[evidence.calls["call"]]
    found = sightings.judge(evidence, _STALE, judged=judged, bad=charged.stale_read)
    return sightings.beneath(evidence, found)


def auth_masked(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a call claimed success although the dependency refused its credential.

    Needs one reply with a result, and a dependency's ledger; says nothing without that.
    """
    if not len(evidence.downstream):
        return ()
    charged = claims(evidence)
    real = charged.judged & (evidence.calls["attempt"] > 0)
    found = sightings.judge(evidence, _MASKED_BELOW, judged=real, bad=charged.auth_masked)
    return sightings.beneath(evidence, found)


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    auth_masked,
    stale_read,
    *retries.CHECKS,
    *starving.CHECKS,
    *connections.CHECKS,
    *spinning.CHECKS,
)
