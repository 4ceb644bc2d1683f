"""Is every edit of what several sessions edit at once still there?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.checks import sightings
from harness.checks.claims import singles
from harness.checks.sightings import EVIDENCE_MAX, Rule
from harness.clock import NS_PER_S
from harness.evidence.phases import Evidence, Indices
from harness.journal import ROWS_UNKNOWN, call_id
from harness.outcome import Outcome
from harness.scenario.records import CallStep
from harness.verdict import Finding

_LOST: Final = Rule(
    verdict="lost-update",
    wrong="were answered as done and are gone",
    source="scenario: seen_in",
    unseen="nothing that shows the edits was read after they were made",
    hard=True,
    unit="edits",
)
_SETTLED_NS: Final = 2 * NS_PER_S  # a copy of what was edited may be so far behind
_OVERLAPS_MIN: Final = 5
_READS_SAME: Final = 3  # reads that show the same number while edits go on: the tool shows no more


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """One kind of edit, and the kind of call that shows them all."""

    edits: Indices  # where in `calls` they were answered as done, by that time
    begun: Indices  # every attempt at one
    reads: Indices  # by when they were sent
    writer: str
    reader: str


def lost_update(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether what one tool shows has as many rows as edits were answered as done.

    Needs reads after the edits, and edits that overlapped. What was there
    before the first read counts for no edit, as does anything that may have been on its way then;
    and a reader may be two seconds behind. So this can miss a loss, and cannot make one up.
    """
    return tuple(_judge(evidence, pair) for pair in _pairs(evidence))


def _pairs(evidence: Evidence) -> Iterator[_Pair]:
    calls, names = evidence.calls, evidence.plan.calls
    wanted = {
        (step.call, step.seen_in)
        for step in singles(evidence)
        if isinstance(step, CallStep) and step.seen_in
    }
    answered = (calls["outcome"] == Outcome.OK) & (calls["attempt"] > 0)
    for writer, reader in sorted(wanted):
        mine = calls["call"] == names.index(writer)
        edits = np.flatnonzero(mine & answered & (calls["last"] == 1))
        reads = np.flatnonzero(
            (calls["call"] == names.index(reader)) & answered & (calls["rows"] != ROWS_UNKNOWN)
        )
        yield _Pair(
            edits=edits[np.argsort(calls["done_ns"][edits], kind="stable")],
            begun=np.flatnonzero(mine & (calls["sent_ns"] >= 0)),
            reads=reads[np.argsort(calls["sent_ns"][reads], kind="stable")],
            writer=writer,
            reader=reader,
        )


def _judge(evidence: Evidence, pair: _Pair) -> Finding:
    calls = evidence.calls
    if len(pair.reads) < _READS_SAME or not len(pair.edits):
        return sightings.unknown(_LOST, _LOST.unseen)
    overlapping = _overlapping(evidence, pair.edits)
    if len(overlapping) < _OVERLAPS_MIN:
        why = f"only {len(overlapping)} edits overlapped another, {_OVERLAPS_MIN} are needed"
        return sightings.unknown(_LOST, why)
    first, last = int(pair.reads[0]), int(pair.reads[-1])
    before = int((calls["sent_ns"][pair.begun] < calls["done_ns"][first]).sum())
    old = max(0, int(calls["rows"][first]) - before)
    settled_ns = calls["sent_ns"][pair.reads] - _SETTLED_NS
    due = np.searchsorted(calls["done_ns"][pair.edits], settled_ns, side="right")
    shown = calls["rows"][pair.reads].astype(np.int64) - old
    missing = int(due[-1] - shown[-1])
    if missing <= 0:
        why = f"{pair.reader} showed all {int(due[-1])} edits by {pair.writer}"
        return sightings.passed(_LOST, int(due[-1]), why)
    tail = calls["rows"][pair.reads[-_READS_SAME:]]
    if len(np.unique(tail)) == 1 and due[-1] - due[-_READS_SAME] >= _READS_SAME:
        why = f"{pair.reader} shows no more than {int(tail[-1])} rows, however many edits there are"
        return sightings.unknown(_LOST, why)
    worst = [call_id(calls[last]), *(call_id(calls[at]) for at in overlapping)]
    return Finding(
        verdict=_LOST.verdict,
        ruling="fail",
        fault="",
        tool=pair.writer,
        observed=float(missing),
        limit=0.0,
        unit=_LOST.unit,
        why=f"at least {missing} of {int(due[-1])} edits by {pair.writer} {_LOST.wrong}: "
        f"{pair.reader} showed {int(shown[-1])} of them, with no fault to blame",
        source=_LOST.source,
        evidence=tuple(worst[:EVIDENCE_MAX]),
        hard=_LOST.hard,
    )


def _overlapping(evidence: Evidence, edits: Indices) -> Indices:
    """Select the edits that began while the one before them was under way."""
    calls = evidence.calls
    order = edits[np.argsort(calls["sent_ns"][edits], kind="stable")]
    before, after = order[:-1], order[1:]
    return np.asarray(after[calls["sent_ns"][after] < calls["done_ns"][before]])


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (lost_update,)
