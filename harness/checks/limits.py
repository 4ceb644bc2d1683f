"""The scenario's own limits beside what was measured.

`answered` and latency are those of the treated sessions from the first fault on (without faults:
of all sessions over the baseline), less the calls that no server could have answered in time.
Recovery and survival are the worst over the fault windows.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from harness.evidence import recovery, survival
from harness.evidence.latencies import (
    HDR_BITS,
    SAMPLES_MIN,
    bucket_highest_us,
    bucket_index,
    clamped_us,
    latency_ns,
    measured,
)
from harness.evidence.phases import BASELINE, Evidence, Mask, Span
from harness.evidence.recovery import NEVER_S
from harness.scenario.conditions import Condition, limits
from harness.scenario.units import counted, duration
from harness.verdict import Limit, Ruling, Score

ANSWERED_MIN: Final = 30  # calls; fewer say nothing about a share
_PERCENTILES: Final = {"latency_p50": 50.0, "latency_p95": 95.0, "latency_p99": 99.0}


def judge_limits(evidence: Evidence, score: Score | None) -> tuple[Limit, ...]:
    """Judge every limit that the scenario sets; one that was not measured is unknown."""
    return tuple(
        _judge(evidence, name, condition, score)
        for name, condition in limits(evidence.scenario.limits).items()
    )


def gated(evidence: Evidence) -> Mask:
    """Select the settled calls that `answered` and the latency limits are about."""
    if not any(window.injected for window in evidence.phases.windows):
        return np.asarray((evidence.phase == BASELINE) & evidence.counted)
    struck = evidence.treated & (evidence.phase > BASELINE) & evidence.counted
    return np.asarray(struck & ~recovery.unpreventable(evidence))


def _judge(evidence: Evidence, name: str, condition: Condition, score: Score | None) -> Limit:
    if name == "answered":
        return _answered(evidence, condition)
    if name in _PERCENTILES:
        return _latency(evidence, name, condition)
    if name == "recovery":
        return _recovery(evidence, condition)
    if name == "sessions_survived":
        return _survived(evidence, condition)
    return _score(condition, score)


def _limit(name: str, condition: Condition, observed: float | None, unit: str, why: str) -> Limit:
    if observed is None:
        return Limit(
            name=name, wanted=condition.text, observed=None, unit=unit, ruling="unknown", why=why
        )
    return Limit(
        name=name,
        wanted=condition.text,
        observed=observed,
        unit=unit,
        ruling="pass" if condition.holds(observed) else "fail",
        why=why,
    )


def _answered(evidence: Evidence, condition: Condition) -> Limit:
    mine = gated(evidence)
    count = int(np.count_nonzero(mine))
    if count < ANSWERED_MIN:
        return _limit(
            "answered",
            condition,
            None,
            "share",
            f"only {counted(count, 'calls')} to judge by",
        )
    answered = int(np.count_nonzero(evidence.ok & mine))
    why = f"{answered} of {count} calls were answered"
    return _limit("answered", condition, answered / count, "share", why)


def _latency(evidence: Evidence, name: str, condition: Condition) -> Limit:
    percentile = _PERCENTILES[name]
    values_ns = latency_ns(evidence, "due")[gated(evidence) & measured(evidence, "due")]
    if len(values_ns) < SAMPLES_MIN[percentile]:
        why = f"{len(values_ns)} calls do not support p{percentile:g}, {SAMPLES_MIN[percentile]} do"
        return _limit(name, condition, None, "s", why)
    values_us = np.sort(clamped_us(values_ns))
    rank = max(1, int(len(values_us) * percentile / 100 + 0.5))
    index = bucket_index(values_us[rank - 1 : rank], HDR_BITS)
    observed_s = float(bucket_highest_us(index)[0]) / 1e6
    why = f"p{percentile:g} from due over {counted(len(values_us), 'calls')}"
    return _limit(name, condition, observed_s, "s", why)


def _recovery(evidence: Evidence, condition: Condition) -> Limit:
    name = "recovery"
    times_s = {
        window.id: recovery.recovery_s(evidence, window) for window in evidence.phases.windows
    }
    if not times_s:
        return _limit(name, condition, None, "s", "there was no fault to recover from")
    never = [fault for fault, value in times_s.items() if value == NEVER_S]
    if never:
        return Limit(
            name=name,
            wanted=condition.text,
            observed=NEVER_S,
            unit="s",
            ruling="fail",
            why=f"not back to normal after {', '.join(never)} in the time watched",
        )
    known = {fault: value for fault, value in times_s.items() if value is not None}
    missing = [fault for fault, value in times_s.items() if value is None]
    worst_s = max(known.values(), default=0.0)
    if missing and (not known or condition.holds(worst_s)):
        return _limit(name, condition, None, "s", _unmeasured(evidence, missing))
    longest = max(known, key=lambda fault: known[fault])
    return _limit(name, condition, worst_s, "s", f"{duration(worst_s)} after {longest}")


def _unmeasured(evidence: Evidence, missing: list[str]) -> str:
    """Say after which faults it is not known; where there is more to say, why comes first."""
    doubts = {
        window.id: why
        for window in evidence.phases.windows
        if (why := recovery.doubt(evidence, window)) and window.id in missing
    }
    blind = [fault for fault in missing if fault not in doubts]
    parts = [f"{why} (in doubt after {fault})" for fault, why in doubts.items()]
    return "; ".join([*parts, *([f"not measured after {', '.join(blind)}"] if blind else [])])


def _survived(evidence: Evidence, condition: Condition) -> Limit:
    name = "sessions_survived"
    shares = {}
    if evidence.phases.windows:
        mine = np.zeros(evidence.session_count, dtype=np.bool_)
        mine[: len(evidence.session_treated)] = evidence.session_treated
        for window in evidence.phases.windows:
            lived = survival.through_window(evidence, window)
            alive = int(np.count_nonzero(lived.alive & mine))
            if alive and window.injected:
                shares[window.id] = (lived.kept(mine), alive)
    else:
        calm = evidence.phase == BASELINE
        span = Span(start_ns=evidence.phases.baseline.start_ns, end_ns=evidence.phases.end_ns)
        lived = survival.through(evidence, span, calm, known=calm)
        everyone = np.ones(evidence.session_count, dtype=np.bool_)
        if lived.alive.any():
            shares["the run"] = (lived.kept(everyone), int(lived.alive.sum()))
    if not shares:
        return _limit(name, condition, None, "share", "no session was alive to be followed")
    worst = min(shares, key=lambda part: shares[part][0] / shares[part][1])
    kept, alive = shares[worst]
    why = f"{kept} of {alive} sessions came through {worst}"
    return _limit(name, condition, kept / alive, "share", why)


def _score(condition: Condition, score: Score | None) -> Limit:
    """Hold the whole interval against the limit; one that straddles it settles nothing."""
    if score is None:
        return _limit("score", condition, None, "points", "there is no score")
    low, high = condition.holds(score.low), condition.holds(score.high)
    ruling: Ruling = "pass" if low and high else "fail" if not low and not high else "unknown"
    return Limit(
        name="score",
        wanted=condition.text,
        observed=score.points,
        unit="points",
        ruling=ruling,
        why=f"{score.points:g}, 95 % interval {score.low:g} to {score.high:g}",
    )
