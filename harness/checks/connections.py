"""Do the target's connections to a dependency come back?"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

import numpy as np

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, WindowSpan
from harness.journal import PoolEntry
from harness.verdict import Finding

_LEAK: Final = Rule(
    verdict="leak-conn",
    wrong="stayed open and were never used again",
    source="the connections that the dependency, the proxy before it or the system counts: a pool "
    "needs no more than are ever in use at once",
    unseen="too few counts of the dependency's connections before and after a fault",
    unit="connections",
)
UNCOUNTED: Final = (
    "nobody counted the connections to the dependency: its proxy keeps no count, and the system "
    "does not tell of the target's sockets"
)
UNSEEN: Final = (
    "the system never saw the target's processes hold a connection to {}: it may be others that do"
)
_SAMPLES_MIN: Final = 3  # before any fault, and at the end of a recovery
_REST_NS: Final = 2_000_000_000  # after a fault, before what is still open counts
_SPARE: Final = 8  # that a pool may keep beyond what was ever in use at once
_TIMES: Final = 2
_QUARTERS: Final = 4  # of the time without a fault, over which a pool may grow into its size


def leak_conn(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether the target gives connections back that a failure or a caller's leaving broke.

    Needs three counts before any fault and three at rest after one, by the dependency or by
    squall's own proxy before it; Shopify's keeps none, and then the target's own sockets to it are
    counted, of which there has to be one once. Leaked is what is still open then, all the time,
    beyond twice what was open before and twice the most that were in use at once, and eight more.
    Only a dependency can tell what is in use: to others that is no more than there are calls under
    way. With no fault at all it takes eight counts, and a growth from each quarter of the time to
    the next, beyond twice what was in use or under way and eight more. Says nothing of a target
    that depends on nobody.
    """
    counts = sorted(evidence.journal.of(PoolEntry), key=lambda entry: entry.at_ns)
    windows = evidence.injected
    if not counts and evidence.scenario.dependencies and windows:
        return (sightings.unknown(_LEAK, UNCOUNTED),)
    if not counts:
        return ()
    unprovoked = _unprovoked(evidence, counts)
    if unprovoked or not windows:
        return unprovoked
    findings: list[Finding] = []
    judged = 0
    for name in sorted({entry.dependency for entry in counts}):
        mine = [entry for entry in counts if entry.dependency == name]
        if not any(entry.open or not entry.by_system for entry in mine):
            findings.append(sightings.unknown(_LEAK, UNSEEN.format(name)))
            continue
        rests = [(window, _at_rest(mine, window)) for window in windows]
        calm = [entry for entry in mine if entry.at_ns < windows[0].start_ns]
        rests = [one for one in rests if min(len(calm), len(one[1])) >= _SAMPLES_MIN]
        judged += len(rests)
        findings += [
            leaked
            for window, rest in rests
            if (leaked := _after(evidence, window, mine, calm=calm, rest=rest))
        ]
    if findings:
        return tuple(findings)
    if not judged:
        return (sightings.unknown(_LEAK, _LEAK.unseen),)
    why = f"after each of {judged} faults no more connections were left open than are in use"
    return (sightings.passed(_LEAK, judged, why),)


def _after(
    evidence: Evidence,
    window: WindowSpan,
    counts: list[PoolEntry],
    *,
    calm: list[PoolEntry],
    rest: list[PoolEntry],
) -> Finding | None:
    """Find what is left open at rest after a fault beyond what can be in use; None without any."""
    told = [
        one.busy for one in counts if one.at_ns < window.recovery_end_ns and one.busy is not None
    ]
    most = max(told) if told else _calls_at_once(evidence, window.recovery_end_ns)
    allowed = _TIMES * max(most, *(entry.open for entry in calm)) + _SPARE
    least = min(rest, key=lambda entry: entry.open)
    return _leaked(window, least, most=most, allowed=allowed) if least.open > allowed else None


def _unprovoked(evidence: Evidence, counts: list[PoolEntry]) -> tuple[Finding, ...]:
    """Find connections that become more and more with no fault; nothing where there are none."""
    until_ns = evidence.injected[0].start_ns if evidence.injected else evidence.phases.end_ns
    at_once = _calls_at_once(evidence, until_ns)
    findings: list[Finding] = []
    for name in sorted({entry.dependency for entry in counts}):
        calm = [e for e in counts if e.dependency == name and e.at_ns < until_ns]
        if len(calm) < 2 * _QUARTERS:
            continue
        edges = [len(calm) * part // _QUARTERS for part in range(_QUARTERS + 1)]
        parts = [[e.open for e in calm[a:b]] for a, b in pairwise(edges)]
        grows = all(min(after) > max(before) for before, after in pairwise(parts))
        most = max(at_once, *(entry.busy or 0 for entry in calm))
        allowed = _TIMES * most + _SPARE
        least = min(calm[edges[-2] :], key=lambda entry: entry.open)
        if grows and least.open > allowed:
            findings.append(_leaked(None, least, most=most, allowed=allowed))
    return tuple(findings)


def _at_rest(counts: list[PoolEntry], window: WindowSpan) -> list[PoolEntry]:
    from_ns = window.healed_ns + _REST_NS
    return [entry for entry in counts if from_ns <= entry.at_ns < window.recovery_end_ns]


def _calls_at_once(evidence: Evidence, until_ns: int) -> int:
    """Give how many calls were under way at once at most, of those that began by then."""
    begun = evidence.attempted & (evidence.began_ns < until_ns)
    began_ns, ended_ns = evidence.began_ns[begun], evidence.ended_ns[begun]
    if not len(began_ns):
        return 0
    began_ns, ended_ns = np.sort(began_ns), np.sort(ended_ns)
    over = np.searchsorted(ended_ns, began_ns, side="right")
    return int((np.arange(1, len(began_ns) + 1) - over).max())


def _leaked(window: WindowSpan | None, least: PoolEntry, *, most: int, allowed: int) -> Finding:
    name, left = least.dependency, least.open
    where = f" to {name}" if name else ""
    counted = "the dependency's ledger" if least.busy is not None else "the proxy before it"
    counted = "the system, of the target's own" if least.by_system else counted
    use = f"{most} were ever in use" if least.busy is not None else f"{most} calls were under way"
    if window is None:
        use = f"{most} were in use, or calls under way,"
    when = (
        f"open all the time after {window.id}" if window else "open, and ever more, with no fault"
    )
    return Finding(
        verdict=_LEAK.verdict,
        ruling="fail",
        fault=window.id if window else "",
        observed=float(left),
        limit=float(allowed),
        unit=_LEAK.unit,
        why=f"{left} connections{where} were {when}, though no more than {use} at once, for which "
        f"{allowed} are plenty",
        source=_LEAK.source,
        evidence=(f"{left} open at {least.at_ns / 1e9:.0f} s, by {counted}",),
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (leak_conn,)
