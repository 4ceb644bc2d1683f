"""Does work go on that nobody waits for any more?"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from faults.agent import ClientVanish
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.clock import NS_PER_S
from harness.evidence.phases import Evidence, Mask
from harness.journal import BEHAVIOUR_CODES, EffectEntry, ProbeEntry, SessionEntry
from harness.outcome import Outcome, Reason
from harness.scenario.marks import PRELUDE_INDEX
from harness.verdict import Finding

_ORPHAN: Final = Rule(
    verdict="orphan-work",
    wrong="went on for more than a second after their caller had called them off",
    source="MCP cancellation: the receiver stops processing; since 2026-07-28 a closed stream "
    "MUST be treated as one",
    unseen="no call that was called off would have gone on for a second more, by the ledger",
    unit="cancelled calls",
)
_STOPS_NS: Final = NS_PER_S  # how long the work may take to stop
_NONCE: Final = re.compile(r"n[0-9a-f]{16}")


@dataclass(frozen=True, kw_only=True)
class _Left:
    """A call that its caller gave up, in a way that its era calls a cancel."""

    row: int  # in `calls`
    nonce: str
    told_ns: int
    answered: bool  # a result came long after


def orphan_work(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether calls that were cancelled in mid-call took effect, or were answered, long after.

    Legacy: by `notifications/cancelled` in a session; who merely vanishes has cancelled nothing.
    Modern: by closing the stream, which vanishing is too. Needs a cancelled call that did go on, or
    one that would have: calls of its kind show in the ledger and take over a second longer than it
    was given. Says nothing where nothing was cancelled.
    """
    left = [*_cancelled(evidence), *_vanished(evidence)]
    if not left:
        return ()
    effects = _effects_ns(evidence, {one.nonce for one in left})
    judged = np.zeros(len(evidence.calls), dtype=np.bool_)
    bad = judged.copy()
    lasts_ns = _lasts_ns(evidence)
    for one in left:
        late = [at_ns for at_ns in effects.get(one.nonce, ()) if at_ns > one.told_ns + _STOPS_NS]
        bad[one.row] |= bool(late) or one.answered
        given_ns = one.told_ns - int(evidence.calls["sent_ns"][one.row])
        usual_ns = lasts_ns[evidence.calls["call"][one.row]]
        judged[one.row] |= bool(bad[one.row]) or usual_ns > given_ns + _STOPS_NS
    return sightings.judge(evidence, _ORPHAN, judged=judged, bad=bad)


def _rows(evidence: Evidence, behaviour: Mask) -> dict[tuple[int, int], int]:
    calls = evidence.calls
    at = np.flatnonzero(behaviour & (calls["outcome"] == Outcome.ABANDONED))
    return {(int(calls["session"][row]), int(calls["index"][row])): int(row) for row in at}


def _cancelled(evidence: Evidence) -> Iterator[_Left]:
    probes = [
        probe
        for probe in evidence.journal.of(ProbeEntry)
        if probe.kind == "cancel_call" and probe.outcome == "abandoned"
    ]
    if not probes:
        return
    rows = _rows(evidence, evidence.calls["behaviour"] == BEHAVIOUR_CODES["cancel_call"])
    for probe in probes:
        row = rows.get((probe.session, probe.index))
        if row is not None and not probe.sent.endswith("no session"):
            yield _Left(
                row=row, nonce=probe.nonce, told_ns=probe.at_ns, answered=probe.carried == "own"
            )


def _vanished(evidence: Evidence) -> Iterator[_Left]:
    faults = {w.window: w.fault for w in evidence.injected if isinstance(w.fault, ClientVanish)}
    if not faults or evidence.era == "legacy":
        return
    modern = {entry.session for entry in evidence.journal.of(SessionEntry) if entry.era == "modern"}
    calls = evidence.calls
    mine = calls["behaviour"] == BEHAVIOUR_CODES["vanish"]
    for (session, index), row in _rows(
        evidence, mine & (calls["reason"] == Reason.VANISHED)
    ).items():
        fault = faults.get(int(calls["window"][row]))
        if session in modern and fault is not None:
            yield _Left(
                row=row,
                nonce=evidence.plan.nonce(session, PRELUDE_INDEX + index),
                told_ns=int(calls["sent_ns"][row]) + round(fault.after_s * NS_PER_S),
                answered=False,
            )


def _effects_ns(evidence: Evidence, nonces: Collection[str]) -> dict[str, list[int]]:
    """When each of these calls took effect, by the nonce that the ledger's keys carry."""
    found: dict[str, list[int]] = {}
    for entry in evidence.journal.of(EffectEntry):
        for nonce in _NONCE.findall(entry.key):
            if nonce in nonces:
                found.setdefault(nonce, []).append(entry.at_ns)
    return found


def _lasts_ns(evidence: Evidence) -> list[float]:
    """By call of the plan: how long one takes as a rule; 0 where the ledger shows none of them."""
    calls, declared = evidence.calls, evidence.declared
    seen = declared[evidence.executions.times > 0]
    lasts = [0.0] * max(1, len(evidence.plan.calls))
    took_ns = calls["done_ns"] - calls["sent_ns"]
    whole = (calls["outcome"][seen] == Outcome.OK) & (calls["done_ns"][seen] >= 0)
    for code in np.unique(calls["call"][seen[whole]]):
        lasts[code] = float(np.median(took_ns[seen[whole & (calls["call"][seen] == code)]]))
    return lasts


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (orphan_work,)
