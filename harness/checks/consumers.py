"""Who took for true what was not: agents that work on from an empty, masked or false answer.

A language model cannot see that an empty list stands for a failure. What such an agent says next is
made up, so the agents are counted and not only the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.checks import auth, sightings
from harness.checks.claims import Claims, claims
from harness.evidence.phases import Evidence, Mask
from harness.outcome import Outcome
from harness.verdict import Misled

_BARE: Final = 0  # no fault is to blame


@dataclass(frozen=True, kw_only=True, eq=False)
class _Believed:
    """Masks over all attempts: what an agent that trusts a success was told."""

    empty: Mask
    masked: Mask
    untrue: Mask

    @property
    def any(self) -> Mask:
        """Tell which attempts were answered with what is not so, and looked like a success."""
        return np.asarray(self.empty | self.masked | self.untrue)


def misled(evidence: Evidence) -> tuple[Misled, ...]:
    """Count the agents that went on from an answer that was not true, fault by fault.

    A session goes on when it asks for anything after that answer. An answer that says itself that
    it is an error misleads nobody. Says nothing of windows under which no agent was misled.
    """
    calls = evidence.calls
    if not len(calls):
        return ()
    believed = _believed(evidence, claims(evidence))
    worked_on = believed.any & _went_on(evidence)
    windows = sightings.in_force(evidence)
    return tuple(
        _row(evidence, believed, worked_on & (windows == number), int(number))
        for number in np.unique(windows[worked_on])
    )


def _believed(evidence: Evidence, charged: Claims) -> _Believed:
    real = evidence.calls["attempt"] > 0
    masked = auth.masked(evidence) & np.isin(evidence.calls["outcome"], (Outcome.OK, Outcome.WRONG))
    masked |= charged.auth_masked
    empty = charged.silent_empty  # whoever asked: what is asked on purpose is asked as well
    untrue = charged.crosstalk | charged.truncated | charged.stale_read
    untrue |= charged.schema_drift | charged.wrong_answer
    untrue &= evidence.calls["outcome"] != Outcome.TOOL_ERROR  # an error misleads nobody
    return _Believed(
        empty=np.asarray(empty & ~masked),
        masked=np.asarray(real & masked),
        untrue=np.asarray(untrue & ~masked & ~empty),
    )


def _went_on(evidence: Evidence) -> Mask:
    """Tell after which attempts their session asked for anything more."""
    calls = evidence.calls
    last_ns: NDArray[np.int64] = np.full(evidence.session_count, -1, dtype=np.int64)
    np.maximum.at(last_ns, calls["session"], calls["sent_ns"])
    return np.asarray((calls["done_ns"] >= 0) & (calls["done_ns"] <= last_ns[calls["session"]]))


def _row(evidence: Evidence, believed: _Believed, here: Mask, number: int) -> Misled:
    calls = evidence.calls
    answered = calls["outcome"] == Outcome.OK
    answered |= believed.any
    met = answered & (sightings.in_force(evidence) == number)
    start_ns = 0 if number == _BARE else evidence.window(number).start_ns

    def agents(mask: Mask) -> int:
        return len(np.unique(calls["session"][mask]))

    return Misled(
        fault=sightings.fault_id(evidence, number),
        agents=agents(np.asarray(met)),
        empty=agents(here & believed.empty),
        masked=agents(here & believed.masked),
        untrue=agents(here & believed.untrue),
        answers=int(here.sum()),
        first_s=round(max(0, int(calls["done_ns"][here].min()) - start_ns) / 1e9, 3),
    )
