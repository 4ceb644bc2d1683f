"""Does the target leave a dependency alone that fails it?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.downstream import FAILED_MIN
from harness.evidence.manners import CALLS_MIN, Under, after_failures, asked, windows
from harness.evidence.phases import BASELINE, Evidence
from harness.outcome import Outcome
from harness.scenario.units import counted
from harness.verdict import Finding

_AMPLIFIED: Final = Rule(
    verdict="retry-amplification",
    wrong="asked the dependency more than three times as often as with nothing broken",
    source="the dependency's ledger: at most three requests for what takes one, with a pause that "
    "grows; after repeated failures a breaker",
    unseen="no call reached a dependency that was failing",
    unit="requests for one",
)
_RATIO_MAX: Final = 3.0
_FAILURES_MIN: Final = 10  # after so many, who goes on trying has no breaker
_TRIED_MIN: Final = 6
_TRYING_SHARE_MIN: Final = 0.9  # of the calls after them
_COST_NS: Final = 500_000_000  # what an attempt in vain must hold its call up for, to matter
_BAD: Final = (Outcome.TOOL_ERROR, Outcome.PROTOCOL_ERROR, Outcome.TIMEOUT, Outcome.HANG)


def retry_amplification(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether failure makes the target ask its dependency more, and without an end.

    Needs five calls that reached the dependency under a fault of its own. Wrong is more than
    three requests for every one that the same tools make with nothing broken, as is going on to
    try at every call's expense: after ten failures nine of ten calls still reach it, fail, and
    are held up for half a second by that. Says nothing where no dependency keeps a ledger.
    """
    under = windows(evidence)
    if not under:
        return ()
    found = [finding for one in under if (finding := _storm(one) or _no_breaker(one)) is not None]
    if found:
        return tuple(found)
    judged = sum(len(one.asking) for one in under if len(one.asking) >= CALLS_MIN)
    if not judged:
        return (sightings.unknown(_AMPLIFIED, _AMPLIFIED.unseen),)
    why = (
        f"{counted(judged, 'calls')} reached a dependency that was failing, and none of its faults "
        "was made worse by retries"
    )
    return (sightings.passed(_AMPLIFIED, judged, why),)


def _storm(under: Under) -> Finding | None:
    """Find more than three requests for one."""
    if len(under.asking) < CALLS_MIN:
        return None
    counts = under.by_call[under.asking]
    usual = _usual(under.evidence)[under.evidence.settled["call"][under.asking]]
    ratio = float(counts.sum()) / float(usual.sum())
    if ratio <= _RATIO_MAX:
        return None
    why = (
        f"{len(under.asking)} calls under {under.window.id} made {int(counts.sum())} requests at "
        f"the dependency, {ratio:.1f} for each that they make with nothing broken; the worst made "
        f"{int(counts.max())}"
    )
    return _failed(under, under.asking, counts, ratio=ratio, why=why)


def _usual(evidence: Evidence) -> NDArray[np.float64]:
    """Give by kind of call how many requests it makes with nothing broken; 1 where unseen."""
    settled, counts = evidence.settled, asked(evidence)
    usual = np.ones(len(evidence.plan.calls))
    mine = evidence.ok & (evidence.phase == BASELINE) & (counts > 0)
    for code in np.unique(settled["call"][mine]):
        usual[code] = float(counts[mine & (settled["call"] == code)].mean())
    return usual


def _no_breaker(under: Under) -> Finding | None:
    """Find calls that all try, and all wait in vain, long after the first ones did."""
    later, reached = after_failures(under, _FAILURES_MIN)
    if len(later) < _TRIED_MIN:
        return None
    settled = under.evidence.settled[later]
    took_ns = under.evidence.ended_ns[under.evidence.logical][later] - settled["sent_ns"]
    # A refusal comes at once; whatever else such a call waits for is not the dependency.
    vain = np.isin(settled["outcome"], _BAD) & reached & ~_refused(under)[later]
    if float(vain.mean()) < _TRYING_SHARE_MIN or float(np.median(took_ns[vain])) < _COST_NS:
        return None
    cost_s = float(np.median(took_ns[vain])) / 1e9
    why = (
        f"after {_FAILURES_MIN} failures under {under.window.id}, {int(vain.sum())} of "
        f"{len(later)} calls still tried the dependency and waited {cost_s:.1f} s in vain: no "
        "breaker opened"
    )
    return _failed(under, later[vain], took_ns[vain], ratio=float(vain.mean()), why=why)


def _refused(under: Under) -> NDArray[np.bool_]:
    """Tell which settled calls the dependency refused, in so many words."""
    down = under.down
    refused = np.zeros(len(under.evidence.settled), dtype=np.bool_)
    refused[down.call[(down.call >= 0) & (down.status >= FAILED_MIN)]] = True
    return refused


def _failed(
    under: Under,
    calls: NDArray[np.int64],
    weight: NDArray[np.int64],
    *,
    ratio: float,
    why: str,
) -> Finding:
    heaviest = np.zeros(len(under.evidence.calls), dtype=np.int64)
    places = under.evidence.logical[calls]
    heaviest[places] = weight
    finding = Finding(
        verdict=_AMPLIFIED.verdict,
        ruling="fail",
        fault=under.window.id,
        observed=round(ratio, 3),
        limit=_RATIO_MAX,
        unit=_AMPLIFIED.unit,
        why=why,
        source=_AMPLIFIED.source,
        evidence=sightings.worst_first(under.evidence, places, heaviest),
    )
    return sightings.beneath(under.evidence, (finding,))[0]


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (retry_amplification,)
