"""How a recovery is cut into slices, and how late a way back may begin to be seen in one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from math import ceil, floor
from typing import Final

from harness.plan import NS_PER_S, Plan
from harness.scenario import conditions
from harness.scenario.records import Scenario

STEADY_SLICES: Final = 3  # this many good slices in a row are a recovery
HEALING_S: Final = 0.5  # that proving a fault undone may take of the watch after it
_SLICE_NS: Final = NS_PER_S
_CALLS_A_SLICE: Final = 20
_SLICES_MIN: Final = 4
_SLICES_MAX: Final = 600  # an hour's recovery is sliced more coarsely


@dataclass(frozen=True, kw_only=True)
class Cramped:
    """A watch that ends before all that the limit allows could be seen."""

    watch_s: float
    seen_s: float  # the latest beginning of a way back that it can show
    enough_s: float  # a watch that would do


def slice_ns(watched_ns: int, calls: int) -> int:
    """Give a slice's length: a second, or as long as it takes to hold twenty of so many calls."""
    length_ns = max(_SLICE_NS, ceil(_CALLS_A_SLICE * watched_ns / calls))
    length_ns = max(length_ns, ceil(watched_ns / _SLICES_MAX))
    return min(length_ns, watched_ns // _SLICES_MIN)


def latest_s(watch_s: float, calls_a_second: float) -> float:
    """Give how long after its fault a way back may begin and still be seen within a watch."""
    watched_ns = round((watch_s - HEALING_S) * NS_PER_S)
    calls = floor(calls_a_second * watched_ns / NS_PER_S)
    if watched_ns <= 0 or calls < 1:
        return 0.0
    length_ns = slice_ns(watched_ns, calls)
    return max(0, watched_ns // length_ns - STEADY_SLICES) * length_ns / NS_PER_S


def enough_s(limit_s: float, calls_a_second: float) -> float:
    """Give the shortest watch, in whole seconds, that shows whether so long a limit is held."""
    # Four times the limit always does, unless there are no calls at all.
    most = ceil(4 * limit_s + HEALING_S) + STEADY_SLICES + 1
    tried = (
        watch for watch in count(1) if watch >= most or latest_s(watch, calls_a_second) >= limit_s
    )
    return float(next(tried))


def cramped(plan: Plan, scenario: Scenario) -> Cramped | None:
    """Tell whether the limit on the recovery can be judged in the watch; None where it can."""
    wanted = conditions.limits(scenario.limits).get("recovery")
    if wanted is None or not plan.windows:
        return None
    rate = sum(
        plan.calls_a_second(each)
        for each in plan.sessions
        if each.arm == "treated" and not each.window
    )
    watch_s = scenario.phases.recovery_s
    seen_s = latest_s(watch_s, rate)
    if seen_s >= wanted.limit:
        return None
    return Cramped(watch_s=watch_s, seen_s=seen_s, enough_s=enough_s(wanted.limit, rate))
