"""Does the target burn its processor, or its dependency's, on trying to get it back?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, WindowSpan
from harness.journal import VitalsEntry
from harness.verdict import Finding

_SPIN: Final = Rule(
    verdict="cpu-spin",
    wrong="was spent on a dependency that was not there",
    source="processor time and requests that no call asked for: who waits for a dependency's "
    "return looks for it now and then",
    unseen="neither the target's processor time nor its requests could be watched under a fault",
    unit="of a processor",
)
_SPAN_NS_MIN: Final = 900_000_000  # between the first sample of a stretch and its last
_CORE_SHARE_MIN: Final = 0.6
_TIMES_MIN: Final = 3.0  # what it used with nothing broken
_ATTEMPTS_MIN: Final = 5.0  # a second, that no call asked for
_CALLS_TIMES_MAX: Final = 1.5  # more calls may cost more


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """What the target did in a stretch of the run, by the second."""

    cores: float | None
    unasked: dict[str, float]  # by operation: requests at a dependency that belong to no call
    calls: float


def cpu_spin(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a failing dependency makes the target busy with nothing.

    Needs two samples of the target's processor time a second apart in the baseline and under a
    fault of a dependency, or the dependency's ledger. Wrong is .6 of a processor and three times
    what it used before, for no more calls; or five requests a second that no call asked for. Says
    nothing where no dependency failed.
    """
    faults = [window for window in evidence.injected if window.fault.lever == "dependency"]
    if not faults:
        return ()
    base = evidence.phases.baseline
    calm = _stretch(evidence, base.start_ns, base.end_ns)
    findings: list[Finding] = []
    seen = 0
    for window in faults:
        here = _stretch(evidence, window.start_ns, window.healed_ns)
        if here.cores is None and not len(evidence.downstream):
            continue
        seen += 1
        why = _busy(calm, here) or _asking(calm, here)
        if why:
            findings.append(_spun(window, here, why))
    if findings:
        return tuple(findings)
    if not seen:
        return (sightings.unknown(_SPIN, _SPIN.unseen),)
    why = f"under each of {seen} faults of a dependency the target stayed as calm as before"
    return (sightings.passed(_SPIN, seen, why),)


def _stretch(evidence: Evidence, start_ns: int, end_ns: int) -> _Stretch:
    length_s = max(end_ns - start_ns, 1) / 1e9
    samples = [
        (entry.at_ns, entry.cpu_s)
        for entry in evidence.journal.of(VitalsEntry)
        if start_ns <= entry.at_ns < end_ns and entry.cpu_s is not None
    ]
    cores = None
    if samples and samples[-1][0] - samples[0][0] >= _SPAN_NS_MIN:
        (first_ns, first_s), (last_ns, last_s) = samples[0], samples[-1]
        cores = (last_s - first_s) / ((last_ns - first_ns) / 1e9)
    down = evidence.downstream
    inside = (down.at_ns >= start_ns) & (down.at_ns < end_ns) & ~down.aside
    nobodys = (down.entries[at] for at in np.flatnonzero(inside))
    unasked = Counter(entry.operation for entry in nobodys if not entry.key)
    sent_ns = evidence.calls["sent_ns"]
    calls = int(np.count_nonzero((sent_ns >= start_ns) & (sent_ns < end_ns)))
    return _Stretch(
        cores=cores,
        unasked={name: count / length_s for name, count in unasked.items()},
        calls=calls / length_s,
    )


def _busy(calm: _Stretch, here: _Stretch) -> str:
    if calm.cores is None or here.cores is None or here.calls > _CALLS_TIMES_MAX * calm.calls:
        return ""
    if here.cores < max(_CORE_SHARE_MIN, _TIMES_MIN * calm.cores):
        return ""
    return (
        f"the target used {here.cores:.2f} of a processor, {calm.cores:.2f} with nothing broken, "
        f"for {here.calls:.0f} calls a second instead of {calm.calls:.0f}"
    )


def _asking(calm: _Stretch, here: _Stretch) -> str:
    for name, rate in here.unasked.items():
        usual = calm.unasked.get(name, 0.0)
        if rate >= _ATTEMPTS_MIN + _TIMES_MIN * usual:
            return (
                f"the dependency got {rate:.0f} requests a second ({name}) that no call asked "
                f"for, {usual:.0f} with nothing broken"
            )
    return ""


def _spun(window: WindowSpan, here: _Stretch, why: str) -> Finding:
    return Finding(
        verdict=_SPIN.verdict,
        ruling="fail",
        fault=window.id,
        observed=here.cores,
        limit=_CORE_SHARE_MIN,
        unit=_SPIN.unit,
        why=f"under {window.id} {why}",
        source=_SPIN.source,
        evidence=("vitals:target",) if here.cores is not None else ("ledger:dependency",),
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (cpu_spin,)
