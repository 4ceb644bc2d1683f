"""Does one slow call make the others wait?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faults.agent_calls import SlowNeighbour
from harness.checks import sightings
from harness.checks.claims import singles
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Indices, Mask
from harness.journal import BEHAVIOUR_CODES, ProbeEntry
from harness.outcome import Outcome
from harness.scenario.records import CallStep
from harness.verdict import Finding

_HOL_BLOCK: Final = Rule(
    verdict="hol-block",
    wrong="waited for another session's slow call to end",
    source="the target's own calls: no session should wait for another's",
    unseen="no call was answered",
    unit="fast calls",
)
_MS: Final = 1_000_000
_SLOW_NS: Final = 200 * _MS
_SLOW_RATIO: Final = 5.0  # of the quickest kind of call
_LEFT_NS: Final = 100 * _MS  # a slow call must have this much still to run
_LEFT_RATIO: Final = 3.0  # and so many times what the fast call needs by itself
# One that shares a loop with the slow call may be answered a little before it, in the same turn.
_EARLY_SHARE: Final = 0.25
_QUEUE_SHARE: Final = 0.25  # of a slow call's time, in which it may not have begun
# Where slow calls take turns, some fast ones are answered between two of them, all at once.
_TURNS_MAX: Final = 2
_SILENT_SHARE_MIN: Final = 0.9  # of the wait
_FAST_MIN: Final = 20
_BLOCKED_SHARE_MAX: Final = 0.5
_QUICK_QUANTILE: Final = 0.1  # what a kind of call takes when nothing is in its way


@dataclass(frozen=True, kw_only=True)
class _Meetings:
    """Fast calls that were sent while another session's slow call had long to run."""

    fast: Indices
    blocked: Mask


def hol_block(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether fast calls are held until somebody else's slow call ends.

    Needs at least 20 fast calls sent while a slow call of another session had 100 ms or more to
    run, and three times what the fast one takes when nothing is in its way. One counts as blocked
    only if neither it nor any other fast call was answered before the slow one was about to end, or
    only in the turn between two slow ones: a server that is merely busy goes on answering. Says
    nothing when no kind of call is slow.
    Only calls of tools are looked at, where there are any; whether anything else was answered
    meanwhile tells a lock around the tools from an event loop that stands still.
    """
    calls = evidence.calls
    judged = sightings.attempted(evidence) & sightings.fit(evidence)
    judged &= calls["outcome"] == Outcome.OK
    judged &= ~sightings.struck(evidence, lambda fault: fault.lever == "network")
    added = judged & (calls["behaviour"] == BEHAVIOUR_CODES["slow_call"])
    judged &= (calls["attempt"] > 0) & _of_tools(evidence)
    if not judged.any():
        return (sightings.unknown(_HOL_BLOCK, _HOL_BLOCK.unseen),)
    quick_ns = _quick_ns(evidence, judged)
    floor_ns = max(_SLOW_RATIO * float(np.nanmin(quick_ns)), _SLOW_NS)
    slow_kind = np.nan_to_num(quick_ns) >= floor_ns
    added &= calls["done_ns"] - calls["sent_ns"] >= floor_ns
    if not slow_kind.any() and not added.any():
        return ()
    slow = np.flatnonzero((judged & slow_kind[calls["call"]]) | added)
    fast = np.flatnonzero(judged & ~slow_kind[calls["call"]])
    met = _meetings(evidence, fast, slow, quick_ns)
    count, blocked = len(met.fast), int(met.blocked.sum())
    if count < _FAST_MIN:
        why = f"only {count} fast calls met a slow one of another session, {_FAST_MIN} are needed"
        return (sightings.unknown(_HOL_BLOCK, why),)
    share = blocked / count
    failed = share > _BLOCKED_SHARE_MAX
    weight = np.zeros(len(calls), dtype=np.int64)
    weight[met.fast] = calls["done_ns"][met.fast] - calls["sent_ns"][met.fast]
    return (
        Finding(
            verdict=_HOL_BLOCK.verdict,
            ruling="fail" if failed else "pass",
            fault=_fault(evidence, slow, added),
            observed=share,
            limit=_BLOCKED_SHARE_MAX,
            unit="share of fast calls",
            why=f"{blocked} of {count} fast calls that met another session's slow call "
            f"({', '.join(_names(evidence, slow_kind, added))}) "
            f"were answered only when it ended{_meanwhile(evidence, slow) if failed else ''}",
            source=_HOL_BLOCK.source,
            evidence=sightings.worst_first(evidence, met.fast[met.blocked], weight)
            if failed
            else (),
        ),
    )


def _of_tools(evidence: Evidence) -> Mask:
    """Tell which attempts call tools; all of them where none does."""
    names = {step.call for step in singles(evidence) if isinstance(step, CallStep)}
    by_call = np.array([name in names for name in evidence.plan.calls] or [False])
    return np.asarray(by_call[evidence.calls["call"]] | (not names))


def _names(evidence: Evidence, slow_kind: Mask, added: Mask) -> list[str]:
    """Name the kinds of calls that are slow."""
    names = [evidence.plan.calls[code] for code in np.flatnonzero(slow_kind)]
    windows = np.unique(evidence.calls["window"][added])
    faults = (evidence.window(int(number)).fault for number in windows if number)
    names += [fault.tool for fault in faults if isinstance(fault, SlowNeighbour)]
    return list(dict.fromkeys(names))


def _fault(evidence: Evidence, slow: Indices, added: Mask) -> str:
    """Name the fault without which no call would have been slow; "" where some are by nature."""
    windows = np.unique(evidence.calls["window"][slow])
    if not added[slow].all() or len(windows) != 1:
        return ""
    return sightings.fault_id(evidence, int(windows[0]))


def _meanwhile(evidence: Evidence, slow: Indices) -> str:
    """Say what became of questions that no tool has to answer while a slow call ran."""
    calls = evidence.calls
    began_ns, ends_ns = calls["sent_ns"][slow], calls["done_ns"][slow]
    asked = [
        (probe.sent_ns, probe.at_ns, probe.outcome != "abandoned")
        for probe in evidence.journal.of(ProbeEntry)
        if probe.kind == "slow_call" and probe.variant == "probe"
    ]
    others = np.flatnonzero(sightings.attempted(evidence) & ~_of_tools(evidence))
    asked += [
        (int(calls["sent_ns"][at]), int(calls["done_ns"][at]), calls["done_ns"][at] >= 0)
        for at in others
    ]
    during = prompt = 0
    for sent_ns, done_ns, answered in asked:
        beside = (began_ns < sent_ns) & (ends_ns - sent_ns >= _LEFT_NS)
        if not beside.any():
            continue
        during += 1
        left_ns = int((ends_ns[beside] - sent_ns).min())
        prompt += bool(answered) and done_ns - sent_ns < (1 - _EARLY_SHARE) * left_ns
    if not during:
        return ""
    told = f"; meanwhile {prompt} of {during} questions that no tool answers were answered"
    if prompt > _BLOCKED_SHARE_MAX * during:
        return f"{told}: the calls wait for a lock or a place, and the event loop runs"
    return f"{told}: the event loop itself stands still"


def _quick_ns(evidence: Evidence, judged: Mask) -> NDArray[np.float64]:
    """Give what each kind of call takes when nothing is in its way; NaN for kinds not seen."""
    calls = evidence.calls
    quick_ns = np.full(len(evidence.plan.calls), np.nan)
    for code in np.unique(calls["call"][judged]):
        mine = judged & (calls["call"] == code)
        took_ns = calls["done_ns"][mine] - calls["sent_ns"][mine]
        quick_ns[code] = np.quantile(took_ns, _QUICK_QUANTILE)
    return quick_ns


def _meetings(
    evidence: Evidence, fast: Indices, slow: Indices, quick_ns: NDArray[np.float64]
) -> _Meetings:
    """Pair each fast call with the slow call that was to end next when it was sent."""
    calls = evidence.calls
    slow = slow[np.argsort(calls["done_ns"][slow], kind="stable")]
    ends_ns = calls["done_ns"][slow]
    sent_ns = calls["sent_ns"][fast]
    following = np.searchsorted(ends_ns, sent_ns, side="right")
    fast, sent_ns, following = (
        column[following < len(slow)] for column in (fast, sent_ns, following)
    )
    partner = slow[following]
    end_ns = ends_ns[following]
    left_ns = end_ns - sent_ns
    needs_ns = np.maximum(_LEFT_NS, _LEFT_RATIO * quick_ns[calls["call"][fast]])
    met = (calls["sent_ns"][partner] < sent_ns) & (left_ns >= needs_ns)
    met &= calls["session"][partner] != calls["session"][fast]
    fast, partner, sent_ns, end_ns, left_ns = (
        column[met] for column in (fast, partner, sent_ns, end_ns, left_ns)
    )
    early_ns = (end_ns - _EARLY_SHARE * left_ns).astype(np.int64)
    # What had queued up before the slow call is still answered while that waits for its own turn.
    queued_ns = calls["sent_ns"][partner] + _QUEUE_SHARE * (end_ns - calls["sent_ns"][partner])
    since_ns = np.maximum(sent_ns, np.minimum(queued_ns, early_ns).astype(np.int64))
    done_ns = np.sort(calls["done_ns"][_spoke(evidence, slow)])
    until = np.searchsorted(done_ns, early_ns, side="left")
    since = np.searchsorted(done_ns, since_ns, side="right")
    blocked = calls["done_ns"][fast] >= early_ns
    beside = np.searchsorted(np.sort(calls["sent_ns"][slow]), end_ns, side="left")
    beside -= np.searchsorted(ends_ns, sent_ns, side="right")
    turns = np.clip(beside - 1, 0, _TURNS_MAX)
    for at in np.flatnonzero(blocked & (until > since)):
        between_ns = done_ns[since[at] : until[at]]
        blocked[at] = _silent(since_ns[at], between_ns, early_ns[at], int(turns[at]))
    return _Meetings(fast=fast, blocked=np.asarray(blocked))


def _silent(since_ns: int, answers_ns: NDArray[np.int64], until_ns: int, turns: int) -> bool:
    """Whether nothing was answered in a time but in so many turns, each of them over at once."""
    silences_ns = np.diff(answers_ns, prepend=since_ns, append=until_ns)
    longest_ns = np.sort(silences_ns)[-turns - 1 :]
    return turns > 0 and bool(longest_ns.sum() >= _SILENT_SHARE_MIN * (until_ns - since_ns))


def _spoke(evidence: Evidence, slow: Indices) -> Mask:
    """Select every answer, right or wrong, that shows it was not the slow call all waited for."""
    calls = evidence.calls
    spoke = (calls["first_ns"] >= 0) & (calls["outcome"] <= Outcome.HTTP_ERROR)
    spoke &= sightings.attempted(evidence) & _of_tools(evidence)
    spoke[slow] = False
    return np.asarray(spoke)


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (hol_block,)
