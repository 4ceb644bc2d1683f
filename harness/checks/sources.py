"""What the dependency's ledger says of an answer: true, hiding a failure, or less than there is.

Only tools are judged so whose answers plainly come from the dependency: in the baseline nearly
every one of them had a request of its own there that went well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.phases import BASELINE, Evidence, Mask
from harness.journal import ROWS_UNKNOWN
from harness.outcome import Outcome, Reason

Whole = NDArray[np.int64]

SAMPLES_MIN: Final = 10
SHARE_MIN: Final = 0.95  # of the baseline's answers
# What is claimed and false, leaving out what has a name of its own: another's data, a bad schema.
UNTRUE: Final = (Reason.NONCE_MISSING, Reason.EXPECTATION, Reason.RESULT_SHAPE, Reason.ROWS)
_UNAUTHORIZED: Final = (401, 403)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sources:
    """Masks over all attempts; only such as settled a call are in them."""

    hidden: Mask  # claims success, and nothing that was asked for it succeeded
    unauthorized: Mask  # those of them whose credential the dependency refused
    short: Mask  # answered whole, with fewer rows than the dependency has; none at all included
    truly_empty: Mask  # without rows, because the dependency has none


def sources(evidence: Evidence) -> Sources:
    """Hold every answer against what the dependency was asked for it, and gave."""
    if not len(evidence.downstream):
        nothing = np.zeros(len(evidence.calls), dtype=np.bool_)
        return Sources(hidden=nothing, unauthorized=nothing, short=nothing, truly_empty=nothing)
    below = _below(evidence)
    settled = evidence.settled
    rows = settled["rows"].astype(np.int64)
    claims = settled["outcome"] == Outcome.OK
    claims |= (settled["outcome"] == Outcome.WRONG) & np.isin(settled["reason"], UNTRUE)
    leans, counts, least_rows, least_bytes = _habits(evidence, below)
    code = settled["call"]
    claims &= leans[code]
    # What shows all that it ever does may come from somebody's memory, which is no lie.
    bare = (settled["outcome"] == Outcome.WRONG) | (rows < least_rows[code])
    bare |= (least_rows[code] == ROWS_UNKNOWN) & (settled["reply_bytes"] < least_bytes[code])
    hidden = claims & (below.good == 0) & bare
    short = claims & counts[code] & (below.good > 0) & (rows >= 0) & (rows < below.whole)
    empty = (rows == 0) & (below.none > 0) & (below.whole <= 0)

    def spread(mask: Mask) -> Mask:
        over = np.zeros(len(evidence.calls), dtype=np.bool_)
        over[evidence.logical] = mask
        return over

    return Sources(
        hidden=spread(hidden),
        unauthorized=spread(hidden & (below.unauthorized > 0)),
        short=spread(short),
        truly_empty=spread(np.asarray(empty)),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Below:
    """By settled call, over the requests that its last attempt caused before it was answered."""

    good: Whole  # how many went well
    unauthorized: Whole  # how many were refused for their credential
    none: Whole  # how many went well, untouched, and had no rows to give
    whole: Whole  # the most rows that one of them knew of; -1 for no such number


def _below(evidence: Evidence) -> _Below:
    settled, down = evidence.settled, evidence.downstream
    count = len(settled)
    mine = (down.call >= 0) & ~down.aside
    call = np.where(mine, down.call, 0)
    sent_ns, done_ns = settled["sent_ns"][call], settled["done_ns"][call]
    mine &= (down.at_ns >= sent_ns) & ((done_ns < 0) | (down.at_ns <= done_ns))

    def number(which: Mask) -> Whole:
        return np.bincount(call[which], minlength=count).astype(np.int64)

    known = np.maximum(down.total, np.where(down.good, down.rows, ROWS_UNKNOWN))
    whole = np.full(count, ROWS_UNKNOWN, dtype=np.int64)
    np.maximum.at(whole, call[mine], known[mine])
    return _Below(
        good=number(mine & down.good),
        unauthorized=number(mine & np.isin(down.status, _UNAUTHORIZED)),
        none=number(mine & down.good & (down.rows == 0) & ~down.withheld),
        whole=whole,
    )


def _habits(evidence: Evidence, below: _Below) -> tuple[Mask, Mask, Whole, Whole]:
    """By kind of call: whether it leans on the dependency, hands on all its rows, and its least."""
    settled = evidence.settled
    kinds = len(evidence.plan.calls)
    leans, counts = np.zeros(kinds, dtype=np.bool_), np.zeros(kinds, dtype=np.bool_)
    least_rows = np.full(kinds, ROWS_UNKNOWN, dtype=np.int64)
    least_bytes = np.zeros(kinds, dtype=np.int64)
    usual = evidence.ok & (evidence.phase == BASELINE)
    for code in np.unique(settled["call"][usual]):
        mine = usual & (settled["call"] == code)
        if mine.sum() < SAMPLES_MIN or float((below.good[mine] > 0).mean()) < SHARE_MIN:
            continue
        rows = settled["rows"][mine]
        leans[code] = True
        counts[code] = float((rows == below.whole[mine]).mean()) >= SHARE_MIN
        least_rows[code] = int(rows.min())
        least_bytes[code] = int(settled["reply_bytes"][mine].min()) // 2
    return leans, counts, least_rows, least_bytes
