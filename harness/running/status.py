"""Where a run stands while it lasts: what live views are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.clock import NS_PER_S, RunClock
from harness.plan import Plan
from harness.recent import Recent
from harness.running.chaos import Conductor
from harness.running.offering import Offering

PHASES: Final = ("ramp", "warm-up", "baseline", "fault", "recovery", "steady", "ending")


@dataclass(frozen=True, kw_only=True)
class Hit:
    """What a fault in force has hit so far."""

    fault: str  # "1:tcp-latency"
    count: int
    unit: str  # "connections"


@dataclass(frozen=True, kw_only=True)
class Status:
    """Where a run stands, for a live view."""

    run_s: float
    total_s: float
    phase: str
    hits: tuple[Hit, ...]  # one for each fault in force
    fault_left_s: float | None  # until the plan undoes the last of them
    alive: dict[str, int]  # sessions by arm
    lag_ms: float | None  # the generator's own
    recent: Recent
    windows: tuple[tuple[float, float], ...]  # where the plan has its faults, from and to, in s

    @property
    def faults(self) -> tuple[str, ...]:
        """The faults in force, by id."""
        return tuple(hit.fault for hit in self.hits)

    @property
    def exposure(self) -> str:
        """What they have hit so far, as in "412 connections"; "" while that is nothing."""
        return ", ".join(f"{hit.count:,} {hit.unit}" for hit in self.hits if hit.count)

    @property
    def sessions(self) -> int:
        """How many sessions are alive."""
        return sum(self.alive.values())


def status(
    plan: Plan, clock: RunClock, chaos: Conductor, *, offering: Offering, recent: Recent
) -> Status:
    """Give where a run stands now."""
    now_ns = clock.now_ns()
    return Status(
        run_s=max(0.0, now_ns / NS_PER_S),
        total_s=plan.end_ns / NS_PER_S,
        phase=phase_at(plan, now_ns),
        hits=tuple(_hit(chaos, recent, number, kind) for number, kind in chaos.in_force.items()),
        fault_left_s=_left_s(plan, chaos, now_ns),
        alive=offering.alive(),
        lag_ms=offering.lag_ms(),
        recent=recent,
        windows=tuple((one.start_ns / NS_PER_S, one.end_ns / NS_PER_S) for one in plan.windows),
    )


def _left_s(plan: Plan, chaos: Conductor, now_ns: int) -> float | None:
    """Give how long the plan leaves the faults in force; None without any, or without an end."""
    ends_ns = [one.end_ns for one in plan.windows if one.window in chaos.in_force]
    return max(0.0, (max(ends_ns) - now_ns) / NS_PER_S) if ends_ns else None


def _hit(chaos: Conductor, recent: Recent, window: int, kind: str) -> Hit:
    """Say what a fault has hit: by its injector, else by the calls that it made misbehave."""
    fault, seen = f"{window}:{kind}", chaos.exposures.get(window)
    if seen is not None and seen.count:
        return Hit(fault=fault, count=seen.count, unit=seen.unit)
    behaved = sum(part.behaved.get(window, 0) for part in recent.total.values())
    return Hit(fault=fault, count=behaved, unit="calls")


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
