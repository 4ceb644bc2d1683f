"""Does a target that is told to end answer what is under way, and is it gone in time?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from faults.process import Sigterm
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Indices, Mask, WindowSpan
from harness.journal import TargetEntry
from harness.outcome import Outcome
from harness.verdict import Finding

_DRAIN: Final = Rule(
    verdict="no-drain",
    wrong="were under way when the target was told to end, and got no answer",
    source="what is under way is answered before a process ends; new work is refused",
    unseen="no call was under way when the target was told to end",
)
_HUNG: Final = Rule(
    verdict="hung-exit",
    wrong="had to be killed, for they did not end in the grace that they were given",
    source="a process that is told to end does so within its grace, streams that stand open or not",
    unseen="no launched target was told to end",
    unit="processes",
)
# A request may be on its way, or in a queue, when the signal comes: such a one is new work.
_UNDER_WAY_NS: Final = 500_000_000
# What no answer is. An error is one: who was told has lost nothing without knowing.
_UNANSWERED: Final = (Outcome.TRANSPORT_ERROR, Outcome.TIMEOUT, Outcome.HANG)
_GRACE_SHARE: Final = 0.8  # who needs more of it than that may rightly be cut off
_SLACK_S: Final = 0.5  # of a busy machine, until an end is seen


@dataclass(frozen=True, kw_only=True)
class _Told:
    """One process that was told to end, and what came of it."""

    window: WindowSpan
    grace_s: float
    pid: int
    at_ns: int
    ended: TargetEntry | None
    killed: bool  # because the grace was over, or the window


def _all_told(evidence: Evidence) -> Iterator[_Told]:
    entries = evidence.journal.of(TargetEntry)
    for window in evidence.phases.windows:
        if not window.injected or not isinstance(window.fault, Sigterm):
            continue
        mine = [one for one in entries if one.window == window.window]
        for told in (one for one in mine if one.edge == "told"):
            after = [one for one in mine if one.pid == told.pid and one.at_ns >= told.at_ns]
            yield _Told(
                window=window,
                grace_s=window.fault.grace_s,
                pid=told.pid,
                at_ns=told.at_ns,
                ended=next((one for one in after if one.edge == "ended"), None),
                killed=any(one.edge == "killed" for one in after),
            )


def no_drain(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether calls that were under way when the target was told to end got their answers.

    Needs a `sigterm`, and a call that was then at least half a second old and would have been done
    within four fifths of the grace, as others of its kind were. One without an answer is enough.
    """
    return tuple(_drained(evidence, told) for told in _all_told(evidence))


def _drained(evidence: Evidence, told: _Told) -> Finding:
    began_ns, ended_ns = sightings.began_ns(evidence), sightings.ended_ns(evidence)
    flying = sightings.attempted(evidence) & (began_ns <= told.at_ns - _UNDER_WAY_NS)
    flying &= ended_ns > told.at_ns
    flying &= began_ns + _usual_ns(evidence) <= told.at_ns + _GRACE_SHARE * told.grace_s * 1e9
    fault = told.window.id
    if not flying.any():
        return sightings.unknown(_DRAIN, _DRAIN.unseen, fault=fault)
    outcome = evidence.calls["outcome"]
    lost: Indices = np.flatnonzero(flying & np.isin(outcome, _UNANSWERED))
    count = int(flying.sum())
    return Finding(
        verdict=_DRAIN.verdict,
        ruling="fail" if len(lost) else "pass",
        fault=fault,
        observed=float(len(lost)),
        limit=0.0,
        unit=_DRAIN.unit,
        why=f"{len(lost)} of {count} calls {_DRAIN.wrong}, {told.at_ns / 1e9:.1f} s into the run",
        source=_DRAIN.source,
        evidence=sightings.worst_first(evidence, lost, told.at_ns - began_ns),
    )


def _usual_ns(evidence: Evidence) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Give, for each attempt, how long calls of its kind took in the baseline, at most."""
    calls = evidence.calls
    took_ns = calls["done_ns"] - calls["sent_ns"]
    before: Mask = (calls["done_ns"] >= 0) & (calls["done_ns"] < evidence.phases.baseline.end_ns)
    before &= calls["outcome"] == Outcome.OK
    usual = np.zeros(len(evidence.plan.calls), dtype=np.int64)
    np.maximum.at(usual, calls["call"][before], took_ns[before])
    return np.asarray(usual[calls["call"]])


def hung_exit(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a target that was told to end did so within its grace.

    Needs a `sigterm`; unknown where its window ended before the grace did. Its exit status is not
    judged: a server may pass the signal on to itself once all is done.
    """
    return tuple(_ended(evidence, told) for told in _all_told(evidence))


def _ended(evidence: Evidence, told: _Told) -> Finding:
    fault = told.window.id
    took_s = told.ended.took_s if told.ended is not None else told.window.healed_ns / 1e9
    if told.ended is None or (told.killed and took_s < told.grace_s - _SLACK_S):
        why = f"it was not given its grace of {told.grace_s:g} s; let the window last longer"
        return sightings.unknown(_HUNG, why, fault=fault)
    said = f"had not ended {told.grace_s:g} s after it was told to, and was killed"
    return Finding(
        verdict=_HUNG.verdict,
        ruling="fail" if told.killed else "pass",
        fault=fault,
        observed=took_s,
        limit=told.grace_s,
        unit="s",
        why=f"the target {said if told.killed else f'ended {took_s:.1f} s after it was told to'}",
        source=_HUNG.source,
        evidence=_standing(evidence, told) if told.killed else (),
    )


def _standing(evidence: Evidence, told: _Told) -> tuple[str, ...]:
    """Name the calls that it still had, or else say which process it was."""
    began_ns = sightings.began_ns(evidence)
    flying: Indices = np.flatnonzero(
        sightings.attempted(evidence)
        & (began_ns < told.at_ns)
        & (sightings.ended_ns(evidence) > told.at_ns)
    )
    named = sightings.worst_first(evidence, flying, told.at_ns - began_ns)
    return named or (f"process {told.pid}, told at {told.at_ns / 1e9:.1f} s",)


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (no_drain, hung_exit)
