"""Does a load that goes on and on leave more and more behind?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from faults.load import Soak
from harness.checks import memory, sightings
from harness.checks.memory import LEAK
from harness.evidence.phases import Evidence, WindowSpan
from harness.verdict import Finding

# A result is a kilobyte or more, so whoever keeps each of them keeps that much of a call.
_PER_CALL_BYTES: Final = 512


def leak_memory(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether memory grew in each further period of a steady load, and by as much.

    Needs a `soak`, and samples of the target's memory in the second half of each of its periods.
    """
    return tuple(
        _under(evidence, window)
        for window in evidence.phases.windows
        if window.injected and isinstance(window.fault, Soak)
    )


def _under(evidence: Evidence, window: WindowSpan) -> Finding:
    assert isinstance(window.fault, Soak)
    calls = evidence.calls
    edges_ns = np.linspace(window.start_ns, window.end_ns, window.fault.periods + 1).astype(int)
    done = sightings.attempted(evidence) & (calls["done_ns"] >= 0)
    counts, _ = np.histogram(calls["done_ns"][done], edges_ns)
    if min(counts) == 0:
        return sightings.unknown(LEAK, "there was no load in one of the periods", fault=window.id)
    inside = done & (calls["done_ns"] >= edges_ns[1]) & (calls["done_ns"] < window.end_ns)
    return memory.judged(
        evidence,
        memory.between(edges_ns.tolist(), counts.tolist()),
        fault=window.id,
        load="periods of the same load",
        per_unit_bytes=_PER_CALL_BYTES,
        evidence_ids=sightings.worst_first(
            evidence, np.flatnonzero(inside), calls["reply_bytes"].astype(np.int64)
        ),
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (leak_memory,)
