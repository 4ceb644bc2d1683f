"""How long calls took, by arm, phase and tool: percentile spectra and the tables beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log10
from typing import Final, Literal

import numpy as np

from harness.evidence.latencies import SAMPLES_MIN, Origin, measured
from harness.evidence.phases import BASELINE, Evidence, Mask
from reports.series import Floats, arm_mask, latency_ms
from reports.words import cut

_POINTS_A_DECADE: Final = 20
_TOOLS_MAX: Final = 100
_NAME_CHARS_MAX: Final = 80
_PHASES_MAX: Final = 16
_ORIGINS: Final[tuple[Origin, ...]] = ("due", "sent")


Tail = Literal["p95", "p99"]
Role = Literal["baseline", "fault", "recovery"]
ROLES: Final[tuple[Role, ...]] = ("baseline", "fault", "recovery")


@dataclass(frozen=True, kw_only=True)
class Spectrum:
    """Latency at every percentile the samples reach; `tails` is 1 - quantile."""

    arm: str
    phase: str
    origin: Origin
    count: int
    tails: tuple[float, ...]
    values_ms: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Some calls in figures; a percentile that the samples do not bound is None."""

    count: int
    answered_share: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p95_answered_ms: float | None  # over answered calls only, which flatters
    p99_answered_ms: float | None
    rows: float | None  # median of the rows in good replies, where the tool returns rows

    def tail_ms(self, percentile: Tail) -> float | None:
        """Give p95 or p99."""
        return self.p99_ms if percentile == "p99" else self.p95_ms

    def tail_answered_ms(self, percentile: Tail) -> float | None:
        """Give p95 or p99 over answered calls only."""
        return self.p99_answered_ms if percentile == "p99" else self.p95_answered_ms


@dataclass(frozen=True, kw_only=True)
class ArmRow:
    """One arm in one role of the run."""

    arm: str
    role: Role
    summary: Summary


@dataclass(frozen=True, kw_only=True)
class ToolRow:
    """One tool on the treated arm (all arms where there is none), before and under the faults."""

    tool: str
    count: int  # in the whole run, both arms
    answered_share: float | None
    baseline: Summary
    fault: Summary


def role_of(code: int) -> Role:
    """Say what a phase is there for."""
    if code == BASELINE:
        return "baseline"
    return "fault" if code % 2 else "recovery"


def summarise(evidence: Evidence, took_ms: Floats, mask: Mask) -> Summary:
    """Put the settled calls under a mask in figures."""
    counted = mask & evidence.counted
    count = int(counted.sum())
    told = mask & measured(evidence, "due")
    ranked = np.sort(took_ms[told])
    answered = np.sort(took_ms[told & evidence.ok])
    rows = evidence.settled["rows"][counted & evidence.ok]
    rows = rows[rows >= 0]
    return Summary(
        count=count,
        answered_share=float((counted & evidence.ok).sum()) / count if count else None,
        p50_ms=_supported(ranked, 50.0),
        p95_ms=_supported(ranked, 95.0),
        p99_ms=_supported(ranked, 99.0),
        p95_answered_ms=_supported(answered, 95.0),
        p99_answered_ms=_supported(answered, 99.0),
        rows=float(np.median(rows)) if len(rows) else None,
    )


def _supported(ranked: Floats, percentile: float) -> float | None:
    if len(ranked) < SAMPLES_MIN[percentile]:
        return None
    # The rank that HDR takes, so that the page and verdict.json show the same figure.
    rank = max(1, int(percentile / 100 * len(ranked) + 0.5))
    return round(float(ranked[rank - 1]), 3)


def spectra(evidence: Evidence, arms: Sequence[str]) -> tuple[Spectrum, ...]:
    """Draw the percentile spectrum of every arm and phase, from due and from sent.

    Recoveries are left out, and windows past the first sixteen: a page must stay readable.
    """
    drawn = []
    codes = [code for code in evidence.codes if role_of(code) != "recovery"]
    for origin in _ORIGINS:
        took_ms = latency_ms(evidence, origin)
        told = measured(evidence, origin)
        for code in codes[: _PHASES_MAX + 1]:
            inside = told & (evidence.phase == code)
            for arm in arms:
                ranked = np.sort(took_ms[inside & arm_mask(evidence, arm)])
                if len(ranked):
                    drawn.append(_spectrum(arm, evidence.phase_name(code), origin, ranked))
    return tuple(drawn)


def _spectrum(arm: str, phase: str, origin: Origin, ranked: Floats) -> Spectrum:
    count = len(ranked)
    tails = _tails(count)
    places = np.clip(np.floor((1.0 - tails) * count + 0.5).astype(np.int64) - 1, 0, count - 1)
    return Spectrum(
        arm=arm,
        phase=phase,
        origin=origin,
        count=count,
        tails=tuple(float(f"{tail:.4g}") for tail in tails),
        values_ms=tuple(round(value, 3) for value in ranked[places].tolist()),
    )


def _tails(count: int) -> Floats:
    """Give 1 - quantile from 1 down to the last call, evenly on a log axis."""
    decades = log10(count)
    return np.logspace(0, -decades, max(2, ceil(decades * _POINTS_A_DECADE) + 1))


def arm_rows(evidence: Evidence, arms: Sequence[str]) -> tuple[ArmRow, ...]:
    """Put the arms side by side: before, under and after the faults."""
    took_ms = latency_ms(evidence)
    return tuple(
        ArmRow(
            arm=arm,
            role=role,
            summary=summarise(evidence, took_ms, in_role(evidence, role) & arm_mask(evidence, arm)),
        )
        for role in ROLES
        for arm in arms
    )


def in_role(evidence: Evidence, role: Role) -> Mask:
    """Tell which settled calls were due in the phases that play a role."""
    codes = [code for code in evidence.codes if role_of(code) == role]
    return np.asarray(np.isin(evidence.phase, codes))


def tool_rows(evidence: Evidence) -> tuple[ToolRow, ...]:
    """Give every tool its row, the most called first; at most a hundred."""
    names = evidence.plan.calls
    took_ms = latency_ms(evidence)
    code_of = evidence.settled["call"]
    arm = evidence.treated if evidence.treated.any() else evidence.control
    before = in_role(evidence, "baseline") & arm
    during = in_role(evidence, "fault") & arm
    counts = np.bincount(code_of, minlength=len(names))
    order = sorted(range(len(names)), key=lambda code: (-int(counts[code]), names[code]))
    rows = []
    for code in order[:_TOOLS_MAX]:
        mine = code_of == code
        whole = summarise(evidence, took_ms, mine)
        rows.append(
            ToolRow(
                tool=cut(names[code], _NAME_CHARS_MAX),
                count=whole.count,
                answered_share=whole.answered_share,
                baseline=summarise(evidence, took_ms, mine & before),
                fault=summarise(evidence, took_ms, mine & during),
            )
        )
    return tuple(rows)
