"""`latency.hlog`: every latency of the run, for the HdrHistogram tools."""

from __future__ import annotations

from harness.latencies import hlog
from harness.phases import Evidence


def histogram_log(evidence: Evidence) -> str:
    """Give latency from due as an HdrHistogram log, tagged by arm, phase and call."""
    return hlog(evidence)
