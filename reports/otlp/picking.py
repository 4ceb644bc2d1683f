"""Which calls are told as spans when there is no room for all: those that failed come first.

The rest is drawn by a call's own number, which is as good as by lot and the same every time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.evidence.attempts import UNFIT, Attempts, Mask
from harness.journal import Calls
from harness.outcome import Outcome, Reason

Numbers = NDArray[np.int64]
_UNAUTHORIZED = 401


@dataclass(frozen=True, kw_only=True, eq=False)
class Picked:
    """The calls whose spans are sent: where each one's attempts are in `calls`, by session."""

    starts: Numbers  # of each picked call, its first attempt
    ends: Numbers  # one past its last
    spans: int  # of sessions, calls and attempts together
    failing: int  # calls of which an attempt failed
    failing_kept: int
    others: int
    others_kept: int

    @property
    def whole(self) -> bool:
        """Whether every call is there."""
        return self.failing + self.others == self.failing_kept + self.others_kept


def pick(of: Attempts, *, spans_max: int, traced: bool) -> Picked:
    """Pick calls until their spans, and those of their sessions, are as many as there may be.

    With `traced`, a call has one span more: where the target's own spans join in.
    """
    calls = of.calls
    count = int(of.group[-1]) + 1 if len(calls) else 0
    starts = np.searchsorted(of.group, np.arange(count)).astype(np.int64)
    ends = np.append(starts[1:], len(calls)) if count else starts
    failing = np.zeros(count, dtype=np.bool_)
    failing[of.group[failed(calls)]] = True
    costs = 1 + np.bincount(of.group, weights=calls["sent_ns"] >= 0, minlength=count)
    if traced:
        costs += np.add.reduceat(calls["sent_ns"] >= 0, starts) > 0 if count else 0
    order = _order(of, starts, failing)
    costs = costs[order]
    _, first = np.unique(calls["session"][starts][order], return_index=True)
    costs[first] += 1  # the session's own span
    total = np.cumsum(costs)
    kept = np.sort(order[: int(np.searchsorted(total, spans_max, side="right"))])
    return Picked(
        starts=starts[kept],
        ends=ends[kept],
        spans=int(total[len(kept) - 1]) if len(kept) else 0,
        failing=int(failing.sum()),
        failing_kept=int(failing[kept].sum()),
        others=int((~failing).sum()),
        others_kept=int((~failing[kept]).sum()),
    )


def _order(of: Attempts, starts: Numbers, failing: Mask) -> NDArray[np.intp]:
    calls = of.calls[starts]
    drawn = of.plan.marks.numbers(calls["session"], calls["index"])
    return np.lexsort((drawn, ~failing))


def failed(calls: Calls) -> Mask:
    """Mark the attempts that failed, and not because the client wanted it so or the run ended."""
    outcome, reason = calls["outcome"], calls["reason"]
    excused = np.isin(outcome, (Outcome.OK, Outcome.ABANDONED))
    excused |= np.isin(reason, (Reason.RUN_ENDED, Reason.REPLY_LOST, Reason.VANISHED))
    excused |= np.isin(calls["auth"], UNFIT) & (calls["status"] == _UNAUTHORIZED)
    return np.asarray(~excused)
