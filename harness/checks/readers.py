"""Does the server keep in memory what a slow reader has not read?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from faults.agent import SlowReader
from harness.checks import memory, sightings
from harness.checks.memory import LEAK
from harness.evidence.phases import Evidence, WindowSpan
from harness.journal import BEHAVIOUR_CODES
from harness.verdict import Finding

_FLOODS: Final = 3  # thirds of the window, in each of which as many streams are opened
_PER_STREAM_BYTES: Final = 1024**2  # what the buffers of one may hold


def unread_streams(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether memory grew with each further flood of streams that hardly anybody reads.

    Needs streams that were opened in each third of the window and held to its end, and samples of
    the target's memory in the second half of each.
    """
    return tuple(
        _under(evidence, window)
        for window in evidence.injected
        if isinstance(window.fault, SlowReader) and window.fault.tool
    )


def _under(evidence: Evidence, window: WindowSpan) -> Finding:
    calls = evidence.calls
    mine = calls["behaviour"] == BEHAVIOUR_CODES["read_slowly"]
    mine &= calls["window"] == window.window
    planned = evidence.plan.windows[window.window - 1]
    edges_ns = np.linspace(planned.start_ns, planned.end_ns, _FLOODS + 1).astype(np.int64)
    counts, _ = np.histogram(calls["sent_ns"][mine], edges_ns)
    if min(counts) == 0:
        why = "no stream was opened in one of the floods"
        return sightings.unknown(LEAK, why, fault=window.id)
    weight = calls["reply_bytes"].astype(np.int64)
    return memory.judged(
        evidence,
        memory.between(edges_ns.tolist(), counts.tolist()),
        fault=window.id,
        load="floods of streams that are hardly read",
        per_unit_bytes=_PER_STREAM_BYTES,
        evidence_ids=sightings.worst_first(evidence, np.flatnonzero(mine), weight),
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (unread_streams,)
