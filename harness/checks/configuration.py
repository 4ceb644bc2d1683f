"""Does a target that lacks what it needs, or is elsewhere, say so before it serves anybody?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from faults.fault import Fault
from faults.process import EnvMissing, PathDiffers
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Indices, WindowSpan
from harness.journal import TargetEntry
from harness.outcome import Outcome
from harness.verdict import Finding

_LATE: Final = Rule(
    verdict="late-fail-config",
    wrong="failed on a target that had started all the same",
    source="what a server needs is looked for when it starts: else it ends at once, and says why",
    unseen="the target came up too late to be called, or did not come up for another reason",
)
_FAILED: Final = (Outcome.TOOL_ERROR, Outcome.PROTOCOL_ERROR, Outcome.HTTP_ERROR, Outcome.WRONG)
_NOT_FOUND: Final = 404  # a session that ended with the process before
_CALLS_MIN: Final = 5
_SHARE_MIN: Final = 0.5


def late_fail_config(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a target without what it needs refused to start, or served and failed.

    Needs an `env-missing` or a `path-differs`. A process that ended by itself has refused. One that
    answered is judged by its calls: where half of those of one kind fail that hardly did in the
    baseline, it needed the variable or the place and did not say so; else it can do without.
    """
    return tuple(
        _started(evidence, window, how)
        for window in evidence.phases.windows
        if window.injected and (how := _differently(window.fault))
    )


def _differently(fault: Fault) -> str:
    """Say how the target was started; "" where nothing that it may need was taken from it."""
    if isinstance(fault, EnvMissing):
        return f"without {fault.variable}"
    return f"in {fault.directory}" if isinstance(fault, PathDiffers) else ""


def _started(evidence: Evidence, window: WindowSpan, how: str) -> Finding:
    mine = [
        one
        for one in evidence.journal.of(TargetEntry)
        if one.window == window.window and one.at_ns < window.end_ns
    ]
    started_ns = max((one.at_ns for one in mine if one.edge == "started"), default=-1)
    after = [one for one in mine if one.at_ns >= started_ns >= 0]
    if any(one.edge == "ended" and not one.asked for one in after):
        why = f"{how} it did not start"
        return _passed(window, why)
    ready_ns = max((one.at_ns for one in after if one.edge == "ready"), default=-1)
    calls = evidence.calls
    inside = sightings.attempted(evidence) & (calls["attempt"] > 0)
    inside &= (sightings.began_ns(evidence) >= ready_ns) & (calls["status"] != _NOT_FOUND)
    inside &= (sightings.ended_ns(evidence) < window.end_ns) & (calls["done_ns"] >= 0)
    failed = np.isin(calls["outcome"], _FAILED)
    before = calls["done_ns"] < evidence.phases.baseline.end_ns
    for code in np.unique(calls["call"][inside]) if ready_ns >= 0 else ():
        kind = calls["call"] == code
        bad: Indices = np.flatnonzero(inside & kind & failed)
        count = int(np.count_nonzero(inside & kind))
        if len(bad) < max(_CALLS_MIN, _SHARE_MIN * count) or failed[before & kind].mean() > 0.1:  # noqa: PLR2004
            continue
        return Finding(
            verdict=_LATE.verdict,
            ruling="fail",
            fault=window.id,
            tool=evidence.plan.calls[code],
            observed=float(len(bad)),
            limit=0.0,
            unit=_LATE.unit,
            why=f"{len(bad)} of {count} calls of {evidence.plan.calls[code]} {_LATE.wrong}, {how}",
            source=_LATE.source,
            evidence=sightings.worst_first(evidence, bad, calls["done_ns"] - calls["due_ns"]),
        )
    if ready_ns < 0 or np.count_nonzero(inside) < _CALLS_MIN:
        return sightings.unknown(_LATE, _LATE.unseen, fault=window.id)
    return _passed(window, f"{how} its calls are answered as before")


def _passed(window: WindowSpan, why: str) -> Finding:
    return Finding(
        verdict=_LATE.verdict,
        ruling="pass",
        fault=window.id,
        observed=0.0,
        limit=0.0,
        unit=_LATE.unit,
        why=why,
        source=_LATE.source,
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (late_fail_config,)
