"""Did the target stay alive?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from faults.process import Relaunch
from harness.checks import sightings
from harness.checks.processes import crashed
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Indices
from harness.journal import RunEntry, TargetEntry, VitalsEntry, call_id
from harness.outcome import Outcome, Reason
from harness.scenario.transports import is_piped
from harness.scenario.units import counted
from harness.verdict import Finding

_CRASH: Final = Rule(
    verdict="crash",
    wrong="found nobody at the target's address, one after another, in the untouched arm",
    source="no fault of this run stops the target's process",
    unseen="the target's process was not watched, and no call of the untouched arm was sent",
)
_REFUSED_MIN: Final = 3
_DROPPED_MIN: Final = 5  # a proxy in front accepts first and then drops: less plain, so more of it
_SESSIONS_MIN: Final = 2


def crash(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether the target's process died, or its address went dead, under the run.

    Needs samples of the process, or calls of the control arm. A process that is watched and lives
    has not crashed, whatever its callers see. For one that nobody watches it takes three control
    calls in a row that were refused, or five that were dropped without a byte, of two sessions.
    """
    if is_piped(evidence.scenario.target):
        return crashed(evidence)
    ended = [entry.at_ns for entry in evidence.journal.of(RunEntry) if entry.edge == "ended"]
    until_ns = ended[-1] if ended else evidence.run_end_ns + 1
    vitals = [entry for entry in evidence.journal.of(VitalsEntry) if entry.at_ns < until_ns]
    if vitals:
        return (_watched(evidence, vitals),)
    return (_knocked(evidence),)


def _watched(evidence: Evidence, vitals: list[VitalsEntry]) -> Finding:
    dead = [entry for entry in vitals if not entry.alive and not _ended_by_us(evidence, entry)]
    if not dead:
        looks = counted(len(vitals), "times")
        why = f"the target's process was alive each of the {looks} it was looked at"
        return sightings.passed(_CRASH, len(vitals), why)
    at_ns = dead[0].at_ns
    calls = evidence.calls
    flying: Indices = np.flatnonzero(
        sightings.attempted(evidence)
        & (calls["outcome"] == Outcome.TRANSPORT_ERROR)
        & (
            sightings.ended_ns(evidence)
            >= max((v.at_ns for v in vitals if v.at_ns < at_ns), default=0)
        )
    )
    began_ns = sightings.began_ns(evidence)
    first = flying[np.argsort(began_ns[flying], kind="stable")][: sightings.EVIDENCE_MAX]
    return _crashed(
        fault=sightings.fault_at(evidence, at_ns),
        observed=1.0,
        unit="processes",
        why=f"the target's process was found dead {at_ns / 1e9:.1f} s into the run",
        evidence=tuple(call_id(calls[at]) for at in first),
    )


def _ended_by_us(evidence: Evidence, seen: VitalsEntry) -> bool:
    """Tell whether a fault had ended the target by then, or let it stand still."""
    edges = [one for one in evidence.journal.of(TargetEntry) if one.at_ns <= seen.at_ns]
    last = edges[-1] if edges else None
    if last is None:
        return False
    refuses = {w.window for w in evidence.injected if isinstance(w.fault, Relaunch)}
    return last.asked or last.edge in ("told", "killed", "stopped") or last.window in refuses


def _knocked(evidence: Evidence) -> Finding:
    """Look for the longest row of control calls that nobody answered the door for."""
    calls = evidence.calls
    control = np.flatnonzero(sightings.attempted(evidence) & (calls["treated"] == 0))
    if not len(control):
        return sightings.unknown(_CRASH, _CRASH.unseen)
    began_ns = sightings.began_ns(evidence)
    control = control[np.argsort(began_ns[control], kind="stable")]
    reason = calls["reason"][control]
    refused = reason == Reason.CONNECT_REFUSED
    dropped = np.isin(reason, (Reason.RESET, Reason.CLOSED_EARLY, Reason.SEND_FAILED))
    dropped &= (calls["first_ns"][control] < 0) & (calls["status"][control] == 0)
    for hit, needed in ((refused, _REFUSED_MIN), (refused | dropped, _DROPPED_MIN)):
        start, length = _longest(np.asarray(hit, dtype=np.bool_))
        row = control[start : start + length]
        if length >= needed and len(np.unique(calls["session"][row])) >= _SESSIONS_MIN:
            at_ns = int(began_ns[row[0]])
            return _crashed(
                fault=sightings.fault_at(evidence, at_ns),
                observed=float(length),
                unit="calls",
                why=f"{length} calls of the untouched arm in a row {_CRASH.wrong.split(',')[0]}, "
                f"from {at_ns / 1e9:.1f} s on",
                evidence=tuple(call_id(calls[at]) for at in row[: sightings.EVIDENCE_MAX]),
            )
    return sightings.passed(_CRASH, len(control))


def _longest(hit: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[int, int]:
    """Give the start and length of the longest unbroken row."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], hit.astype(np.int8), [0]))))
    if not len(edges):
        return 0, 0
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    return int(starts[longest]), int(ends[longest] - starts[longest])


def _crashed(
    *, fault: str, observed: float, unit: str, why: str, evidence: tuple[str, ...]
) -> Finding:
    return Finding(
        verdict=_CRASH.verdict,
        ruling="fail",
        fault=fault,
        observed=observed,
        limit=0.0,
        unit=unit,
        why=why,
        source=_CRASH.source,
        evidence=evidence,
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (crash,)
