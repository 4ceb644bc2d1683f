"""Where a run stands while it lasts: what live views are shown."""

from __future__ import annotations

from dataclasses import dataclass

from harness.chaos import Conductor
from harness.clock import NS_PER_S, RunClock
from harness.offering import Offering
from harness.plan import Plan
from harness.recent import Recent


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a run stands, for a live view."""

    run_s: float
    total_s: float
    phase: str
    faults: tuple[str, ...]
    exposure: str  # what the faults in force have hit so far, as in "412 connections"
    sessions: int
    lag_ms: float | None  # the generator's own
    recent: Recent


def status(
    plan: Plan, clock: RunClock, chaos: Conductor, *, offering: Offering, recent: Recent
) -> Status:
    """Give where a run stands now."""
    now_ns = clock.now_ns()
    return Status(
        run_s=max(0.0, now_ns / NS_PER_S),
        total_s=plan.end_ns / NS_PER_S,
        phase=phase_at(plan, now_ns),
        faults=tuple(f"{number}:{kind}" for number, kind in chaos.in_force.items()),
        exposure=", ".join(filter(None, (_hit(chaos, recent, one) for one in chaos.in_force))),
        sessions=offering.living(),
        lag_ms=offering.lag_ms(),
        recent=recent,
    )


def _hit(chaos: Conductor, recent: Recent, window: int) -> str:
    """Say what a fault has hit: by its injector, else by the calls that it made misbehave."""
    seen = chaos.exposures.get(window)
    if seen is not None and seen.count:
        return f"{seen.count:,} {seen.unit}"
    behaved = sum(part.behaved.get(window, 0) for part in recent.total.values())
    return f"{behaved:,} calls" if behaved else ""


def phase_at(plan: Plan, now_ns: int) -> str:
    """Name the phase that the plan has at a moment."""
    for window in plan.windows:
        if window.start_ns <= now_ns < window.end_ns:
            return "fault"
        if window.end_ns <= now_ns < window.recovery_end_ns:
            return "recovery"
    if now_ns < plan.ramp_end_ns:
        return "ramp"
    if now_ns < plan.baseline_start_ns:
        return "warm-up"
    if now_ns < plan.baseline_end_ns:
        return "baseline"
    return "ending" if now_ns >= plan.end_ns else "steady"
