"""Does the server's appetite follow what a client chooses to send?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from faults.agent import PayloadRequest
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Indices, WindowSpan
from harness.journal import BEHAVIOUR_CODES, VitalsEntry
from harness.outcome import Outcome
from harness.verdict import Finding

_UNBOUNDED: Final = Rule(
    verdict="unbounded-size",
    wrong="were read whole, and the target's memory grew with them",
    source="4 MiB, the request limit that the official SDKs ship with",
    unseen="no oversized request came to an end",
    unit="oversized requests",
)
_SIZE_BYTES: Final = 4 * 1024**2
_GROWTH_SHARE_MIN: Final = 0.8  # of the body
# Who answers these has read and parsed the body; a JSON-RPC error may be the refusal of its size.
_READ: Final = (Outcome.OK, Outcome.WRONG, Outcome.TOOL_ERROR)


def unbounded_size(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether requests over 4 MiB were refused before they were taken into memory.

    Needs an oversized request that came to an end, and, if any was accepted, samples of the
    target's memory before and in the window. Refused in any way (413, an error, a closed
    connection) is right; accepted is wrong only if memory followed: it peaked by 0.8 of the body
    or more above its median before the fault, beyond what it swung by then.
    """
    return tuple(
        _under(evidence, window)
        for window in evidence.phases.windows
        if window.injected
        and isinstance(window.fault, PayloadRequest)
        and window.fault.size_bytes >= _SIZE_BYTES
    )


def _under(evidence: Evidence, window: WindowSpan) -> Finding:
    calls = evidence.calls
    oversized = (calls["behaviour"] == BEHAVIOUR_CODES["payload_request"]) & (calls["attempt"] == 0)
    oversized &= (calls["window"] == window.window) & (calls["request_bytes"] > _SIZE_BYTES)
    oversized &= ~np.isin(calls["outcome"], (Outcome.UNSENT, Outcome.TIMEOUT, Outcome.HANG))
    if not oversized.any():
        return sightings.unknown(_UNBOUNDED, _UNBOUNDED.unseen, fault=window.id)
    read: Indices = np.flatnonzero(oversized & np.isin(calls["outcome"], _READ))
    count = int(oversized.sum())
    if not len(read):
        why = f"all {count} oversized requests were refused"
        return sightings.passed(_UNBOUNDED, count, why)
    body_bytes = int(calls["request_bytes"][read].max())
    growth_bytes = _growth_bytes(evidence, window)
    if growth_bytes is None:
        why = f"{len(read)} oversized requests were accepted, but memory is not observable"
        return sightings.unknown(_UNBOUNDED, why, fault=window.id)
    failed = growth_bytes >= _GROWTH_SHARE_MIN * body_bytes
    weight = calls["request_bytes"].astype(np.int64)
    mib = 1024**2
    return Finding(
        verdict=_UNBOUNDED.verdict,
        ruling="fail" if failed else "pass",
        fault=window.id,
        observed=growth_bytes / mib,
        limit=_GROWTH_SHARE_MIN * body_bytes / mib,
        unit="MiB",
        why=f"{len(read)} of {count} requests of up to {body_bytes / mib:.1f} MiB were accepted, "
        f"and the target's memory peaked {growth_bytes / mib:.1f} MiB above its usual",
        source=_UNBOUNDED.source,
        evidence=sightings.worst_first(evidence, read, weight) if failed else (),
    )


def _growth_bytes(evidence: Evidence, window: WindowSpan) -> float | None:
    """Give how far memory rose in a window above its own swing before; None if nobody looked."""
    sizes = [
        (entry.at_ns, entry.rss_bytes)
        for entry in evidence.journal.of(VitalsEntry)
        if entry.rss_bytes is not None
    ]
    since_ns = evidence.phases.baseline.start_ns
    before = [size for at_ns, size in sizes if since_ns <= at_ns < window.start_ns]
    during = [size for at_ns, size in sizes if window.start_ns <= at_ns < window.healed_ns]
    if not before or not during:
        return None
    usual = float(np.median(before))
    swing = max(before) - usual
    return max(0.0, max(during) - usual - swing)


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (unbounded_size,)
