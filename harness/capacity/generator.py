"""Was squall itself what limited a step? Its lateness, its processor, its proxy, its sessions.

A step that squall limited says nothing of the target, and is never counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.evidence.generator import Stretch, assess
from harness.journal import Calls, HealthEntry

# One process cannot use more than one core; what is near that has nothing left.
CPU_SPENT: Final = 0.92
# A stall here and there moves no median; one after the other does, however short each is.
STOOD_STILL: Final = 0.25
# So many of the sessions in flight at once, on average, while each call takes no longer than in a
# calm step: then more sessions, and not a faster server, are what is missing.
SESSIONS_SPENT: Final = 0.9
SERVICE_SAME: Final = 1.5


@dataclass(frozen=True, kw_only=True)
class Strain:
    """How squall fared during a step; `invalid` is why its own lateness is in the figures."""

    invalid: str
    suspect: bool
    cpu_share: float
    proxy_cpu_share: float | None
    busy_sessions: float  # the share of them in flight, on average
    service_ms: float | None  # the median time from sent
    calm_service_ms: float | None

    def limited(self, *, fell_behind: bool) -> str:
        """Say why squall was the limit; "" when it was not."""
        if self.invalid:
            return self.invalid
        if not fell_behind:
            return ""
        if self.cpu_share > CPU_SPENT:
            return f"squall used {self.cpu_share:.0%} of a core"
        if self.proxy_cpu_share is not None and self.proxy_cpu_share > CPU_SPENT:
            return f"squall's proxy used {self.proxy_cpu_share:.0%} of a core"
        calm, now = self.calm_service_ms, self.service_ms
        same = calm is not None and now is not None and now <= SERVICE_SAME * calm
        if same and self.busy_sessions > SESSIONS_SPENT:
            return "every session was busy; --sessions gives more"
        return ""

    @property
    def state(self) -> str:
        """Say in one word how it was."""
        return "limited" if self.invalid else "suspect" if self.suspect else "ok"


def strain(
    calls: Calls,
    health: Sequence[HealthEntry],
    *,
    stretch: Stretch,
    calm_service_ms: float | None,
    service_ms: float | None,
    busy_sessions: float,
    proxy_cpu_share: float | None,
) -> Strain:
    """Judge squall over a step; `calls` are those that were due in it.

    Lateness is held against what a calm call takes from sent, not from due: what squall delays
    must not excuse it.
    """
    ordered = calls[np.lexsort((calls["index"], calls["session"]))]
    usual_ms = service_ms if calm_service_ms is None else calm_service_ms
    seen = assess(ordered, health, (stretch,), p50_ms=usual_ms)
    invalid = "nobody recorded how it fared"
    if seen is not None:
        bad = [one.why for one in seen.processes if one.verdict == "invalid"]
        bad += [
            f"{one.name} stood still for {one.stalled_share:.0%} of the step"
            for one in seen.processes
            if one.verdict != "invalid" and one.stalled_share > STOOD_STILL
        ]
        invalid = "; ".join(bad)
    return Strain(
        invalid=invalid,
        suspect=seen is not None and seen.verdict == "suspect",
        cpu_share=max((one.cpu_share for one in seen.processes), default=0.0) if seen else 0.0,
        proxy_cpu_share=proxy_cpu_share,
        busy_sessions=busy_sessions,
        service_ms=service_ms,
        calm_service_ms=calm_service_ms,
    )
