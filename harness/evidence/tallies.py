"""What the score is made of, counted by session, so that sessions can be drawn anew at no cost.

Every component is a function of sums over sessions; under resampling the sums are weighted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faults.network import TcpBandwidth, TcpSlice
from harness.evidence import recovery, survival
from harness.evidence.draws import Bins, Floats, Ratio, small
from harness.evidence.latencies import (
    COARSE_BITS,
    SAMPLES_MIN,
    bucket_highest_us,
    bucket_index,
    clamped_us,
    latency_ns,
    measured,
)
from harness.evidence.machine import BUSIER_MAX, busier
from harness.evidence.phases import (
    BASELINE,
    Evidence,
    Mask,
    Span,
    WindowSpan,
    fault_code,
    recovery_code,
)
from harness.evidence.recovery import Slices
from harness.outcome import Outcome, Reason
from harness.scenario import conditions

COMPONENTS: Final = (
    "availability",
    "latency",
    "correctness",
    "survival",
    "recovery",
    "blast",
)
WRONG_SHARE_MAX: Final = 0.01
SLACK_US: Final = 20_000  # so that a baseline of a few milliseconds is not judged by its noise
_TOLERANCE: Final = 1.2
_QUANTILES: Final = (50.0, 95.0, 99.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tally:
    """One window (or a steady run), counted; None is not measured."""

    treated_sessions: int
    control_sessions: int
    answered: Ratio
    answered_before: Ratio | None
    wrong: Ratio
    foreign: bool  # another call's data was seen, in either arm
    alive: Ratio
    alive_before: Ratio | None
    latency: Bins | None = None
    latency_before: Bins | None = None
    injected_us: float = 0.0
    deadline_us: float = 0.0
    control: Ratio | None = None
    control_before: Ratio | None = None
    control_beside: Bins | None = None  # at the time that the treated arm's latency is of
    control_latency: Bins | None = None
    control_latency_before: Bins | None = None
    slices: Slices | None = None
    slice_counts: tuple[NDArray[Any], NDArray[Any], NDArray[Any]] | None = None
    recovery_max_s: float = 0.0
    busier: float = 1.0  # how many times the machine itself was slower than in the baseline


# --- counting -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """The sessions of one arm, and how to count their calls."""

    evidence: Evidence
    numbers: NDArray[np.intp]  # session numbers, ascending
    mine: Mask  # over the settled calls

    def count(self, mask: Mask) -> Floats:
        """Count calls by session."""
        session = self.evidence.settled["session"][mask & self.mine]
        length = int(self.numbers[-1]) + 1 if len(self.numbers) else 0
        return np.bincount(session, minlength=length)[self.numbers].astype(np.float64)

    def ratio(self, part: Mask, whole: Mask) -> Ratio:
        """Count both by session; a part outside the whole is left out."""
        return Ratio(part=self.count(part & whole), whole=self.count(whole))

    def bins(self, mask: Mask, values_ns: NDArray[np.int64]) -> Bins | None:
        """Count latencies; None when there are none."""
        which = np.flatnonzero(mask & self.mine)
        if not len(which):
            return None
        index = bucket_index(clamped_us(values_ns[which]), COARSE_BITS)
        present = np.flatnonzero(np.bincount(index))
        column = np.searchsorted(present, index)
        row = np.searchsorted(self.numbers, self.evidence.settled["session"][which])
        flat = np.bincount(row * len(present) + column, minlength=len(self.numbers) * len(present))
        return Bins(
            cumulated=small(np.cumsum(flat.reshape(len(self.numbers), -1), axis=1)),
            upper_us=bucket_highest_us(present, COARSE_BITS).astype(np.float64),
        )


def arm_of(evidence: Evidence, *, treated: bool | None) -> Arm:
    """Take one arm, or for None both together."""
    # Who is there for one window alone has nothing to be compared with.
    usual = [s.session for s in evidence.plan.sessions if not s.window]
    numbers = np.array(sorted(usual), dtype=np.intp)
    everyone = np.ones(len(evidence.settled), dtype=np.bool_)
    known = evidence.settled["session"] < len(usual)
    if treated is None:
        return Arm(evidence=evidence, numbers=numbers, mine=everyone & known)
    mine = evidence.treated if treated else evidence.control
    numbers = numbers[evidence.session_treated[numbers] == treated]
    return Arm(evidence=evidence, numbers=numbers, mine=mine & known)


def of_steady(evidence: Evidence) -> Tally:
    """Count a run without faults: both arms together, over the baseline."""
    arm = arm_of(evidence, treated=None)
    calm = (evidence.phase == BASELINE) & evidence.counted
    span = Span(start_ns=evidence.phases.baseline.start_ns, end_ns=evidence.phases.end_ns)
    lived = survival.through(evidence, span, calm, known=calm)
    return Tally(
        treated_sessions=len(arm.numbers),
        control_sessions=0,
        answered=arm.ratio(evidence.ok, calm),
        answered_before=None,
        wrong=_wrong(arm, calm),
        foreign=_foreign(evidence, calm),
        alive=_alive(arm, lived),
        alive_before=None,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Before:
    """The baseline, counted once for all windows."""

    treated: Arm
    control: Arm
    answered: Ratio
    alive: Ratio
    latency: Bins | None
    control_answered: Ratio
    control_latency: Bins | None


def of_baseline(evidence: Evidence) -> Before:
    """Count what every window is held against."""
    treated, control = arm_of(evidence, treated=True), arm_of(evidence, treated=False)
    before = (evidence.phase == BASELINE) & evidence.counted
    took_ns, told = latency_ns(evidence, "due"), before & measured(evidence, "due")
    return Before(
        treated=treated,
        control=control,
        answered=treated.ratio(evidence.ok, before),
        alive=_alive(treated, survival.through_baseline(evidence)),
        latency=treated.bins(told, took_ns),
        control_answered=control.ratio(evidence.ok, before),
        control_latency=control.bins(told, took_ns),
    )


def of_window(evidence: Evidence, window: WindowSpan, before: Before | None = None) -> Tally:
    """Count one fault window, its recovery, and the baseline beside them."""
    before = of_baseline(evidence) if before is None else before
    treated, control = before.treated, before.control
    inside = (evidence.phase == fault_code(window.window)) & evidence.counted
    after = (evidence.phase == recovery_code(window.window)) & evidence.counted
    served = _served(evidence, window, inside, after)
    took_ns, told = latency_ns(evidence, "due"), measured(evidence, "due")
    sliced = recovery.slices(evidence, window)
    totals = () if sliced is None else (sliced.calls, sliced.answered, sliced.slow)
    rows = [part[treated.numbers] for part in totals]
    wanted = conditions.limits(evidence.scenario.limits).get("recovery")
    watched_s = 0.0 if sliced is None else sliced.watched_s
    lasting = evidence.deadline_ns[served & treated.mine]
    known_delay = not isinstance(window.fault, TcpBandwidth | TcpSlice)
    stopped = window.fault.stops_service()
    spared = window.arm == "treated"  # else there is no control arm to compare with
    return Tally(
        treated_sessions=len(treated.numbers),
        control_sessions=len(control.numbers),
        answered=treated.ratio(evidence.ok, served),
        answered_before=before.answered,
        wrong=_wrong(treated, inside | after),
        foreign=_foreign(evidence, inside | after),
        alive=_alive(treated, survival.through_window(evidence, window)),
        alive_before=before.alive,
        latency=treated.bins(served & told, took_ns) if known_delay else None,
        latency_before=before.latency,
        injected_us=0.0 if stopped else window.fault.added_round_trip_s() * 1e6,
        deadline_us=float(np.median(lasting)) / 1000
        if len(lasting)
        else evidence.scenario.client.deadline_s * 1e6,
        control=control.ratio(evidence.ok, inside | after) if spared else None,
        control_before=before.control_answered if spared else None,
        control_beside=control.bins((after if stopped else inside) & told, took_ns)
        if spared
        else None,
        control_latency=control.bins((inside | after) & told, took_ns) if spared else None,
        control_latency_before=before.control_latency if spared else None,
        slices=sliced,
        slice_counts=(rows[0], rows[1], rows[2]) if rows else None,
        busier=busier(evidence, Span(start_ns=window.start_ns, end_ns=window.recovery_end_ns)),
        recovery_max_s=watched_s if wanted is None else min(wanted.limit, watched_s),
    )


def _served(evidence: Evidence, window: WindowSpan, inside: Mask, after: Mask) -> Mask:
    """Select the calls of a window that a good server could have answered."""
    if not window.fault.stops_service():
        open_calls = np.asarray(inside & ~recovery.cut_by_fault(evidence, window))
        # Where every credential had expired there may be none: then the recovery has to tell.
        return open_calls if (open_calls & evidence.treated).any() else after
    free = after & recovery.released(evidence, window)
    # When hardly anyone came free in the time watched, the recovery is judged as it is.
    enough = np.count_nonzero(free) >= SAMPLES_MIN[90.0]
    return np.asarray(free if enough else after)


def _wrong(arm: Arm, mask: Mask) -> Ratio:
    wrong = arm.evidence.settled["outcome"] == Outcome.WRONG
    return arm.ratio(np.asarray(wrong), np.asarray(mask & (wrong | arm.evidence.ok)))


def _foreign(evidence: Evidence, mask: Mask) -> bool:
    return bool(np.any(evidence.settled["reason"][mask] == Reason.FOREIGN_NONCE))


def _alive(arm: Arm, lived: survival.Survival) -> Ratio:
    alive = lived.alive[arm.numbers].astype(np.float64)
    return Ratio(part=lived.credit[arm.numbers] * alive, whole=alive)


# --- components -----------------------------------------------------------------------------


def components(tally: Tally, treated: Floats, control: Floats) -> dict[str, Floats]:
    """Give every component under each row of session weights; NaN is not measured."""
    unmeasured = np.full(len(treated), np.nan)
    return {
        "availability": _beside(tally.answered, tally.answered_before, treated),
        "latency": unmeasured if tally.latency is None else _latency(tally, treated, control),
        "correctness": _correctness(tally, treated),
        "survival": _beside(tally.alive, tally.alive_before, treated),
        "recovery": _recovery(tally, treated),
        "blast": _blast(tally, control),
    }


def _beside(now: Ratio, before: Ratio | None, weights: Floats) -> Floats:
    """Give a share beside the baseline's, at most 1."""
    share = now.share(weights)
    if before is None:
        return share
    usual = before.share(weights)
    ratio = np.full(len(share), np.nan)
    np.divide(share, usual, out=ratio, where=usual > 0)
    return np.asarray(np.minimum(1.0, ratio))


def _correctness(tally: Tally, weights: Floats) -> Floats:
    share = tally.wrong.share(weights)
    if tally.foreign:
        return np.where(np.isnan(share), np.nan, 0.0)
    return 1.0 - np.minimum(1.0, share / WRONG_SHARE_MAX)


def _latency(tally: Tally, weights: Floats, control: Floats) -> Floats:
    """Take the mean over the quantiles that the samples support.

    Allowed is a fifth and 20 ms above the slower of the baseline and the control arm at the same
    time (at most four times the baseline or 250 ms), the injected delay added; nothing is left at
    the deadline.
    """
    assert tally.latency is not None
    if tally.latency_before is None:
        return np.full(len(weights), np.nan)
    samples = min(tally.latency.total, tally.latency_before.total)
    told = tuple(p for p in _QUANTILES if samples >= SAMPLES_MIN[p])
    usual = tally.latency_before.quantiles_us(weights, told)
    beside = usual
    if tally.control_beside is not None and tally.control_beside.total >= samples // 2:
        beside = tally.control_beside.quantiles_us(control, told)
    parts = []
    now = tally.latency.quantiles_us(weights, told)
    for now_us, usual_us, beside_us in zip(now, usual, beside, strict=True):
        most_us = np.maximum(usual_us * BUSIER_MAX, recovery.YARDSTICK_MAX_NS / 1000)
        slowest_us = np.minimum(np.fmax(usual_us, beside_us), most_us)
        quick_us = slowest_us + tally.injected_us
        allowed_us = quick_us * _TOLERANCE + SLACK_US
        # Where the fault alone takes longer than the deadline, nothing can be said.
        known = allowed_us < tally.deadline_us
        parts.append(np.where(known, _kept(now_us, allowed_us, tally.deadline_us), np.nan))
    if not parts:
        return np.full(len(weights), np.nan)
    return np.asarray(np.mean(parts, axis=0))


def _recovery(tally: Tally, weights: Floats) -> Floats:
    """Hold the time to recover, less what the fault's victims waited anyway, against the limit."""
    unmeasured = np.full(len(weights), np.nan)
    if tally.slices is None or tally.slice_counts is None:
        return unmeasured
    spare_s = tally.recovery_max_s - min(tally.slices.unavoidable_s, tally.slices.watched_s)
    calls, answered, slow = (weights @ part.astype(np.float64) for part in tally.slice_counts)
    took_s = recovery.time_to_recover(tally.slices, calls, answered, slow)
    if spare_s <= 0:
        return unmeasured
    late_s = np.maximum(0.0, took_s - tally.slices.unavoidable_s)
    value = 1.0 - np.minimum(1.0, late_s / spare_s)
    return np.where(took_s < 0, 0.0, value)


def _blast(tally: Tally, weights: Floats) -> Floats:
    """Hold the control arm's answers and p95 against its own baseline.

    The window and its recovery count; what the machine itself was slower by is allowed for. Time is
    measured as the treated arm's is: nothing is left at the deadline.
    """
    if tally.control is None or not weights.shape[1]:
        return np.full(len(weights), np.nan)
    answered = _beside(tally.control, tally.control_before, weights)
    if tally.control_latency is None or tally.control_latency_before is None:
        return answered
    now_us = tally.control_latency.quantiles_us(weights, (95.0,))[0]
    usual_us = tally.control_latency_before.quantiles_us(weights, (95.0,))[0]
    allowed_us = _TOLERANCE * tally.busier * usual_us + SLACK_US
    return answered * _kept(now_us, allowed_us, tally.deadline_us)


def _kept(now_us: Floats, allowed_us: Floats, deadline_us: float) -> Floats:
    """Give what is left of a latency, by its logarithm: 1 if allowed, 0 at the deadline."""
    worst = np.maximum(deadline_us / allowed_us, 1.0 + 1e-9)
    fallen = np.log(now_us / allowed_us) / np.log(worst)
    return np.asarray(np.clip(1.0 - fallen, 0.0, 1.0))
