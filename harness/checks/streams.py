"""Do long answers arrive, bit by bit as they come, and whole?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faults.network import IdleCut
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Indices, Mask
from harness.journal import BreachEntry, SaidEntry
from harness.outcome import Outcome, Reason
from harness.plan import flat
from harness.scenario.records import CallStep
from harness.scenario.units import counted
from harness.verdict import Finding

_CUT: Final = Rule(
    verdict="stream-cut",
    wrong="were cut off in the middle of their answer",
    source="a server that works on a long call says something at least every half of the time "
    "after which silence is cut, and gives no answer an absolute age",
    unseen="no call lasted long enough",
)
_BUFFERED: Final = Rule(
    verdict="buffered-stream",
    wrong="came whole at their end, the progress on the way with them",
    source="events are sent as they happen: flushed one by one, and marked X-Accel-Buffering: no",
    unseen="no call that asks for progress was long enough",
)
_LONG_NS: Final = 1_000_000_000
_MANY: Final = 3
_SPREAD_MAX: Final = 0.15  # of their median: cut at one age, and not by one event
_AT_END: Final = 0.9  # of a call's time had passed when its first byte came
_SHARE_MIN: Final = 0.8


def stream_cut(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether answers that had begun, or were long in the making, were cut off.

    Needs calls that took a second or more. Under `idle-cut`, two calls lost after its silence are
    enough. With no fault in force it takes three calls of two sessions, cut at one and the same age
    a second or later: what strikes all at one moment is something else.
    """
    calls = evidence.calls
    age_ns = _ages_ns(evidence)
    # A prelude is cut off by its own client.
    long = sightings.attempted(evidence) & (calls["attempt"] > 0) & (age_ns >= _LONG_NS)
    broken = long & (calls["outcome"] == Outcome.TRANSPORT_ERROR)
    broken &= np.isin(calls["reason"], (Reason.CLOSED_EARLY, Reason.RESET))
    found = [*_by_age(evidence, broken & (sightings.in_force(evidence) == 0), age_ns)]
    for window in evidence.phases.windows:
        if window.injected and isinstance(window.fault, IdleCut):
            silent = sightings.overlaps(evidence, window) & (calls["treated"] == 1) & broken
            silent &= age_ns >= 0.9e9 * window.fault.after_s
            cut: Indices = np.flatnonzero(silent)
            if len(cut) > 1:
                found.append(_failed(evidence, cut, age_ns, window.id))
    if found:
        return tuple(found)
    if not long.any():
        return (sightings.unknown(_CUT, _CUT.unseen),)
    return (sightings.passed(_CUT, int(long.sum())),)


def _ages_ns(evidence: Evidence) -> NDArray[np.int64]:
    """Give how old each attempt was when it was answered or broken; -1 where nobody knows."""
    calls = evidence.calls
    age_ns = np.where(calls["done_ns"] >= 0, calls["done_ns"] - calls["sent_ns"], -1)
    broken = {
        (entry.session, entry.index): entry.at_ns
        for entry in evidence.journal.of(BreachEntry)
        if entry.kind == "stream:broken"
    }
    for at in np.flatnonzero((calls["outcome"] == Outcome.TRANSPORT_ERROR) & (age_ns < 0)):
        one = calls[at]
        broken_ns = broken.get((int(one["session"]), int(one["index"])), -1)
        age_ns[at] = broken_ns - one["sent_ns"] if one["sent_ns"] >= 0 <= broken_ns else -1
    return age_ns


def _by_age(evidence: Evidence, cut: Mask, age_ns: NDArray[np.int64]) -> tuple[Finding, ...]:
    """Find the cuts of one tool that came at one age."""
    calls = evidence.calls
    found = []
    for code in np.unique(calls["call"][cut]):
        mine: Indices = np.flatnonzero(cut & (calls["call"] == code))
        if len(mine) < _MANY or len(np.unique(calls["session"][mine])) < 2:  # noqa: PLR2004
            continue
        low, middle, high = np.percentile(age_ns[mine], (10, 50, 90))
        if high - low <= _SPREAD_MAX * middle:
            found.append(_failed(evidence, mine, age_ns, ""))
    return tuple(found)


def _failed(evidence: Evidence, cut: Indices, age_ns: NDArray[np.int64], fault: str) -> Finding:
    age_s = float(np.median(age_ns[cut])) / 1e9
    tools = sorted({evidence.plan.calls[code] for code in np.unique(evidence.calls["call"][cut])})
    where = f"under {fault}" if fault else "with no fault to blame"
    return Finding(
        verdict=_CUT.verdict,
        ruling="fail",
        fault=fault,
        tool=tools[0] if len(tools) == 1 else "",
        observed=float(len(cut)),
        limit=0.0,
        unit=_CUT.unit,
        why=f"{counted(len(cut), 'calls')} ({', '.join(tools[: sightings.TOOLS_NAMED_MAX])}) "
        f"{_CUT.wrong}, {age_s:.1f} s after they were sent, {where}",
        source=_CUT.source,
        evidence=sightings.worst_first(evidence, cut, age_ns),
    )


def buffered_stream(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether progress came while there was progress.

    Needs long calls that asked for it, and as many notifications as calls; says nothing where no
    step asks. A first byte after nine tenths of the time, in four such calls of five, is a stream
    that somebody held back until it was whole.
    """
    codes = _asking(evidence)
    if not codes:
        return ()
    calls = evidence.calls
    took_ns = calls["done_ns"] - calls["sent_ns"]
    judged = sightings.attempted(evidence) & np.isin(calls["call"], codes)
    judged &= (calls["outcome"] == Outcome.OK) & (took_ns >= _LONG_NS) & (calls["first_ns"] >= 0)
    judged &= sightings.in_force(evidence) == 0
    heard = sum(e.counts.get("heard:progress", 0) for e in evidence.journal.of(SaidEntry))
    count = int(np.count_nonzero(judged))
    if count < _MANY or heard < count:
        why = _BUFFERED.unseen if count < _MANY else "the target tells of no progress"
        return (sightings.unknown(_BUFFERED, why),)
    late = judged & (calls["first_ns"] - calls["sent_ns"] >= _AT_END * took_ns)
    if np.count_nonzero(late) < _SHARE_MIN * count:
        return (sightings.passed(_BUFFERED, count),)
    return sightings.judge(evidence, _BUFFERED, judged=judged, bad=late)


def _asking(evidence: Evidence) -> list[int]:
    """Give the calls whose step asks for notifications of progress."""
    return [
        code
        for agent, positions in zip(evidence.scenario.agents, evidence.plan.positions, strict=True)
        for step, code in zip(flat(agent), positions, strict=True)
        if isinstance(step, CallStep) and step.progress
    ]


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    stream_cut,
    buffered_stream,
)
