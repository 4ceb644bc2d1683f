"""`latency.hlog`: every latency of the run, for the HdrHistogram tools."""

from __future__ import annotations

from harness.evidence.latencies import hlog
from harness.evidence.phases import Evidence


def histogram_log(evidence: Evidence) -> str:
    """Give latency from due as an HdrHistogram log, tagged by arm, phase and call."""
    return hlog(evidence)
