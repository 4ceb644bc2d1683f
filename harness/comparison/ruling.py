"""Two sides -> what became worse, better or stayed the same, and what that adds up to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import Final, Literal

from harness.comparison.digest import Digest
from harness.comparison.holm import chance_beyond, correct, deviations
from harness.comparison.identity import Identity, differences
from harness.comparison.measures import LATENCY_LEAST, Look, looks

Verdict = Literal["worse", "better", "same", "cannot"]

# Of the allowance for false alarms: the rest is for single tools, and for arms that are the same.
WHOLE_WEIGHT: Final = 0.8
_ORDER: Final[tuple[Verdict, ...]] = ("worse", "better", "same", "cannot")
# Beyond these nobody can tell: a logarithm, a share, points, seconds.
_MOST: Final = {"ms": log(1000.0), "share": 1.0, "points": 100.0, "s": 86_400.0}
POWER: Final = 0.2  # two-sided: what lies so far beyond is found nine times of ten


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side as it was given: runs of one kind."""

    name: str  # as the user named it
    identity: Identity
    runs: tuple[Digest, ...]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One measure: what it was, what it is, and what may be said of the difference.

    For latency `effect`, `low`, `high` and `smallest` are ratios, head over base; else differences.
    """

    arm: str
    phase: str
    tool: str
    measure: str
    unit: str
    base: float | None
    head: float | None
    base_calls: int
    head_calls: int
    whole: bool  # an arm and phase as a whole: of the first rank
    verdict: Verdict
    why_not: str
    effect: float | None = None
    low: float | None = None
    high: float | None = None
    smallest: float | None = None  # the smallest worsening that is found nine times of ten
    chance: float | None = None  # of so much, were there nothing: before correction
    level: float | None = None  # what that is held to


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Everything that may be said of head beside base."""

    base: Side
    head: Side
    verdict: Verdict
    headline: str
    differences: tuple[str, ...]  # why nothing can be compared
    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def compare(base: Side, head: Side, *, latency_least: float = LATENCY_LEAST) -> Comparison:
    """Hold two sides together."""
    apart = list(differences(base.identity, head.identity))
    sides: list[list[Digest]] = []
    notes: list[str] = []
    for name, side in (("base", base), ("head", head)):
        sound = [run for run in side.runs if not run.doubts]
        sides.append(sound)
        told = [f"{name}'s run {run.run}: {run.doubts[0]}" for run in side.runs if run.doubts]
        if sound:
            notes += [f"left out, {why}" for why in told]
        else:
            apart += told
    if apart:
        return Comparison(
            base=base,
            head=head,
            verdict="cannot",
            headline=f"CANNOT BE COMPARED  {'; '.join(apart)}",
            differences=tuple(apart),
            changes=(),
            notes=tuple(notes),
        )
    taken = looks((sides[0], sides[1]), latency_least=latency_least)
    changes = _weighed(taken)
    verdict = _together(changes)
    return Comparison(
        base=base,
        head=head,
        verdict=verdict,
        headline=_headline(verdict, changes),
        differences=(),
        changes=changes,
        notes=(*notes, *_notes(base, head, sides)),
    )


def _weighed(taken: Sequence[Look]) -> tuple[Change, ...]:
    """Correct for so many looks, and say of each what may be said."""
    able = [look for look in taken if not look.why_not]
    count = {rank: sum(look.whole is rank for look in able) for rank in (True, False)}
    share = {True: WHOLE_WEIGHT, False: 1.0 - WHOLE_WEIGHT}
    chances = [_chance(look) for look in able]
    held = correct(chances, [share[look.whole] / count[look.whole] for look in able])
    told = {id(look): (chance, one) for look, chance, one in zip(able, chances, held, strict=True)}
    changes = []
    for look in taken:
        if look.why_not:
            changes.append(_change(look, "cannot"))
            continue
        chance, one = told[id(look)]
        verdict: Verdict = "same"
        if one.found:
            lower_is_worse = look.measure == "score"
            verdict = "worse" if (look.effect < 0) is lower_is_worse else "better"
        changes.append(_change(look, verdict, chance, one.level))
    return tuple(changes)


def _least(look: Look) -> float:
    """Give what the effect has to exceed, in the direction that it has."""
    worse = (look.effect < 0) is (look.measure == "score")
    return look.least_worse if worse else look.least_better


def _chance(look: Look) -> float:
    error = sqrt(look.error.variance)
    beyond = abs(look.effect) - _least(look)
    if error <= 0:
        return 0.0 if beyond > 0 else 1.0
    return chance_beyond(beyond / error, look.error.freedom)


def _change(look: Look, verdict: Verdict, chance: float = 1.0, level: float = 1.0) -> Change:
    plain = Change(
        arm=look.arm,
        phase=look.phase,
        tool=look.tool,
        measure=look.measure,
        unit=look.unit,
        base=look.base,
        head=look.head,
        base_calls=look.base_calls,
        head_calls=look.head_calls,
        whole=look.whole,
        verdict=verdict,
        why_not=look.why_not,
    )
    if look.why_not:
        return plain
    error = sqrt(look.error.variance)
    reach = error * deviations(level, look.error.freedom)
    found = error * deviations(POWER, look.error.freedom)
    sign = -1.0 if look.measure == "score" else 1.0
    most = _MOST[look.unit]

    def told(effect: float) -> float:
        """Bring an effect into what can be, and latencies out of their logarithm."""
        within = min(most, max(-most, effect))
        return exp(within) if look.unit == "ms" else within

    return replace(
        plain,
        effect=told(look.effect),
        low=told(look.effect - reach),
        high=told(look.effect + reach),
        smallest=told(sign * (look.least_worse + reach + found)),
        chance=chance,
        level=level,
    )


def _together(changes: Sequence[Change]) -> Verdict:
    """Worse outranks better, and what cannot be compared counts when nothing else could be."""
    seen = {change.verdict for change in changes}
    return next((verdict for verdict in _ORDER if verdict in seen), "cannot")


def _headline(verdict: Verdict, changes: Sequence[Change]) -> str:
    """Say it in one line; the reports put the figures beside it."""
    count = {one: sum(change.verdict == one for change in changes) for one in _ORDER}
    looked = len(changes) - count["cannot"]
    scenario = f"{looked} measures"
    match verdict:
        case "worse":
            also = f", {count['better']} better" if count["better"] else ""
            return f"WORSE  {count['worse']} of {scenario} worse{also}: {_first(changes, 'worse')}"
        case "better":
            return f"BETTER  {count['better']} of {scenario}: {_first(changes, 'better')}"
        case "same":
            return f"SAME  {scenario}, none worse and none better"
        case _:
            why = next((change.why_not for change in changes), "no figures")
            return f"CANNOT BE COMPARED  {why}"


def _first(changes: Sequence[Change], verdict: Verdict) -> str:
    """Tell the clearest change."""
    found = [change for change in changes if change.verdict == verdict]
    one = min(found, key=lambda change: (not change.whole, change.chance or 0.0))
    where = " ".join(part for part in (one.phase, one.arm, one.tool) if part) or "whole run"
    return f"{one.measure} of {where}"


def _notes(base: Side, head: Side, sides: Sequence[Sequence[Digest]]) -> tuple[str, ...]:
    notes = []
    if min(map(len, sides)) == 1:
        notes.append(
            "with one run on a side, how much equal runs differ is known only from within them: "
            "give three or more a side where the machine is not quiet"
        )
    versions = {run.squall for side in (base, head) for run in side.runs}
    if len(versions) > 1:
        notes.append(f"measured by different versions of squall: {', '.join(sorted(versions))}")
    return tuple(notes)
