"""How busy the machine was with other things: a slower machine is not a slower target.

A process that waits for a processor as long as it uses one gets its work done at half the speed.
The generator's own ratio, beside its ratio in the baseline, says how much of a slowdown of calls
that no fault touched is the machine's.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from harness.evidence.phases import Evidence, Span

BUSIER_MAX: Final = 4.0  # beyond that the evidence has other troubles
_CPU_MIN: Final = 0.005  # a share below the clock tick says nothing
_ENTRIES_MIN: Final = 3


def busier(evidence: Evidence, span: Span) -> float:
    """Give how many times slower work got done in a stretch than in the baseline; 1 to 4."""
    usual, now = slowness(evidence, evidence.phases.baseline), slowness(evidence, span)
    if usual is None or now is None:
        return 1.0
    return min(BUSIER_MAX, max(1.0, now / usual))


def slowness(evidence: Evidence, span: Span) -> float | None:
    """Give (running + waiting to run) / running in a stretch; None where the system is silent."""
    waits = evidence.waits
    told = waits[(waits[:, 0] > span.start_ns) & (waits[:, 0] <= span.end_ns), 1:]
    if len(told) < _ENTRIES_MIN:
        return None
    cpu, delay = np.median(told, axis=0)
    cpu = max(float(cpu), _CPU_MIN)
    return (cpu + float(delay)) / cpu
