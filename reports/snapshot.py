"""Where a run stands, as far as a live view shows it: cheap to make several times a second."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A stretch of the plan in which something is broken, for the bar."""

    start_s: float
    end_s: float
    label: str = ""  # drawn at its start where it fits: the fault's number


@dataclass(frozen=True, kw_only=True)
class ArmSnapshot:
    """The last seconds of one arm; latencies are None when no call ended in them."""

    arm: str
    p50_ms: float | None
    p99_ms: float | None
    rate_per_s: float = 0.0
    calls: int = 0  # in the last seconds
    errors: int = 0  # of those calls
    sessions: int | None = None  # alive; None: not known by arm
    last_p99_ms: float | None = None  # of the last second alone, for the course over time


@dataclass(frozen=True, kw_only=True)
class LiveSnapshot:
    """Where a run stands, cheap enough to be made several times a second."""

    run_s: float
    total_s: float
    phase: str
    fault: str = ""  # the window's id; "" when none is in force
    exposure: str = ""  # "412 connections"
    fault_left_s: float | None = None  # until the plan undoes it
    calls: int = 0
    errors: int = 0
    rate_per_s: float = 0.0
    sessions: int = 0
    lag_ms: float | None = None
    arms: tuple[ArmSnapshot, ...] = ()
    segments: tuple[Segment, ...] = ()  # of the plan; none where that is not one in time
