"""What is held together: each measure of each arm, phase and tool, on both sides, with its error.

Latencies are compared as ratios, shares of calls as differences; recovery in seconds and scores in
points are differences too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import log, log1p
from typing import Final, Literal

import numpy as np

from harness.comparison.digest import Digest, Drawn, Mark
from harness.comparison.noise import (
    PERCENTILES,
    SHARES,
    Axes,
    Error,
    drawn,
    least,
    restless,
    widened,
)
from harness.comparison.sides import Counted, Place, Sides, counted, together
from harness.evidence.latencies import ARMS, SAMPLES_MIN
from harness.evidence.watch import STEADY_SLICES

BASELINE: Final = "baseline"
BOTH: Final = "both"
NAMES: Final = ("base", "head")
# What a difference has to exceed before it matters, beside what chance makes of it.
LATENCY_LEAST: Final = 0.05
LATENCY_LEAST_MS: Final = 1.0
SHARE_LEAST: Final = 0.002
SCORE_LEAST: Final = 5.0
# What 50 equal runs of the bundled server showed beside load averages of 9 to 18 on two cores,
# where work took 2 to 12 times longer than by itself. Latencies grew with that to the power of 0.9
# to 1.7; what was left between runs was a deviation of .14 to .3 of their logarithm.
BUSY_SLOPE: Final = 1.5
BUSY_SPREAD: Final = 0.25  # of a run's logarithm, on a machine where all is waiting
SCORE_SPREAD: Final = 8.0  # points, likewise
BUSY_MAX: Final = 10.0  # nobody can tell a target from its machine there
WORK_OF_LATE: Final = 10.0  # of what calls left late by: the most that work alone took there
_CALLS_MIN: Final = SAMPLES_MIN[90.0]
_SEED: Final = 7

# By arms and phase: how many times wider than by sessions the error is, by measure.
Inflated = dict[tuple[tuple[str, ...], str], dict[str, float]]
Unit = Literal["ms", "share", "s", "points"]


@dataclass(frozen=True, kw_only=True)
class Look:
    """One measure on both sides. Effects are head beside base; for `ms` in natural logarithms."""

    arm: str  # treated | control | both; "" for the whole run
    phase: str
    tool: str = ""  # "" for all together
    measure: str  # p50 | p95 | p99 | errors | losses | recovery | score
    unit: Unit
    base: float | None
    head: float | None
    base_calls: int = 0
    head_calls: int = 0
    whole: bool  # of the first rank: an arm and phase as a whole
    why_not: str = ""  # why the two cannot be compared
    unlike: bool = False  # and that is no lack of calls: the two sides are not alike there
    effect: float = 0.0
    error: Error = field(default_factory=lambda: Error(variance=0.0, freedom=1.0))
    least_worse: float = 0.0  # an effect has to exceed this
    least_better: float = 0.0


def looks(sides: Sides, *, latency_least: float = LATENCY_LEAST) -> tuple[Look, ...]:
    """Take every look there is: figures of whole windows first, then phases, then tools."""
    inflated: Inflated = {}
    taken = [*_marks(sides)]
    for place, whole in _places(sides):
        found = _at(sides, place, whole=whole)
        if isinstance(found, Look):
            taken.append(found)
            continue
        errors = _errors(found, inflated)
        taken += [_look(found, name, errors[name], latency_least) for name in found.names]
    return tuple(taken)


def idle(sides: Sides, phase: str) -> str:
    """Say on which side the fault of a phase did not bite: nothing after it can be compared."""
    number = phase.partition(":")[0]
    for name, side in zip(NAMES, sides, strict=True):
        for mark in (mark for run in side for mark in run.windows if not mark.bit):
            if mark.id.partition(":")[0] == number:
                return f"{mark.id} did not bite in {name}"
    return ""


# --- one figure a run -----------------------------------------------------------------------


def _marks(sides: Sides) -> Iterator[Look]:
    """Look at scores and recoveries."""
    yield from _figure(
        sides, Place(arms=("",), phase=""), "score", [_scores(side) for side in sides]
    )
    for window in (mark.id for mark in sides[0][0].windows):
        marks = [
            [mark for run in side for mark in run.windows if mark.id == window] for side in sides
        ]
        place = Place(arms=("treated",), phase=window)
        yield from _figure(sides, place, "score", [[mark.score for mark in side] for side in marks])
        slice_s = max(mark.slice_s for side in marks for mark in side)
        backs = [[_back(mark) for mark in side] for side in marks]
        yield from _figure(sides, place, "recovery", backs, slice_s)


def _scores(side: Sequence[Digest]) -> list[Drawn | None]:
    return [run.score for run in side]


def _back(mark: Mark) -> Drawn | None:
    """Take a recovery that never came for as long as it was watched, and a slice."""
    told = mark.recovery
    if told is None:
        return None
    never_s = mark.watched_s + mark.slice_s
    return Drawn(
        value=never_s if told.value < 0 else told.value,
        draws=np.where(told.draws < 0, never_s, told.draws),
    )


def _figure(
    sides: Sides,
    place: Place,
    measure: str,
    figures: Sequence[Sequence[Drawn | None]],
    slice_s: float = 0.0,
) -> Iterator[Look]:
    """Look at what is one figure a run, and nothing where neither side has it."""
    known = [[one for one in side if one is not None] for side in figures]
    values = [[one.value for one in side] for side in known]
    middles = [float(np.mean(side)) if side else None for side in values]
    if middles == [None, None]:
        return
    base, head = middles
    absent = next((name for name, at in zip(NAMES, middles, strict=True) if at is None), "")
    why_not = idle(sides, place.phase) or (f"not measured in {absent}" if absent else "")
    of_time = measure == "recovery"
    effect, error = 0.0, Error(variance=0.0, freedom=1.0)
    if base is not None and head is not None:
        effect = head - base
        draws = [np.mean([one.draws for one in side], axis=0) for side in known]
        count = min(map(len, draws))
        variance = float(np.var(draws[1][:count] - draws[0][:count])) + slice_s**2 / 6.0
        waits = [[run.slowness for run in side] for side in sides]
        assumed = restless(waits, slice_s if of_time else SCORE_SPREAD)
        error = widened(Error(variance=variance, freedom=float(count)), values, assumed)
    at_least = STEADY_SLICES * slice_s if of_time else SCORE_LEAST
    yield Look(
        arm=place.arms[0],
        phase=place.phase,
        measure=measure,
        unit="s" if of_time else "points",
        base=base,
        head=head,
        whole=True,
        why_not=why_not,
        unlike=bool(why_not),
        effect=effect,
        error=error,
        least_worse=at_least,
        least_better=at_least,
    )


# --- calls ----------------------------------------------------------------------------------


def _places(sides: Sides) -> Iterator[tuple[Place, bool]]:
    """Name the places, and whether each is of the first rank.

    In the baseline nothing strikes either arm: there both together are of the first rank.
    """
    stretches = [stretch for side in sides for run in side for stretch in run.stretches]
    phases = [BASELINE]
    for mark in sides[0][0].windows:
        phases += [mark.id, f"{mark.id.partition(':')[0]}:recovery"]
    for phase in phases:
        mine = [stretch for stretch in stretches if stretch.phase == phase]
        arms = tuple(arm for arm in ARMS if any(stretch.arm == arm for stretch in mine))
        groups: list[tuple[str, ...]] = [(arm,) for arm in arms]
        if phase == BASELINE and len(arms) > 1:
            yield Place(arms=arms, phase=phase), True
            yield from ((Place(arms=arm, phase=phase), False) for arm in groups)
            groups = [arms]
        else:
            yield from ((Place(arms=arm, phase=phase), True) for arm in groups)
        for group in groups:
            tools = sorted({lot.tool for one in mine if one.arm in group for lot in one.lots})
            for tool in tools if len(tools) > 1 else ():
                yield Place(arms=group, phase=phase, tool=tool), False


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pair:
    """Both sides of a place: together, and run by run."""

    place: Place
    whole: bool
    base: Counted
    head: Counted
    runs: tuple[list[Counted], list[Counted]]
    names: list[str]  # of the measures that both have the samples for
    late_ms: tuple[float, float]  # how late squall itself was, at p50 and at p99

    def late(self, name: str) -> float:
        """Give how much of a percentile may be squall's own lateness, in milliseconds."""
        return self.late_ms[name != "p50"]


def _at(sides: Sides, place: Place, *, whole: bool) -> _Pair | Look:
    """Count a place on both sides, or say why that is not to be compared."""

    def nothing(why_not: str, *, unlike: bool = True) -> Look:
        return Look(
            arm=_arm(place),
            phase=place.phase,
            tool=place.tool,
            measure="calls",
            unit="share",
            base=None,
            head=None,
            whole=whole,
            why_not=why_not,
            unlike=unlike,
        )

    if bitten := idle(sides, place.phase):
        return nothing(bitten)
    found = counted(sides, place)
    if isinstance(found, str):
        return nothing(found)
    base, head = (together(runs) for runs in found)
    fewest = min(int(side.by_group.calls.sum()) for side in (base, head))
    if fewest < _CALLS_MIN:
        return nothing(f"{fewest} calls, at least {_CALLS_MIN} are needed", unlike=False)
    timed = min(base.by_group.timed, head.by_group.timed)
    every = [run for side in sides for run in side]
    names = [name for name, at in PERCENTILES.items() if timed >= SAMPLES_MIN[at]]
    return _Pair(
        place=place,
        whole=whole,
        base=base,
        head=head,
        runs=found,
        names=[*names, *SHARES],
        late_ms=(max(run.late_p50_ms for run in every), max(run.late_p99_ms for run in every)),
    )


def _errors(pair: _Pair, inflated: Inflated) -> dict[str, Error]:
    """Give each measure's error; what moments add to it is learnt from the phase as a whole."""
    base, head, place = pair.base, pair.head, pair.place
    by_group = drawn(base.by_group, head.by_group, pair.names, (_SEED, 0))
    # A tool has too few calls to say what moments do to it.
    by_part = {} if place.tool else drawn(base.by_part, head.by_part, pair.names, (_SEED, 1))
    axes = {
        name: Axes(
            floor=least(name, base.by_group, head.by_group),
            by_group=by_group[name],
            groups=base.by_group.rows,
            by_part=by_part.get(name, 0.0),
            parts=base.by_part.rows,
        )
        for name in pair.names
    }
    errors = {name: one.error for name, one in axes.items()}
    if not place.tool:
        inflated[place.arms, place.phase] = {name: one.inflation for name, one in axes.items()}
        return errors
    factors = inflated.get((place.arms, place.phase), {})
    return {
        name: replace(error, variance=error.variance * factors.get(name, 1.0))
        for name, error in errors.items()
    }


def _look(pair: _Pair, name: str, within: Error, latency_least: float) -> Look:
    base, head = _value(pair.base, name), _value(pair.head, name)
    figures = [[_value(run, name) for run in runs if _has(run, name)] for runs in pair.runs]
    timed = name in PERCENTILES
    slower, at_least, assumed = 0.0, SHARE_LEAST, 0.0
    if timed:
        figures = [[log(value) for value in side] for side in figures]
        at_least = max(log1p(latency_least), log1p(max(LATENCY_LEAST_MS, pair.late(name)) / base))
        work = _work(pair, min(base, head))
        slower = work * BUSY_SLOPE * _slower(pair.base, pair.head)
        waits = [[run.slowness for run in runs] for runs in pair.runs]
        assumed = restless(waits, work * BUSY_SPREAD)
    busy = _busy(pair) if timed else ""
    return Look(
        arm=_arm(pair.place),
        phase=pair.place.phase,
        tool=pair.place.tool,
        measure=name,
        unit="ms" if timed else "share",
        base=base,
        head=head,
        base_calls=int(pair.base.by_group.calls.sum()),
        head_calls=int(pair.head.by_group.calls.sum()),
        whole=pair.whole,
        why_not=busy,
        unlike=bool(busy),
        effect=log(head / base) if timed else head - base,
        error=widened(within, figures, assumed),
        least_worse=at_least + max(0.0, slower),
        least_better=at_least + max(0.0, -slower),
    )


def _work(pair: _Pair, latency_ms: float) -> float:
    """Give the share of a latency that a busy machine can stretch, at most.

    What a target sleeps or waits for takes as long on any machine. What is work waits for a
    processor a few times a call, each time about as long as squall's own calls left late.
    """
    return min(1.0, WORK_OF_LATE * max(pair.late_ms) / latency_ms)


def _busy(pair: _Pair) -> str:
    """Say where the machine was too busy for a latency to be the target's."""
    for name, side in zip(NAMES, (pair.base, pair.head), strict=True):
        if side.slowness is not None and side.slowness > BUSY_MAX:
            return f"the machine of {name} made all work {side.slowness:.0f} times slower"
    return ""


def _arm(place: Place) -> str:
    return place.arms[0] if len(place.arms) == 1 else BOTH


def _has(side: Counted, name: str) -> bool:
    return bool(side.fine.total if name in PERCENTILES else side.by_group.calls.sum())


def _value(side: Counted, name: str) -> float:
    """Give a measure: milliseconds, or a share."""
    if name in PERCENTILES:
        return side.fine.quantile_us(PERCENTILES[name]) / 1000
    table = side.by_group
    return float(getattr(table, name).sum()) / float(table.calls.sum())


def _slower(base: Counted, head: Counted) -> float:
    """Give how many times slower the machine itself was in head, as a logarithm; 0 if unknown."""
    if base.slowness is None or head.slowness is None:
        return 0.0
    return log(head.slowness / base.slowness)
