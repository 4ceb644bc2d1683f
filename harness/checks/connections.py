"""Do the target's connections to a dependency come back?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.journal import PoolEntry
from harness.phases import Evidence, WindowSpan
from harness.verdict import Finding

_LEAK: Final = Rule(
    verdict="leak-conn",
    wrong="stayed open and were never used again",
    source="the dependency's own count of its connections: a pool needs no more than are ever in "
    "use at once",
    unseen="too few counts of the dependency's connections before and after a fault",
    unit="connections",
)
_SAMPLES_MIN: Final = 3  # before any fault, and at the end of a recovery
_REST_NS: Final = 2_000_000_000  # after a fault, before what is still open counts
_SPARE: Final = 8  # that a pool may keep beyond what was ever in use at once
_TIMES: Final = 2


def leak_conn(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether the target gives connections back that a failure or a caller's leaving broke.

    Needs three counts by the dependency before any fault and three at rest after one. Leaked is
    what is still open then, all the time, beyond twice what was open before and twice the most
    that were in use at once, and eight more. Says nothing where no dependency counts.
    """
    counts = sorted(evidence.journal.of(PoolEntry), key=lambda entry: entry.at_ns)
    windows = evidence.injected
    if not counts or not windows:
        return ()
    findings: list[Finding] = []
    judged = 0
    for name in sorted({entry.dependency for entry in counts}):
        mine = [entry for entry in counts if entry.dependency == name]
        calm = [e for e in mine if e.at_ns < windows[0].start_ns]
        for window in windows:
            rest = _at_rest(mine, window)
            if len(calm) < _SAMPLES_MIN or len(rest) < _SAMPLES_MIN:
                continue
            judged += 1
            before = [e for e in mine if e.at_ns < window.recovery_end_ns]
            allowed = _TIMES * max(*(e.open for e in calm), *(e.busy for e in before)) + _SPARE
            left = min(entry.open for entry in rest)
            if left > allowed:
                findings.append(_leaked(window, name, left=left, allowed=allowed))
    if findings:
        return tuple(findings)
    if not judged:
        return (sightings.unknown(_LEAK, _LEAK.unseen),)
    why = f"after each of {judged} faults no more connections were left open than are in use"
    return (sightings.passed(_LEAK, judged, why),)


def _at_rest(counts: list[PoolEntry], window: WindowSpan) -> list[PoolEntry]:
    from_ns = window.healed_ns + _REST_NS
    return [entry for entry in counts if from_ns <= entry.at_ns < window.recovery_end_ns]


def _leaked(window: WindowSpan, name: str, *, left: int, allowed: int) -> Finding:
    where = f" to {name}" if name else ""
    return Finding(
        verdict=_LEAK.verdict,
        ruling="fail",
        fault=window.id,
        observed=float(left),
        limit=float(allowed),
        unit=_LEAK.unit,
        why=f"{left} connections{where} were open all the time after {window.id}, and the most in "
        f"use at once never needed more than {allowed}",
        source=_LEAK.source,
        evidence=(f"ledger:{name or 'dependency'}:connections",),
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (leak_conn,)
