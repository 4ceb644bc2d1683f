"""Which rate comes next: up in doublings to the first clear overload, then in around the knee."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import Final

from harness.capacity.course import Course
from harness.capacity.knee import bracket, find
from harness.capacity.steps import Bars, Reading
from harness.evidence.latencies import SAMPLES_MIN

DOUBLE: Final = 2.0
NEAR: Final = 1.08  # rates closer than this are not told apart in a few seconds
FIRST_LOWEST_PER_S: Final = 0.5
STEPS_MAX: Final = 24  # of one curve
TRIES: Final = 2  # of a rate whose verdict the knee hangs on
LONGER_MAX: Final = 3.0  # times the step's length, where a slow rate makes too few calls
COUNTED: Final = 0.7  # of a step's calls are surely counted: a fifth is lead-in, and chance varies
CLEAR: Final = 0.10  # of the calls break a limit, or as much growth: no hiccup
WIDE: Final = 1.15  # an interval narrower than that is good enough
FAR: Final = 2.0  # where the interval has no end, so far is looked for one
UNDER: Final = 0.96  # of what an overloaded target answered: it may well keep up with that
OVER: Final = 1.04


def step_length_s(course: Course, rate_per_s: float) -> float:
    """Give how long a step of this rate lasts: long enough for its p99, within reason."""
    wanted_s = SAMPLES_MIN[99.0] / rate_per_s / COUNTED
    return min(max(course.step_s, wanted_s), course.step_s * LONGER_MAX)


def first_rate(course: Course, bare: Sequence[Reading]) -> float:
    """Give where a curve begins: two doublings below the bare knee, once that is known."""
    low, _ = bracket(bare)
    if low is None:
        return course.first_per_s
    return max(FIRST_LOWEST_PER_S, rounded(low / DOUBLE**2))


def next_rate(
    tried: Sequence[Reading], course: Course, first_per_s: float, bars: Bars
) -> float | None:
    """Give the rate of the next step of a curve; None when the knee is found, or out of reach."""
    if not tried:
        return first_per_s
    if len(tried) >= STEPS_MAX:
        return None
    last = tried[-1]
    if last.verdict == "limited":
        # Once may have been the machine's hiccup; twice at a rate is squall's own end.
        again = sum(one.verdict == "limited" and one.rate_per_s == last.rate_per_s for one in tried)
        return last.rate_per_s if again < TRIES else None
    low, high = bracket(tried)
    if high is None:
        return _up(tried, low, course)
    if not _settled(tried, high) and not clear(tried, high):
        return high
    return _down(high) if low is None else _inward(tried, low, high, bars)


def clear(tried: Sequence[Reading], rate_per_s: float) -> bool:
    """Say whether the target fell so far behind at a rate that no hiccup explains it."""
    return any(
        one.cut or one.growth > CLEAR or _broken_share(one) > CLEAR
        for one in tried
        if one.rate_per_s == rate_per_s and one.counts and not one.kept
    )


def rounded(rate_per_s: float) -> float:
    """Give a rate in three significant digits: no more is known."""
    return float(f"{rate_per_s:.3g}")


def _up(tried: Sequence[Reading], low: float | None, course: Course) -> float | None:
    assert low is not None
    ceiling = course.last_per_s
    # A rate at which squall was the limit stays out of reach, however the target does.
    spent = [one.rate_per_s for one in tried if one.verdict == "limited"]
    if len(spent) >= TRIES or (ceiling is not None and low >= ceiling):
        return None
    up = rounded(low * DOUBLE)
    return up if ceiling is None else min(up, ceiling)


def _down(high: float) -> float | None:
    down = rounded(high / DOUBLE)
    return down if down >= FIRST_LOWEST_PER_S else None


def _inward(tried: Sequence[Reading], low: float, high: float, bars: Bars) -> float | None:
    """Close in; then try both edges once more; then what keeps the interval wide."""
    if high / low > NEAR:
        # What an overloaded target answers is about what it can do, unless it collapses.
        most = max(
            (one.answered_per_s for one in tried if one.counts and not one.kept), default=low
        )
        for guess in (rounded(most * UNDER), rounded(most * OVER)):
            if low * sqrt(NEAR) < guess < high / sqrt(NEAR):
                return guess
        return rounded(sqrt(low * high))
    for edge in (low, high):
        if not _settled(tried, edge):
            return edge
    return _narrower(tried, low, high, bars)


def _narrower(tried: Sequence[Reading], low: float, high: float, bars: Bars) -> float | None:
    """Give a rate between the knee and the end of its interval that is further from it."""
    knee = find(tried, bars, seed=0)
    if knee is None or (knee.high is not None and knee.high <= knee.low * WIDE):
        return None
    below = low / max(knee.low, low / FAR)
    above = (knee.high or high * FAR) / high
    if max(below, above) <= NEAR:
        return None
    return rounded(low / sqrt(below)) if below >= above else rounded(high * sqrt(above))


def _settled(tried: Sequence[Reading], rate_per_s: float) -> bool:
    return sum(one.rate_per_s == rate_per_s and one.counts for one in tried) >= TRIES


def _broken_share(one: Reading) -> float:
    due = float(one.cells.due.sum())
    return float(one.cells.broke.sum(axis=1).max()) / due if due else 1.0
