"""What else could have kept a recovery from being seen: the machine, or a watch that was too short.

A target that has not come back is slow or silent beside sessions that no fault touched, on a
machine that is at ease, until the watch ends. Where the untouched sessions fared alike, or squall
itself was short of a processor meanwhile, the same slow calls prove nothing; nor does a bad second
shortly before the end, for three good ones in a row could no longer follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.clock import NS_PER_MS, NS_PER_S
from harness.evidence.generator import (
    CPU_SUSPECT,
    LAG_P99_SUSPECT_MS,
    RUN_DELAY_SUSPECT,
    STALL_OVER_MS,
    THROTTLED_SUSPECT,
)
from harness.evidence.phases import Evidence, Mask, Span
from harness.journal import HealthEntry

_TAIL: Final = 0.05
_TAIL_Z: Final = 1.645  # one-sided 95 %: what chance alone brings is no relapse
_CHANCE_Z: Final = 2.326  # one-sided 99 %: two arms differ by that much without any reason

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Fared:
    """How one arm's calls fared, by slice of a recovery."""

    calls: Whole
    failed: Whole
    slow: Whole


@dataclass(frozen=True, kw_only=True, eq=False)
class Shortage:
    """What squall itself was short of, by slice of a recovery."""

    crowded: Mask
    lost_share: Floats  # of the time, in which its event loop stood still
    waited_share: float  # how long it waited for a processor in the typical second of these
    lag_ms: float  # how late its event loop was at the worst of these


@dataclass(frozen=True, kw_only=True, eq=False)
class Bad:
    """What made slices bad: too few answers, too many slow ones, or slowness without excuse."""

    failed: Mask
    slow: Mask
    beyond: Mask  # more than few were slower than the untouched arm excuses on a machine at ease


def shortage(evidence: Evidence, span: Span, *, length_ns: int, count: int) -> Shortage:
    """Ask every process of the generator about each slice from a span's start on."""
    crowded = np.zeros(count, dtype=np.bool_)
    stood_ms = np.zeros(count)
    there = []
    for entry in evidence.journal.of(HealthEntry):
        began_ns, ended_ns = entry.at_ns - NS_PER_S - span.start_ns, entry.at_ns - span.start_ns
        first, last = max(0, began_ns // length_ns), min(count - 1, ended_ns // length_ns)
        if first > last or not _short(entry):
            continue
        crowded[first : last + 1] = True
        stood_ms[first : last + 1] += entry.stalled_ms and entry.stalled_ms + STALL_OVER_MS
        there.append(entry)
    return Shortage(
        crowded=crowded,
        lost_share=np.minimum(1.0, stood_ms * NS_PER_MS / length_ns),
        waited_share=float(np.median([one.run_delay_share or 0.0 for one in there] or [0.0])),
        lag_ms=max((one.lag_max_ms for one in there), default=0.0),
    )


def busy(evidence: Evidence, span: Span) -> str:
    """Say what squall was short of for at least half of a stretch; "" where it was at ease."""
    length_ns = span.end_ns - span.start_ns
    there = [
        one for one in evidence.journal.of(HealthEntry) if span.start_ns < one.at_ns <= span.end_ns
    ]
    if not there or 2 * sum(map(_short, there)) < len(there):
        return ""
    return crowd(shortage(evidence, span, length_ns=length_ns, count=1))


def _short(entry: HealthEntry) -> bool:
    """Tell whether a process of the generator was short of something in one second."""
    return (
        (entry.run_delay_share or 0.0) > RUN_DELAY_SUSPECT
        or (entry.throttled_share or 0.0) > THROTTLED_SUSPECT
        or entry.lag_p99_ms > LAG_P99_SUSPECT_MS
        or entry.cpu_share > CPU_SUSPECT
        or entry.stalled_ms > 0
    )


def unproven(struck: Fared, untouched: Fared, machine: Shortage, bad: Bad) -> Mask:
    """Select the slices that are bad by nothing but what the machine may have done.

    `struck` has as slow what is so even beside a machine that was slower by as much as it was.
    Slow calls are excused where the untouched arm was not its usual self either while squall was
    short of something, and where hardly more of them were slow than of the untouched arm's, or than
    a stalled event loop held up. Failed ones are where the untouched arm's failed as often while
    squall was short of something: at ease, a target may fail both arms by itself.
    """
    failing, slowing = _share(untouched.failed, untouched), _share(untouched.slow, untouched)
    beside = _reached(untouched.calls)
    unusual = (untouched.slow > usual_most(untouched.calls)) | (
        _reached(untouched.slow) > usual_most(beside)
    )
    most = _most(struck.calls, np.maximum(slowing, machine.lost_share), beside)
    alike = (slowing + machine.lost_share > 0) & (struck.slow <= most)
    eased = struck.slow <= usual_most(struck.calls)
    slow = (machine.crowded & (unusual | eased)) | (alike & (machine.crowded | ~bad.beyond))
    failed = machine.crowded & (failing > 0)
    failed &= struck.failed <= _most(struck.calls, failing, beside)
    silent = (struck.calls == 0) & (untouched.calls == 0) & machine.crowded
    asked = (struck.calls > 0) & (slow | ~bad.slow) & (failed | ~bad.failed)
    return np.asarray((bad.slow | bad.failed) & (asked | silent))


def usual_most(calls: NDArray[np.number[Any]]) -> Floats:
    """Give how many of so many calls chance alone lets be slower than the baseline's p95."""
    return np.asarray(np.floor(calls * _TAIL + _TAIL_Z * np.sqrt(calls * _TAIL * (1 - _TAIL))))


def sentence(struck: Fared, untouched: Fared, machine: Shortage, which: Mask) -> str:
    """Say what the machine may have done in the slices that prove nothing."""
    parts = []
    if (machine.crowded & which).any():
        parts.append(crowd(machine))
    near = _reached(which.astype(np.int64)) > 0
    slow, calls = int(untouched.slow[near].sum()), int(untouched.calls[near].sum())
    if slow:
        mine = f"{int(struck.slow[which].sum())} of {int(struck.calls[which].sum())}"
        parts.append(
            f"{slow} of {calls} calls that no fault touched were slow beside {mine} treated ones"
        )
    return "; ".join(parts)


def crowd(machine: Shortage) -> str:
    """Say what squall was short of."""
    if machine.waited_share > RUN_DELAY_SUSPECT:
        return (
            f"a busy machine: squall waited for a processor {machine.waited_share:.0%} of the time"
        )
    return (
        f"squall itself was short of time: its event loop came up to {machine.lag_ms:.0f} ms late"
    )


def _share(part: Whole, arm: Fared) -> Floats:
    """Give a share of the calls in each slice, or in it and its neighbours, if that is more."""
    shares = []
    for some, calls in ((part, arm.calls), (_reached(part), _reached(arm.calls))):
        shares.append(np.divide(some, calls, out=np.zeros(len(some)), where=calls > 0))
    return np.asarray(np.maximum(*shares))


def _reached(part: Whole) -> Whole:
    """Add up each slice and its neighbours."""
    wide = np.pad(part, 1)
    return np.asarray(wide[:-2] + wide[1:-1] + wide[2:])


def _most(calls: Whole, share: Floats, beside: Whole) -> Floats:
    """Give how many calls chance puts among so many, where a share of so many others is known."""
    spread = np.sqrt(calls * share * (1 - share) * (1 + calls / np.maximum(beside, 1)))
    return np.asarray(np.floor(calls * share + _CHANCE_Z * spread))
