"""Two sides -> what became worse, better or stayed the same, and what that adds up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import exp, log, sqrt
from typing import Final, Literal

from harness.comparison.digest import Digest
from harness.comparison.holm import chance_beyond, correct, deviations
from harness.comparison.identity import Difference, Identity, differences
from harness.comparison.measures import BASELINE, LATENCY_LEAST, Look, looks
from harness.scenario.units import counted

Verdict = Literal["worse", "better", "same", "cannot"]

# How the allowance for false alarms is shared out: what is worse everywhere shows in the baseline,
# where most calls are; single tools, and arms that are the same, come last.
_WEIGHTS: Final = {"calm": 0.4, "whole": 0.4, "single": 0.2}
_ORDER: Final[tuple[Verdict, ...]] = ("worse", "better", "same", "cannot")
# Beyond these nobody can tell: a logarithm, a share, points, seconds.
_MOST: Final = {"ms": log(1000.0), "share": 1.0, "points": 100.0, "s": 86_400.0}
_BUSY_TOLD: Final = 1.5
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
    unlike: bool = False  # the sides are not alike there, which is more than a lack of calls
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
    apart: tuple[Difference, ...]  # those of them in which the sides are not of one kind
    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def compare(base: Side, head: Side, *, latency_least: float = LATENCY_LEAST) -> Comparison:
    """Hold two sides together."""
    unlike = differences(base.identity, head.identity)
    apart = [one.told for one in unlike]
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
            headline=f"CANNOT BE COMPARED  {apart[0]}{_more(apart)}",
            differences=tuple(apart),
            apart=unlike,
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
        apart=(),
        changes=changes,
        notes=(*notes, *_notes(base, head, sides)),
    )


def _more(apart: Sequence[str]) -> str:
    return f"; and {len(apart) - 1} more" if len(apart) > 1 else ""


def _weighed(taken: Sequence[Look]) -> tuple[Change, ...]:
    """Correct for so many looks, and say of each what may be said."""
    able = [look for look in taken if not look.why_not]
    ranks = [_rank(look) for look in able]
    count = Counter(ranks)
    chances = [_chance(look) for look in able]
    held = correct(chances, [_WEIGHTS[rank] / count[rank] for rank in ranks])
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
        changes.append(_sighted(_change(look, verdict, chance, one.level)))
    return tuple(changes)


def _sighted(change: Change) -> Change:
    """Withhold *same* where no worsening whatever would have been found."""
    most = exp(_MOST["ms"])
    if change.verdict != "same" or change.unit != "ms" or (change.smallest or 0.0) < most:
        return change
    blind = "equal runs differ too much for any change to show"
    return replace(change, verdict="cannot", why_not=blind)


def _rank(look: Look) -> str:
    if not look.whole:
        return "single"
    return "calm" if look.phase == BASELINE else "whole"


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
        unlike=look.unlike,
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
    """Take the gravest: what is worse, then where the sides are not alike, then what is better."""
    seen = {change.verdict for change in changes}
    if "worse" in seen:
        return "worse"
    if any(change.unlike and change.whole for change in changes):
        return "cannot"
    return next((verdict for verdict in _ORDER if verdict in seen), "cannot")


def _headline(verdict: Verdict, changes: Sequence[Change]) -> str:
    """Say it in one line."""
    count = {one: sum(change.verdict == one for change in changes) for one in _ORDER}
    looked = len(changes) - count["cannot"]
    match verdict:
        case "worse":
            also = f", {count['better']} better" if count["better"] else ""
            first = _first(changes, "worse")
            return f"WORSE  {first}; {count['worse']} of {counted(looked, 'measures')} worse{also}"
        case "better":
            first = _first(changes, "better")
            return f"BETTER  {first}; {count['better']} of {counted(looked, 'measures')}"
        case "same":
            told = f"SAME  {counted(looked, 'measures')}, none worse and none better"
            return f"{told}; {shown}" if (shown := _shown(changes)) else told
        case _:
            order = sorted(changes, key=lambda change: not (change.unlike and change.whole))
            why = next((change.why_not for change in order if change.why_not), "no figures")
            return f"CANNOT BE COMPARED  {why}"


def _first(changes: Sequence[Change], verdict: Verdict) -> str:
    """Tell the clearest change."""
    found = [change for change in changes if change.verdict == verdict]
    one = min(found, key=lambda change: (not change.whole, change.chance or 0.0))
    where = ", ".join(part for part in (one.phase, one.arm, one.tool) if part) or "whole run"
    return f"{one.measure} {_amount(one, one.effect)} ({where})"


def _shown(changes: Sequence[Change]) -> str:
    """Say what would have been found: of the first phase, its tail and its errors."""
    able = [one for one in changes if one.verdict != "cannot"]
    mine = [one for one in able if one.whole and one.smallest is not None and one.base_calls]
    told = {
        one.measure: f"{one.measure} {_amount(one, one.smallest)}"
        for one in mine
        if one.phase == mine[0].phase
    }
    tail = next((told[name] for name in ("p99", "p95", "p50") if name in told), "")
    words = " or ".join(part for part in (tail, told.get("errors", "")) if part)
    return f"{words} would have shown" if words else ""


def _amount(change: Change, effect: float | None) -> str:
    """Write an effect: a ratio, points of a hundred, seconds or points of a score."""
    figure = 0.0 if effect is None else effect
    match change.unit:
        case "ms":
            return f"×{figure:.2f}"
        case "share":
            return f"{figure * 100:+.2f} points"
        case "s":
            return f"{figure:+.1f} s"
        case _:
            return f"{figure:+.1f} points"


def _notes(base: Side, head: Side, sides: Sequence[Sequence[Digest]]) -> tuple[str, ...]:
    notes = []
    if min(map(len, sides)) == 1:
        notes.append(
            "with one run on a side, how much equal runs differ is known only from within them: "
            "give three or more a side where the machine is not quiet"
        )
    waits = [run.slowness for side in sides for run in side]
    slowest = max((one for one in waits if one is not None), default=1.0)
    if None in waits:
        notes.append(
            "this system does not say how busy the machine was, so that is not allowed for"
        )
    elif slowest > _BUSY_TOLD:
        notes.append(
            f"the machine made squall's own work up to {slowest:.1f} times slower: the intervals "
            "are wider for it; a quiet machine shows smaller effects"
        )
    versions = {run.squall for side in (base, head) for run in side.runs}
    if len(versions) > 1:
        notes.append(f"measured by different versions of squall: {', '.join(sorted(versions))}")
    return tuple(notes)
