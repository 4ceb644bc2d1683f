"""Does a target get on without its issuer for a while, as with the keys that it has it can?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from faults.issuers import AsOutage
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import UNAUTHORIZED, Evidence, Mask, WindowSpan
from harness.outcome import Auth
from harness.verdict import Finding

_FETCHES: Final = Rule(
    verdict="retry-amplification",
    wrong="made the target read its issuer's metadata or keys anew",
    source="RFC 7517, RFC 8414: a key set is cached, and read again for a key that is not in it",
    unseen="no call was sent while the issuer was away",
)
_REFUSED: Final = Rule(
    verdict="wrong-status",
    wrong="under a good token were refused as if it were none, for want of the issuer",
    source="RFC 6750, section 3.1: invalid_token is said of tokens that are no good",
    unseen="no call under a good token was answered while the issuer was away",
)
FORBIDDEN: Final = 403
SHARE_MAX: Final = 0.5  # fetches a call
FETCHES_MIN: Final = 20


def without_issuer(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask how a target fares while its issuer is away.

    Needs a call that was sent meanwhile. Fails where the issuer, by its own count, was asked for
    its metadata or keys at least 20 times and at every other call, since no cache does that; and
    where a good token is refused as a bad one, which sends clients to the issuer that is away.
    """
    windows = [w for w in evidence.injected if isinstance(w.fault, AsOutage)]
    if not windows:
        return ()
    away = np.zeros(len(evidence.calls), dtype=np.bool_)
    for window in windows:
        away |= _inside(evidence, window)
    judged = away & (evidence.calls["auth"] == Auth.VALID) & (evidence.calls["status"] > 0)
    bad = judged & np.isin(evidence.calls["status"], (UNAUTHORIZED, FORBIDDEN))
    fetching = tuple(_fetches(evidence, window) for window in windows)
    return (*fetching, *sightings.judge(evidence, _REFUSED, judged=judged, bad=bad))


def _inside(evidence: Evidence, window: WindowSpan) -> Mask:
    """Tell which attempts were sent while a window's issuer was away."""
    sent_ns = evidence.calls["sent_ns"]
    return np.asarray((sent_ns >= window.start_ns) & (sent_ns < window.healed_ns))


def _fetches(evidence: Evidence, window: WindowSpan) -> Finding:
    calls = np.flatnonzero(_inside(evidence, window))
    if not len(calls):
        return sightings.unknown(_FETCHES, _FETCHES.unseen, fault=window.id)
    fetched = window.exposure_count
    failed = fetched >= max(FETCHES_MIN, SHARE_MAX * len(calls))
    weight = np.zeros(len(evidence.calls), dtype=np.int64)
    return Finding(
        verdict=_FETCHES.verdict,
        ruling="fail" if failed else "pass",
        fault=window.id,
        observed=float(fetched),
        limit=float(max(FETCHES_MIN, SHARE_MAX * len(calls))),
        unit="requests",
        why=f"the issuer was asked for its metadata and keys {fetched} times while {len(calls)} "
        f"calls were made under {window.id}",
        source=_FETCHES.source,
        evidence=sightings.worst_first(evidence, calls, weight) if failed else (),
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (without_issuer,)
