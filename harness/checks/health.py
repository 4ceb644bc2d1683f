"""Does the target's health check say what its calls say?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Indices, Mask, Times, WindowSpan
from harness.journal import HealthProbeEntry, TargetEntry
from harness.outcome import Outcome
from harness.scenario.transports import is_piped
from harness.verdict import Finding

_LIES: Final = Rule(
    verdict="health-lies",
    wrong="failed while the health check said that all is well",
    source="a health check says ok when calls would be answered, and not before or after",
    unseen="too few calls, or too short, to hold the health check against",
)
# Faults that leave nothing between squall and the target: it is asked past the arms' proxies.
_LEVERS: Final = ("process", "dependency")
_FAILED: Final = (
    Outcome.TRANSPORT_ERROR,
    Outcome.TIMEOUT,
    Outcome.HANG,
    Outcome.TOOL_ERROR,
    Outcome.PROTOCOL_ERROR,
)
_WAITED: Final = (Outcome.TIMEOUT, Outcome.HANG)
_SERVERS_OWN: Final = 500  # what is refused below that says more of the request than of the server
_PROBES_MIN: Final = 4  # running, that all say ok: one may be older than what broke
_STRETCH_MIN_NS: Final = 2_500_000_000
_CALLS_MIN: Final = 10
_SESSIONS_MIN: Final = 2
_ANSWERED_MAX: Final = 0.05  # of the calls of a stretch in which the target does not serve
_USUAL_MIN: Final = 0.5  # of the calls of a kind are answered in a baseline, or nothing is said
_LATE_NS: Final = 500_000_000  # beyond twice the usual, until a call that waits counts as failing


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """A part of the run in which health and calls are held against each other."""

    start_ns: int
    end_ns: int
    window: WindowSpan | None = None

    @property
    def fault(self) -> str:
        return "" if self.window is None else self.window.id


@dataclass(frozen=True, kw_only=True, eq=False)
class _Fates:
    """What became of the calls that say something about the target's state, and when."""

    evidence: Evidence

    @cached_property
    def judged(self) -> Mask:
        calls = self.evidence.calls
        judged = sightings.attempted(self.evidence) & (calls["attempt"] > 0)
        return np.asarray(judged & (calls["behaviour"] == 0) & self._usual[calls["call"]])

    @cached_property
    def answered(self) -> Mask:
        return np.asarray(self.judged & (self.evidence.calls["outcome"] == Outcome.OK))

    @cached_property
    def failed(self) -> Mask:
        calls = self.evidence.calls
        broken = (calls["outcome"] == Outcome.HTTP_ERROR) & (calls["status"] >= _SERVERS_OWN)
        return np.asarray(self.judged & (np.isin(calls["outcome"], _FAILED) | broken))

    @cached_property
    def failing_ns(self) -> Times:
        """From when on a failed call says so: a wait, once it is longer than others ever were."""
        calls, ended_ns = self.evidence.calls, sightings.ended_ns(self.evidence)
        usual_ns = np.zeros(len(self._usual), dtype=np.int64)
        good = self._before & (calls["outcome"] == Outcome.OK) & (calls["sent_ns"] >= 0)
        took_ns = calls["done_ns"] - calls["sent_ns"]
        np.maximum.at(usual_ns, calls["call"][good], took_ns[good])
        late_ns = sightings.began_ns(self.evidence) + 2 * usual_ns[calls["call"]] + _LATE_NS
        waited = np.isin(calls["outcome"], _WAITED)
        return np.asarray(np.where(waited, np.minimum(late_ns, ended_ns), ended_ns))

    @cached_property
    def _sorted_ns(self) -> tuple[Times, Times, Times]:
        """The ends of answered calls; of failed ones, from when on they say so, and their ends."""
        ended_ns, failed = sightings.ended_ns(self.evidence), self.failed
        return (
            np.sort(ended_ns[self.answered]),
            np.sort(self.failing_ns[failed]),
            np.sort(ended_ns[failed]),
        )

    def count(self, start_ns: int, end_ns: int) -> tuple[int, int]:
        """Count the calls that were answered in a stretch, and those that were failing in it."""
        answered, failing, over = self._sorted_ns
        good = np.searchsorted(answered, end_ns, "right") - np.searchsorted(answered, start_ns)
        bad = np.searchsorted(failing, end_ns, "right") - np.searchsorted(over, start_ns)
        return int(good), int(bad)

    def failing(self, start_ns: int, end_ns: int) -> Indices:
        """Give those that were failing."""
        over = sightings.ended_ns(self.evidence) >= start_ns
        return np.flatnonzero(self.failed & (self.failing_ns <= end_ns) & over)

    @cached_property
    def _before(self) -> Mask:
        calls, baseline = self.evidence.calls, self.evidence.phases.baseline
        return np.asarray(
            sightings.attempted(self.evidence)
            & (calls["done_ns"] >= 0)
            & (calls["done_ns"] < baseline.end_ns)
        )

    @cached_property
    def _usual(self) -> Mask:
        """By kind of call: whether it is usually answered where nothing is broken."""
        calls, before = self.evidence.calls, self._before
        kinds = max(1, len(self.evidence.plan.calls))
        made = np.bincount(calls["call"][before], minlength=kinds)
        good = before & (calls["outcome"] == Outcome.OK)
        right = np.bincount(calls["call"][good], minlength=kinds)
        return np.asarray((made > 0) & (right >= _USUAL_MIN * made))


def health_lies(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether the health check said ok while hardly any call was answered.

    Needs to know where health can be asked for. Four answers of 2xx running, over 2.5 s in which of
    ten calls or more nearly all failed or waited in vain, are a lie; so is a process that says ok
    before the first call is answered. One that says 503 is honest, and one that says nothing too.
    Judged with no fault, and under those of the process and of a dependency that is gone.
    """
    if is_piped(evidence.scenario.target):
        return ()
    probes = evidence.journal.of(HealthProbeEntry)
    if not probes:
        why = "nobody said where the target's health can be asked for: `target: {health: /PATH}`"
        return (sightings.unknown(_LIES, why),)
    if not any(_well(one) for one in probes):
        last = probes[-1]
        why = f"the health check never said ok: {last.status or last.text}"
        return (sightings.unknown(_LIES, why),)
    fates = _Fates(evidence=evidence)
    return tuple(_looked(fates, stretch, probes) for stretch in _stretches(evidence))


def _well(probe: HealthProbeEntry) -> bool:
    return probe.status // 100 == 2  # noqa: PLR2004


def _stretches(evidence: Evidence) -> Iterator[_Stretch]:
    """Yield the windows that are judged, and the baseline.

    What comes back when a dependency does is the recovery's affair: breakers take their time.
    """
    for window in evidence.injected:
        if "health-lies" not in window.fault.shows or window.fault.lever not in _LEVERS:
            continue
        dependency = window.fault.lever == "dependency"
        end_ns = window.end_ns if dependency else window.recovery_end_ns
        others = [one for one in evidence.injected if one.window != window.window]
        if any(one.start_ns < end_ns and one.healed_ns > window.start_ns for one in others):
            continue
        yield _Stretch(start_ns=window.start_ns, end_ns=end_ns, window=window)
    baseline = evidence.phases.baseline
    yield _Stretch(start_ns=baseline.start_ns, end_ns=baseline.end_ns)


def _looked(fates: _Fates, stretch: _Stretch, probes: tuple[HealthProbeEntry, ...]) -> Finding:
    mine = [
        one
        for one in probes
        if one.at_ns >= stretch.start_ns and one.at_ns + one.took_ns < stretch.end_ns
    ]
    for run in _content(fates, mine):
        start_ns, end_ns = run[0].at_ns + run[0].took_ns, run[-1].at_ns
        good, bad = fates.count(start_ns, end_ns)
        long = len(run) >= _PROBES_MIN and end_ns - start_ns >= _STRETCH_MIN_NS
        if not long or bad < _CALLS_MIN or _serves(good, bad):
            continue
        failing = fates.failing(start_ns, end_ns)
        if len(np.unique(fates.evidence.calls["session"][failing])) >= _SESSIONS_MIN:
            return _lied(fates.evidence, stretch, run, good, failing)
    if len(mine) < _PROBES_MIN or sum(fates.count(stretch.start_ns, stretch.end_ns)) < _CALLS_MIN:
        return sightings.unknown(_LIES, _LIES.unseen, fault=stretch.fault)
    content = sum(map(_well, mine))
    why = f"the health check said ok {content} of {len(mine)} times, and calls were answered then"
    if not content:
        why = f"the health check said {len(mine)} times that the target cannot serve"
    return sightings.passed(_LIES, len(mine), why, fault=stretch.fault)


def _serves(good: int, bad: int) -> bool:
    return good > _ANSWERED_MAX * (good + bad)


def _content(fates: _Fates, probes: list[HealthProbeEntry]) -> Iterator[list[HealthProbeEntry]]:
    """Yield each longest row of probes that all said ok with hardly a call answered in between."""
    run: list[HealthProbeEntry] = []
    for before, after in pairwise(probes):
        good, bad = fates.count(before.at_ns, after.at_ns + after.took_ns)
        if _well(before) and _well(after) and bad and not _serves(good, bad):
            run = [*run, after] if run else [before, after]
        elif run:
            yield run
            run = []
    if run:
        yield run


def _lied(
    evidence: Evidence,
    stretch: _Stretch,
    run: list[HealthProbeEntry],
    good: int,
    bad: Indices,
) -> Finding:
    calls = evidence.calls
    tools = sorted({evidence.plan.calls[code] for code in np.unique(calls["call"][bad])})
    named = ", ".join(tools[: sightings.TOOLS_NAMED_MAX])
    more = ", …" if len(tools) > sightings.TOOLS_NAMED_MAX else ""
    treated = calls["treated"][bad] == 1
    first_s, last_s = run[0].at_ns / 1e9, run[-1].at_ns / 1e9
    return Finding(
        verdict=_LIES.verdict,
        ruling="fail",
        fault=stretch.fault,
        tool=tools[0] if len(tools) == 1 else "",
        observed=float(len(bad)),
        limit=0.0,
        unit=_LIES.unit,
        why=f"{_begun(evidence, stretch, run)} said {run[0].status} {len(run)} times from "
        f"{first_s:.1f} to {last_s:.1f} s, while {len(bad)} of {len(bad) + good} calls "
        f"({named}{more}) failed",
        source=_LIES.source,
        evidence=sightings.worst_first(
            evidence, bad, sightings.ended_ns(evidence) - calls["due_ns"]
        ),
        first_s=round(first_s, 3),
        last_s=round(last_s, 3),
        treated=len(np.unique(calls["session"][bad][treated])),
        control=len(np.unique(calls["session"][bad][~treated])),
    )


def _begun(evidence: Evidence, stretch: _Stretch, run: list[HealthProbeEntry]) -> str:
    """Name who said it: a process that has only just been started says it too early."""
    begun = [
        one.at_ns
        for one in evidence.journal.of(TargetEntry)
        if one.edge == "started" and stretch.start_ns <= one.at_ns <= run[0].at_ns
    ]
    if not begun:
        return "the health check"
    return f"the health check of a process that was started {begun[-1] / 1e9:.1f} s into the run"


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (health_lies,)
