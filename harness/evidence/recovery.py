"""What a fault leaves behind: what no server could have prevented, and the way back to normal."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from faults.network import TcpTruncate
from harness.evidence.disturbance import Bad, Fared, crowd, sentence, shortage, unproven, usual_most
from harness.evidence.draws import small
from harness.evidence.latencies import latency_ns, measured
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
from harness.evidence.watch import STEADY_SLICES, slice_ns
from harness.outcome import Outcome
from harness.scenario import conditions

NEVER_S: Final = -1.0
GOODPUT_SHARE_MIN: Final = 0.95  # of the baseline's
SLOWDOWN_MAX: Final = 1.2  # of the baseline's p95 ...
SLOWDOWN_SLACK_NS: Final = 20_000_000  # ... and this much, for baselines of a millisecond
YARDSTICK_MAX_NS: Final = 250_000_000  # a control arm slower than this proves nothing
_GRACE_NS: Final = 5_000_000_000  # after which a hung call is given up, beyond its deadline
_TAIL: Final = 0.05

Whole = NDArray[np.int64]


# --- what no server could have prevented ----------------------------------------------------


def held_until_ns(evidence: Evidence, window: WindowSpan) -> Whole:
    """Give, by session number, when the calls that a stopped service had caught were over.

    Until then a session is waiting out its own deadline, and then drains what had piled up.
    """
    if window.window not in evidence.held_ns:
        evidence.held_ns[window.window] = _held_until_ns(evidence, window)
    return evidence.held_ns[window.window]


def _held_until_ns(evidence: Evidence, window: WindowSpan) -> Whole:
    calls = evidence.settled
    session, due_ns, done_ns = calls["session"], calls["due_ns"], calls["done_ns"]
    held = np.full(evidence.session_count, window.healed_ns, dtype=np.int64)
    if not window.fault.stops_service():
        return held
    sent = calls["sent_ns"] >= 0
    inside = (evidence.phase == fault_code(window.window)) & evidence.struck_by(window)
    caught = inside & sent & (calls["sent_ns"] < window.healed_ns)
    np.maximum.at(held, session[caught], done_ns[caught])
    longest_ns = int(evidence.deadline_ns[caught].max(initial=0)) + _GRACE_NS
    held = np.minimum(held, window.healed_ns + longest_ns)
    drained = (due_ns < held[session]) & (due_ns >= window.start_ns) & evidence.ok & sent
    np.maximum.at(held, session[drained], done_ns[drained])
    return np.minimum(held, window.healed_ns + longest_ns)


def released(evidence: Evidence, window: WindowSpan) -> Mask:
    """Select the struck calls of a recovery that were due once their session was free again."""
    mine = evidence.struck_by(window)
    recovering = (evidence.phase == recovery_code(window.window)) & mine
    held_ns = held_until_ns(evidence, window)
    return np.asarray(
        recovering & (evidence.settled["due_ns"] >= held_ns[evidence.settled["session"]])
    )


def cut_by_fault(evidence: Evidence, window: WindowSpan) -> Mask:
    """Select the treated calls of a window whose connection the injector itself cut."""
    if not isinstance(window.fault, TcpTruncate):
        return np.zeros(len(evidence.settled), dtype=np.bool_)
    return np.asarray(
        (evidence.phase == fault_code(window.window))
        & evidence.treated
        & (evidence.settled["outcome"] == Outcome.TRANSPORT_ERROR)
    )


def unpreventable(evidence: Evidence) -> Mask:
    """Select the settled calls that no server, however good, could have answered in time."""
    lost = np.zeros(len(evidence.settled), dtype=np.bool_)
    for window in evidence.phases.windows:
        if not window.injected:
            continue
        lost |= cut_by_fault(evidence, window)
        if window.fault.stops_service():
            code = recovery_code(window.window)
            mine = evidence.struck_by(window)
            lost |= (evidence.phase == fault_code(window.window)) & mine
            lost |= (evidence.phase == code) & mine & ~released(evidence, window)
    return lost


def losses(evidence: Evidence) -> dict[str, int]:
    """Count the calls of all phases that somebody waited for in vain, by who could have helped it.

    `unpreventable`: no server could have answered. `preventable`: all others.
    """
    missed = ~evidence.ok & evidence.counted
    beyond = unpreventable(evidence)
    return {
        "unpreventable": int(np.count_nonzero(missed & beyond)),
        "preventable": int(np.count_nonzero(missed & ~beyond)),
    }


# --- the way back ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class Slices:
    """A recovery in slices of time: calls, answered ones and slow ones, by session."""

    length_s: float
    calls: NDArray[Any]  # (sessions, slices), whole numbers
    answered: NDArray[Any]
    slow: NDArray[Any]
    answered_share_min: float
    unavoidable_s: float  # how long the fault's last victims waited on their own account
    watched_s: float


def slices(evidence: Evidence, window: WindowSpan) -> Slices | None:
    """Slice the recovery after a window; None where baseline or recovery cannot be measured.

    A slice lasts a second, or as long as it takes to hold twenty calls. A call is slow beside the
    baseline's p95 or, if that is more, the control arm's at the same time: whoever is served like
    the sessions that no fault touched is back. (Up to four times the baseline's or a
    quarter of a second, more where the machine itself was slower: a slower arm is no yardstick.)

    None too where the target was not seen to come back, or later than the scenario allows, and
    `doubt` says why that proves nothing.
    """
    cut = _cut(evidence, window)
    return None if cut is None or doubt(evidence, window) else _slices(evidence, window, cut)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Cut:
    """Where a recovery is cut, and how slow a call may be in each slice."""

    length_ns: int
    count: int
    usual_ns: float  # beside the baseline alone
    limit_ns: NDArray[np.float64]  # beside the untouched arm, too
    most_ns: float  # beside the slowest arm that is a yardstick


def _cut(evidence: Evidence, window: WindowSpan) -> _Cut | None:
    base = (evidence.phase == BASELINE) & evidence.treated & evidence.counted
    mine = _recovering(evidence, window) & evidence.treated
    watched_ns = window.recovery_end_ns - window.healed_ns
    if not base.any() or not mine.any() or watched_ns <= 0 or not evidence.ok[base].any():
        return None
    length_ns = slice_ns(watched_ns, int(np.count_nonzero(mine)))
    count = watched_ns // length_ns
    usual = np.sort(latency_ns(evidence, "due")[base & measured(evidence, "due")])
    if not len(usual):
        return None
    p95_ns = _p95_ns(usual)
    beside_ns = _beside_ns(evidence, window, length_ns=int(length_ns), count=int(count))
    span = Span(start_ns=window.start_ns, end_ns=window.recovery_end_ns)
    most_ns = max(p95_ns * BUSIER_MAX, YARDSTICK_MAX_NS * busier(evidence, span))
    slowest_ns = np.clip(beside_ns, p95_ns, round(most_ns)).astype(np.float64)
    return _Cut(
        length_ns=int(length_ns),
        count=int(count),
        usual_ns=p95_ns * SLOWDOWN_MAX + SLOWDOWN_SLACK_NS,
        limit_ns=slowest_ns * SLOWDOWN_MAX + SLOWDOWN_SLACK_NS,
        most_ns=round(most_ns) * SLOWDOWN_MAX + SLOWDOWN_SLACK_NS,
    )


def _recovering(evidence: Evidence, window: WindowSpan) -> Mask:
    return np.asarray((evidence.phase == recovery_code(window.window)) & evidence.counted)


def _slices(evidence: Evidence, window: WindowSpan, cut: _Cut) -> Slices | None:
    which = np.flatnonzero(_recovering(evidence, window) & evidence.treated)
    at = (evidence.settled["due_ns"][which] - window.healed_ns) // cut.length_ns
    which, at = which[at < cut.count], at[at < cut.count]
    took_ns, told = latency_ns(evidence, "due"), measured(evidence, "due")
    base = (evidence.phase == BASELINE) & evidence.treated & evidence.counted
    rows, count = evidence.session_count, cut.count
    cell = evidence.settled["session"][which].astype(np.int64) * count + at

    def tally(mask: Mask) -> NDArray[Any]:
        return small(np.bincount(cell[mask], minlength=rows * count).reshape(rows, count))

    calls, answered = tally(np.ones(len(which), dtype=np.bool_)), tally(evidence.ok[which])
    told_of = np.count_nonzero(calls.any(axis=0))
    if told_of < STEADY_SLICES and np.array_equal(calls, answered):
        return None  # the next fault caught what was still waiting, and nothing else had failed
    held_ns = int(held_until_ns(evidence, window).max()) - window.healed_ns
    return Slices(
        length_s=cut.length_ns / 1e9,
        calls=calls,
        answered=answered,
        slow=tally((took_ns[which] > cut.limit_ns[at]) & told[which]),
        answered_share_min=GOODPUT_SHARE_MIN * float(np.mean(evidence.ok[base])),
        unavoidable_s=ceil(held_ns / cut.length_ns) * cut.length_ns / 1e9,
        watched_s=(window.recovery_end_ns - window.healed_ns) / 1e9,
    )


def _p95_ns(ascending: Whole) -> int:
    return int(ascending[max(0, ceil(len(ascending) * (1 - _TAIL)) - 1)])


def _beside_ns(evidence: Evidence, window: WindowSpan, *, length_ns: int, count: int) -> Whole:
    """Give the control arm's p95 in each slice or around it, if that is more; 0 without calls.

    A stall of the machine strikes both arms, and a slice holds only a few calls of each.
    """
    if window.arm == "both":  # there is nobody beside them
        return np.zeros(count, dtype=np.int64)
    mine = (evidence.phase == recovery_code(window.window)) & evidence.control
    which = np.flatnonzero(mine & measured(evidence, "due"))
    at = (evidence.settled["due_ns"][which] - window.healed_ns) // length_ns
    took_ns = latency_ns(evidence, "due")[which]
    beside = np.zeros(count, dtype=np.int64)
    for slice_ in range(count):
        for reach in (0, 1):
            near = np.sort(took_ns[np.abs(at - slice_) <= reach])
            beside[slice_] = max(beside[slice_], _p95_ns(near) if len(near) else 0)
    return beside


def time_to_recover(
    sliced: Slices,
    calls: NDArray[np.float64],
    answered: NDArray[np.float64],
    slow: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Give seconds from heal to the first of three good slices in a row; -1 where there is none.

    A slice is good when its calls were answered like the baseline's, and when no more of them were
    slow than chance allows where the baseline's twentieth is: 1 of 5, 3 of 25, 8 of 100.

    The arrays are (runs, slices): totals over the sessions, weighted or not.
    """
    good = (calls > 0) & (answered >= sliced.answered_share_min * calls)
    return _first_steady(good & (slow <= usual_most(calls)), sliced.length_s)


def _first_steady(good: Mask, length_s: float) -> NDArray[np.float64]:
    starts = max(0, good.shape[1] - STEADY_SLICES + 1)
    steady = np.ones((len(good), starts), dtype=np.bool_)
    for later in range(STEADY_SLICES):
        steady &= good[:, later : later + starts]
    first = np.argmax(steady, axis=1) * length_s if starts else np.zeros(len(good))
    return np.where(steady.any(axis=1), first, NEVER_S)


def recovery_s(evidence: Evidence, window: WindowSpan) -> float | None:
    """Give the treated arm's time to recover in seconds; -1 never, None not measured."""
    return _told(evidence, window)[0]


def doubt(evidence: Evidence, window: WindowSpan) -> str:
    """Say why a target not seen to come back, or in time, may have; "" where it was, or did not."""
    return _told(evidence, window)[1]


def _told(evidence: Evidence, window: WindowSpan) -> tuple[float | None, str]:
    if window.window not in evidence.recoveries:
        evidence.recoveries[window.window] = _tell(evidence, window)
    return evidence.recoveries[window.window]


def _tell(evidence: Evidence, window: WindowSpan) -> tuple[float | None, str]:
    cut = _cut(evidence, window) if window.injected else None
    sliced = None if cut is None else _slices(evidence, window, cut)
    if cut is None or sliced is None:
        return None, ""
    totals = (sliced.calls, sliced.answered, sliced.slow)
    calls, answered, slow = (part.sum(axis=0, keepdims=True).astype(np.float64) for part in totals)
    took_s = round(float(time_to_recover(sliced, calls, answered, slow)[0]), 3)
    wanted = _wanted(evidence)
    late = took_s == NEVER_S or (wanted is not None and not wanted.holds(took_s))
    why = _doubt(evidence, window, cut, sliced, took_s) if late else ""
    return (None, why) if why else (took_s, "")


def _wanted(evidence: Evidence) -> conditions.Condition | None:
    return conditions.limits(evidence.scenario.limits).get("recovery")


# --- what speaks against a recovery that was not seen, or seen too late ------------------------


def _doubt(evidence: Evidence, window: WindowSpan, cut: _Cut, sliced: Slices, took_s: float) -> str:
    """Say what may have kept a recovery from being seen in time, if that is not the target."""
    span = Span(start_ns=window.healed_ns, end_ns=window.recovery_end_ns)
    machine = shortage(evidence, span, length_ns=cut.length_ns, count=cut.count)
    calls, answered, slow = (
        part.sum(axis=0, dtype=np.int64) for part in (sliced.calls, sliced.answered, sliced.slow)
    )
    alone = window.arm == "both"  # with nobody beside them
    eased = cut.limit_ns * (busier(evidence, span) if alone else 1.0)
    struck = _fared(evidence, window, cut, evidence.treated, eased)
    nobody = np.zeros(len(evidence.settled), dtype=np.bool_)
    usual = np.full(cut.count, cut.usual_ns)
    untouched = _fared(evidence, window, cut, nobody if alone else evidence.control, usual)
    most = np.full(cut.count, cut.most_ns)
    slowest = _fared(evidence, window, cut, evidence.treated, most).slow
    bad = Bad(
        failed=(calls == 0) | (answered < sliced.answered_share_min * calls),
        slow=slow > usual_most(calls),
        beyond=slowest > usual_most(calls),
    )
    open_ = unproven(struck, untouched, machine, bad)
    maybe = ~(bad.failed | bad.slow) | open_
    wanted, maybe_s = _wanted(evidence), float(_first_steady(maybe[None, :], sliced.length_s)[0])
    in_time = maybe_s != NEVER_S and (wanted is None or wanted.holds(round(maybe_s, 3)))
    never = took_s == NEVER_S
    if in_time or (never and maybe_s != NEVER_S):
        return sentence(struck, untouched, machine, open_)
    if not never:
        return ""
    short = _too_short(evidence, window, maybe, sliced)
    return "; ".join([crowd(machine), short]) if short and machine.crowded.any() else short


def _fared(
    evidence: Evidence, window: WindowSpan, cut: _Cut, arm: Mask, limit_ns: NDArray[np.float64]
) -> Fared:
    """Count an arm's calls in each slice: all, those that failed, and those slower than a limit."""
    which = np.flatnonzero(_recovering(evidence, window) & arm)
    at = (evidence.settled["due_ns"][which] - window.healed_ns) // cut.length_ns
    which, at = which[at < cut.count], at[at < cut.count]
    late = latency_ns(evidence, "due")[which] > limit_ns[at]

    def count(mask: Mask) -> Whole:
        return np.bincount(at[mask], minlength=cut.count)

    return Fared(
        calls=np.bincount(at, minlength=cut.count),
        failed=count(~evidence.ok[which]),
        slow=count(late & measured(evidence, "due")[which]),
    )


def _too_short(evidence: Evidence, window: WindowSpan, good: Mask, sliced: Slices) -> str:
    """Say why the watch was too short for the scenario's own limit; "" where it was not.

    It was where the last slices are good again, but too few, and began within the limit; and where
    the fault was healed so late that less was watched than the limit allows and the plan has.
    """
    wanted = _wanted(evidence)
    if wanted is None:
        return ""
    last = int(len(good) - np.argmin(good[::-1])) if not good.all() else 0
    if last < len(good) and wanted.holds(round(last * sliced.length_s, 3)):
        seen, needed = (n * sliced.length_s for n in (len(good) - last, STEADY_SLICES))
        return f"back to normal in the last {seen:.1f} s that were watched; it takes {needed:.1f}"
    planned = next(one for one in evidence.plan.windows if one.window == window.window)
    planned_s = (planned.recovery_end_ns - planned.end_ns) / 1e9
    if sliced.watched_s + sliced.length_s <= min(planned_s, wanted.limit):
        return f"healed so late that only {sliced.watched_s:.1f} s were left to watch"
    return ""
