"""A candidate: which faults of a scenario are kept, and how long and how many of everything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Any, Final

from harness.scenario.records import Limits, Scenario
from harness.scenario.sense import BASELINE_MIN_S, RECOVERY_MIN_S
from harness.scenario.shares import apportion, treated_count
from harness.scenario.units import counted, duration

WINDOW_MIN_S: Final = 1.0
CALM_MIN_S: Final = 0.5  # of ramp and warm-up: what a process needs to find its feet
_STEP_S: Final = 0.5  # durations are multiples of it, for they are read by people


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One fault window that is kept."""

    window: int  # its number in the run that failed: 1, 2, ...
    duration_s: float
    pause_s: float = 0.0  # that the scenario puts before it on top of the recovery


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One scenario to try, said by what it keeps of the one that failed."""

    slots: tuple[Slot, ...]
    ramp_s: float
    warmup_s: float
    baseline_s: float
    recovery_s: float
    sessions: int

    @property
    def windows(self) -> tuple[int, ...]:
        """The numbers of the windows that are kept."""
        return tuple(slot.window for slot in self.slots)

    @property
    def length_s(self) -> float:
        """How long its run offers load."""
        return self.starts_s(len(self.slots))

    def starts_s(self, place: int) -> float:
        """When the window at a place may start; one past the last is the run's end."""
        before = sum(
            slot.pause_s + slot.duration_s + self.recovery_s for slot in self.slots[:place]
        )
        return self.ramp_s + self.warmup_s + self.baseline_s + before

    def keeping(self, windows: frozenset[int]) -> Candidate:
        """Give it with these windows alone."""
        return replace(self, slots=tuple(slot for slot in self.slots if slot.window in windows))

    def __str__(self) -> str:
        """Say its size: `2 faults, 20 sessions, 34s`."""
        faults = counted(len(self.slots), "faults") if self.slots else "no fault"
        sessions = counted(self.sessions, "sessions")
        return f"{faults}, {sessions}, {duration(round(self.length_s, 3))}"


def whole(scenario: Scenario) -> Candidate:
    """Give the candidate that is the scenario itself."""
    free_s = scenario.load.ramp_s + scenario.phases.warmup_s + scenario.phases.baseline_s
    slots: list[Slot] = []
    for number, window in enumerate(scenario.faults, start=1):
        start_s = free_s if window.at_s is None else window.at_s
        slots.append(
            Slot(window=number, duration_s=window.duration_s, pause_s=max(0.0, start_s - free_s))
        )
        free_s = start_s + window.duration_s + scenario.phases.recovery_s
    return Candidate(
        slots=tuple(slots),
        ramp_s=scenario.load.ramp_s,
        warmup_s=scenario.phases.warmup_s,
        baseline_s=scenario.phases.baseline_s,
        recovery_s=scenario.phases.recovery_s,
        sessions=scenario.load.sessions,
    )


def applied(scenario: Scenario, candidate: Candidate) -> Scenario:
    """Give the scenario that a candidate of it stands for."""
    kept = [
        scenario.faults[slot.window - 1].model_copy(
            update={
                "duration_s": slot.duration_s,
                "at_s": candidate.starts_s(place) + slot.pause_s
                if scenario.faults[slot.window - 1].at_s is not None
                else None,
            }
        )
        for place, slot in enumerate(candidate.slots)
    ]
    load = {"sessions": candidate.sessions, "ramp_s": candidate.ramp_s}
    phases = {
        "warmup_s": candidate.warmup_s,
        "baseline_s": candidate.baseline_s,
        "recovery_s": candidate.recovery_s,
    }
    limits = scenario.limits
    if not kept and limits.recovery is not None:  # nothing is left to recover from
        limits = Limits.model_validate(limits.model_dump() | {"recovery": None})
    return scenario.model_copy(
        update={
            "faults": tuple(kept),
            "load": scenario.load.model_copy(update=load),
            "phases": scenario.phases.model_copy(update=phases),
            "limits": limits,
        }
    )


# --- smaller ones ---------------------------------------------------------------------------


def sessions_min(scenario: Scenario) -> int:
    """Give the fewest sessions with one of each agent in it, and one in each arm."""
    shares = [agent.share for agent in scenario.agents]
    total, treated = scenario.load.sessions, scenario.load.treated
    split = 0 < treated_count(total, treated) < total
    for count in range(2, total):
        both = not split or 0 < treated_count(count, treated) < count
        if both and min(apportion(count, shares)) >= 1:
            return count
    return total


Resize = Callable[[float, float], float]  # a size, and the least that it may be -> a smaller one
Dimension = Callable[[Candidate, Resize], Candidate]


def to_least(size: float, least: float) -> float:
    """Resize to the least at once."""
    return min(size, least)


def to_half(size: float, least: float) -> float:
    """Resize to a half."""
    return min(size, max(least, size / 2))


def times(candidate: Candidate) -> Iterator[Dimension]:
    """Give how long things are, in the order in which they are made shorter."""
    yield _pauses
    yield partial(_windows, windows=candidate.windows)
    if len(candidate.slots) > 1:
        for window in candidate.windows:
            yield partial(_windows, windows=(window,))
    least_s = {
        "recovery_s": RECOVERY_MIN_S,
        "baseline_s": BASELINE_MIN_S,
        "warmup_s": CALM_MIN_S,
        "ramp_s": CALM_MIN_S,
    }
    for name, at_least_s in least_s.items():
        yield partial(_phase, name=name, least_s=at_least_s)


def sessions(fewest: int) -> Dimension:
    """Give how many sessions there are."""

    def resized(candidate: Candidate, resize: Resize) -> Candidate:
        return replace(candidate, sessions=ceil(resize(candidate.sessions, fewest)))

    return resized


def _seconds(size_s: float, least_s: float, resize: Resize) -> float:
    """Resize a duration to what is easily read."""
    return min(size_s, ceil(resize(size_s, least_s) / _STEP_S) * _STEP_S)


def _pauses(candidate: Candidate, resize: Resize) -> Candidate:
    slots = (replace(slot, pause_s=_seconds(slot.pause_s, 0, resize)) for slot in candidate.slots)
    return replace(candidate, slots=tuple(slots))


def _windows(candidate: Candidate, resize: Resize, *, windows: tuple[int, ...]) -> Candidate:
    slots = (
        replace(slot, duration_s=_seconds(slot.duration_s, WINDOW_MIN_S, resize))
        if slot.window in windows
        else slot
        for slot in candidate.slots
    )
    return replace(candidate, slots=tuple(slots))


def _phase(candidate: Candidate, resize: Resize, *, name: str, least_s: float) -> Candidate:
    changes: dict[str, Any] = {name: _seconds(getattr(candidate, name), least_s, resize)}
    return replace(candidate, **changes)
