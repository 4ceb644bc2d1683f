"""Did a fault change what answers cost or hold, where no answer by itself can be called wrong?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence import amplification, contents, profiles
from harness.evidence.contents import Look
from harness.evidence.phases import BASELINE, Evidence, Mask, WindowSpan, fault_code
from harness.verdict import Finding

_SHIFT: Final = Rule(
    verdict="latency-shift",
    wrong="took more than 5 times the tool's baseline p50 and more than 1 s, at p50",
    source="the tool's own baseline, and the sessions that the fault did not strike",
    unseen="no kind of call has 20 baseline answers, and 20 under a fault that adds no delay",
    unit="answers",
)
_BURN: Final = Rule(
    verdict="token-burn",
    wrong="put more than 10 times the baseline's tokens into each agent's context",
    source="the sessions' own baseline, at 4 bytes a token",
    unseen="no session had a baseline to be compared with",
    unit="faults",
)
_DRIFT: Final = Rule(
    verdict="schema-drift",
    wrong="lost a field, or had null in it, that the tool's baseline answers have",
    source="the tool's own answers while no fault was in force",
    unseen="no answer with fields was looked into, in the baseline and under a fault",
    unit="fields",
)
_UNDELAYED: Final = ("identity", "agent")  # levers whose faults hold no answer back
_LOOKS_MIN: Final = 10  # answers under a fault
_ALWAYS: Final = 0.95  # of the baseline's answers, or its values, have something in the field
_MOSTLY: Final = 0.5  # of the answers under the fault have nothing in it
_SHIFT_RATIO: Final = 5.0
_SHIFT_MS: Final = 1000.0
_OTHERS_RATIO_MAX: Final = 0.5  # of the change, that the untouched sessions may show

Times = NDArray[np.float64]


def latency_shift(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a tool became slow under a fault that delays nothing itself.

    Needs 20 answers of a tool in the baseline and 20 under the fault. A fault of the network, the
    dependency or the process delays answers itself and is not judged, nor is one that strikes both
    arms; where the untouched sessions show half of the shift, the machine or the load is slow.
    """
    usual = profiles.answered(evidence)
    took_ms = (evidence.calls["done_ns"] - evidence.calls["sent_ns"]) / 1e6
    shifts = [
        shift
        for window in evidence.injected
        if window.fault.lever in _UNDELAYED and window.arm == "treated"
        for shift in _shifts(evidence, window, usual, took_ms)
    ]
    if not shifts:
        return (sightings.unknown(_SHIFT, _SHIFT.unseen),) if evidence.injected else ()
    bad = [shift for shift in shifts if shift.failed]
    if not bad:
        return (sightings.passed(_SHIFT, sum(shift.count for shift in shifts)),)
    return tuple(shift.finding(evidence, took_ms) for shift in bad)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shift:
    """One tool's answers under one fault, beside its baseline."""

    window: WindowSpan
    code: int
    here: Mask
    p50_ms: float
    usual_ms: float
    others_ms: float | None

    @property
    def count(self) -> int:
        """How many answers there were under the fault."""
        return int(self.here.sum())

    @property
    def failed(self) -> bool:
        """Whether that is too slow, and the fault's doing."""
        grown_ms = self.p50_ms - self.usual_ms
        beside_ms = 0.0 if self.others_ms is None else self.others_ms - self.usual_ms
        slow = self.p50_ms > _SHIFT_MS and self.p50_ms > _SHIFT_RATIO * self.usual_ms
        return slow and beside_ms <= _OTHERS_RATIO_MAX * grown_ms

    def finding(self, evidence: Evidence, took_ms: Times) -> Finding:
        """Say so, with the slowest answers as evidence."""
        tool = evidence.plan.calls[self.code]
        return Finding(
            verdict=_SHIFT.verdict,
            ruling="fail",
            fault=self.window.id,
            tool=tool,
            observed=round(self.p50_ms, 1),
            limit=round(max(_SHIFT_MS, _SHIFT_RATIO * self.usual_ms), 1),
            unit="ms",
            why=f"{tool} took {self.p50_ms:,.0f} ms at p50 over {self.count} answers, "
            f"{self.usual_ms:,.1f} ms in the baseline, and the fault delays nothing itself",
            source=_SHIFT.source,
            evidence=sightings.worst_first(
                evidence, np.flatnonzero(self.here), (took_ms * 1000).astype(np.int64)
            ),
        )


def _shifts(
    evidence: Evidence, window: WindowSpan, usual: Mask, took_ms: Times
) -> Iterator[_Shift]:
    calls, phase = evidence.calls, evidence.attempt_phase
    inside = usual & (phase == fault_code(window.window))
    for code in np.unique(calls["call"][inside]):
        mine = calls["call"] == code
        before = mine & usual & (phase == BASELINE) & (calls["treated"] == 1)
        here = mine & inside & (calls["treated"] == 1)
        beside = mine & inside & (calls["treated"] == 0)
        if before.sum() >= profiles.SAMPLES_MIN and here.sum() >= profiles.SAMPLES_MIN:
            yield _Shift(
                window=window,
                code=int(code),
                here=here,
                p50_ms=float(np.median(took_ms[here])),
                usual_ms=float(np.median(took_ms[before])),
                others_ms=float(np.median(took_ms[beside])) if beside.any() else None,
            )


def token_burn(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a fault let the answers flood the agents' contexts.

    Needs 20 calls in the baseline and under the fault, on the arm that it struck. What a client
    sends or asks for on purpose, before its real call, is left out.
    """
    rows = amplification.rows(evidence)
    told = [row for row in rows if row.level != "not measured"]
    if not told:
        return (sightings.unknown(_BURN, _BURN.unseen),) if rows else ()
    bad = [row for row in told if row.level == "fail"]
    if not bad:
        return (sightings.passed(_BURN, len(told)),)
    return tuple(
        Finding(
            verdict=_BURN.verdict,
            ruling="fail",
            fault=row.fault,
            observed=row.tokens_ratio,
            limit=amplification.FAIL_RATIO,
            unit="times the baseline",
            why=f"an agent's context grew by {row.tokens_per_minute or 0:,.0f} tokens a minute "
            f"(estimated), {row.baseline_tokens_per_minute or 0:,.0f} in the baseline",
            source=_BURN.source,
        )
        for row in bad
    )


def lost_fields(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether answers lost fields under a fault, or had null in them, without a word.

    Needs 20 answers of a tool that were looked into in the baseline, and 10 under the fault. A
    field counts that nearly all of the baseline's answers had, and hardly ever null; the other arm
    at the same time, or the same arm afterwards, must still have it.
    """
    found = contents.looks(evidence)
    judged, findings = 0, []
    for (code, phase, arm), here in sorted(found.items(), key=lambda pair: pair[0]):
        before = contents.together(found, code, BASELINE)
        if phase <= BASELINE or phase % 2 == 0 or here.answers < _LOOKS_MIN:
            continue
        if before.answers < profiles.SAMPLES_MIN or not before.values:
            continue
        window = evidence.window((phase + 1) // 2)
        other = found.get((code, phase, 1 - arm)) if window.arm == "treated" else None
        after = found.get((code, phase + 1, arm))
        judged += len(before.values)
        lost = [path for path in before.values if _lost(path, before, here, (other, after))]
        if lost:
            tool = evidence.plan.calls[code]
            findings.append(_lost_finding(window, tool, lost, before, here))
    if not judged:
        return ()
    return tuple(findings) or (sightings.passed(_DRIFT, judged),)


def _lost(path: str, before: Look, here: Look, others: tuple[Look | None, ...]) -> bool:
    """Say whether a field that was always there is mostly gone, here and not for the others."""
    if before.held_share(path) < _ALWAYS or before.null_share(path) > 1 - _ALWAYS:
        return False
    gone = _gone(path, here)
    asked = [look for look in others if look is not None and look.answers >= _LOOKS_MIN]
    kept = [_gone(path, look) <= _OTHERS_RATIO_MAX * gone for look in asked]
    return gone > _MOSTLY and (not kept or any(kept))


def _gone(path: str, look: Look) -> float:
    """Give the share of answers in which a field says nothing."""
    return max(1 - look.held_share(path), look.null_share(path))


def _lost_finding(
    window: WindowSpan, tool: str, lost: list[str], before: Look, here: Look
) -> Finding:
    worst = max(lost, key=lambda path: _gone(path, here))
    how = "null" if here.null_share(worst) >= 1 - here.held_share(worst) else "missing"
    more = f", and {len(lost) - 1} more fields" if len(lost) > 1 else ""
    return Finding(
        verdict=_DRIFT.verdict,
        ruling="fail",
        fault=window.id,
        tool=tool,
        observed=round(_gone(worst, here), 4),
        limit=_MOSTLY,
        unit="share",
        why=f"{worst} of {tool} was {how} in {_gone(worst, here):.0%} of the {here.answers} "
        f"answers looked into, {_gone(worst, before):.0%} in the baseline{more}",
        source=_DRIFT.source,
        evidence=tuple(here.examples[: sightings.EVIDENCE_MAX]),
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    latency_shift,
    token_burn,
    lost_fields,
)
