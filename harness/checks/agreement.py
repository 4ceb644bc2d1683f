"""Do the two bare arms agree, and was the baseline steady? Both by drawing sessions anew."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.disturbance import busy
from harness.evidence.draws import Bins, Ratio
from harness.evidence.latencies import latency_ns, measured
from harness.evidence.phases import BASELINE, Evidence, Span
from harness.evidence.tallies import arm_of
from harness.score import RESAMPLES, weights
from harness.verdict import Soundness

ARMS_RATIO_MAX: Final = 1.25
STEADY_RATIO_MAX: Final = 1.5
ANSWERED_RATIO_MAX: Final = 1.05
SLACK_MS: Final = 10.0  # half of what the score forgives: below it a ratio says nothing
_CHUNK: Final = 250
_INTERVAL: Final = (2.5, 97.5)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """One side of a comparison."""

    sessions: int
    latency: Bins | None
    answered: Ratio

    def measure(self, drawn: Floats) -> tuple[Floats, Floats]:
        """Give p50 in milliseconds and the answered share under each row of weights."""
        assert self.latency is not None
        return self.latency.quantiles_us(drawn, (50.0,))[0] / 1000, self.answered.share(drawn)


def arms_agree(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether the arms are alike while no fault is in force (A/A).

    Fails when the 95 % interval of the ratio of p50 or of answered calls excludes 1 and the ratio
    itself is too far from it. With one arm only there is nothing to ask.
    """
    if len({who.arm for who in evidence.plan.sessions}) < 2:  # noqa: PLR2004  two arms
        return ()
    calm = (evidence.phase == BASELINE) & evidence.counted
    told, took_ns = measured(evidence, "due"), latency_ns(evidence, "due")
    sides = [
        _Side(
            sessions=len(arm.numbers),
            latency=arm.bins(calm & told, took_ns),
            answered=arm.ratio(evidence.ok, calm),
        )
        for arm in (arm_of(evidence, treated=True), arm_of(evidence, treated=False))
    ]
    found = _compare(
        "arms-agree",
        "treated beside control",
        (sides[0], sides[1]),
        seed=evidence.scenario.seed,
        p50_max=ARMS_RATIO_MAX,
        paired=False,
    )
    return (explained(evidence, evidence.phases.baseline, found),)


def baseline_steady(evidence: Evidence) -> tuple[Soundness, ...]:
    """Ask whether the baseline's second half is like its first: without a trend."""
    arm = arm_of(evidence, treated=None)
    span = evidence.phases.baseline
    calm = (evidence.phase == BASELINE) & evidence.counted
    early = evidence.settled["due_ns"] < (span.start_ns + span.end_ns) // 2
    told, took_ns = measured(evidence, "due"), latency_ns(evidence, "due")
    sides = [
        _Side(
            sessions=len(arm.numbers),
            latency=arm.bins(calm & half & told, took_ns),
            answered=arm.ratio(evidence.ok, calm & half),
        )
        for half in (~early, early)
    ]
    found = _compare(
        "baseline-steady",
        "second half beside first",
        (sides[0], sides[1]),
        seed=evidence.scenario.seed,
        p50_max=STEADY_RATIO_MAX,
        paired=True,
    )
    return (explained(evidence, evidence.phases.baseline, found),)


def explained(evidence: Evidence, span: Span, found: Soundness) -> Soundness:
    """Say first what squall was short of in a stretch that is not as it should be."""
    why = "" if found.ruling == "pass" else busy(evidence, span)
    return replace(found, why=f"{why}; {found.why}") if why else found


def _compare(
    name: str, what: str, sides: tuple[_Side, _Side], *, seed: int, p50_max: float, paired: bool
) -> Soundness:
    one, other = sides
    if one.latency is None or other.latency is None:
        return Soundness(name=name, ruling="unknown", why="one side of the baseline has no calls")
    random = np.random.default_rng(seed)
    parts: list[tuple[Floats, Floats]] = []
    seen_ms = (0.0, 0.0)
    for start in (-1, *range(0, RESAMPLES, _CHUNK)):
        count = 1 if start < 0 else _CHUNK
        mine = weights(random, one.sessions, count, plain=start < 0)
        theirs = mine if paired else weights(random, other.sessions, count, plain=start < 0)
        (p50_ms, share), (other_p50_ms, other_share) = one.measure(mine), other.measure(theirs)
        answered = np.full(count, np.nan)
        np.divide(share, other_share, out=answered, where=other_share > 0)
        if start < 0:
            seen_ms = (float(p50_ms[0]), float(other_p50_ms[0]))
        # Bringing both sides up by the slack keeps a millisecond from being a trend.
        parts.append(((p50_ms + SLACK_MS) / (other_p50_ms + SLACK_MS), answered))
    p50, answered = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    words, bad = list[str](), False
    for label, ratio, most in (("p50", p50, p50_max), ("answered", answered, ANSWERED_RATIO_MAX)):
        known = ratio[1:][np.isfinite(ratio[1:])]
        if not np.isfinite(ratio[0]) or not len(known):
            return Soundness(name=name, ruling="unknown", why=f"{what}: no call was answered")
        low, high = np.percentile(known, _INTERVAL)
        apart = not low <= 1.0 <= high
        bad = bad or (apart and not 1 / most <= ratio[0] <= most)
        words.append(f"{label} x{ratio[0]:.2f} ({low:.2f} to {high:.2f})")
    return Soundness(
        name=name,
        ruling="fail" if bad else "pass",
        why=f"{what}: p50 {seen_ms[0]:.1f} and {seen_ms[1]:.1f} ms; {', '.join(words)}",
        observed=round(float(p50[0]), 3),
        limit=p50_max,
        unit="ratio",
    )
