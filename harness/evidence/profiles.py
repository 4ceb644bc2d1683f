"""What each kind of call usually brings, and which answers under a fault fall out of character.

The baseline is the yardstick. What differs from it is charged only if it came and went with the
fault: the untouched sessions at the same time, or the same sessions afterwards, must not show as
much of it. So a queue that runs dry, or a tool that returns few rows by nature, is never accused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.phases import BASELINE, Evidence, Indices, Mask, fault_code, recovery_code
from harness.journal import ROWS_UNKNOWN
from harness.outcome import Outcome
from harness.verdict import QualityRow

SAMPLES_MIN: Final = 20  # baseline answers, or there is no profile
_BESIDE_MIN: Final = 5  # answers at the same time, or afterwards, that say anything
# Zero events in n trials allow a rate of up to 3/n (95 %).
RULE_OF_THREE: Final = 3
_BLAME_RATIO: Final = 2.0
_ARMS: Final = ("control", "treated")

Sizes = NDArray[np.float64]


def answered(evidence: Evidence) -> Mask:
    """Tell which attempts were real calls that were answered as their step wants it."""
    calls = evidence.calls
    return np.asarray((calls["attempt"] > 0) & (calls["outcome"] == Outcome.OK) & evidence.fit)


def rows_usual(evidence: Evidence, code: int) -> Sizes:
    """Give the rows of a call's answers in the baseline, where they can be counted."""
    calls = evidence.calls
    mine = answered(evidence) & (calls["call"] == code) & (evidence.attempt_phase == BASELINE)
    return _counted(calls["rows"][mine])


def _counted(rows: NDArray[np.int32]) -> Sizes:
    return np.asarray(rows[rows != ROWS_UNKNOWN], dtype=np.float64)


def short(evidence: Evidence, among: Mask) -> Mask:
    """Select the answers that hold less than the tool ever returned in its baseline.

    Fewer rows than the least of at least 20 where that number never varied, else less than half of
    the least, of rows or of bytes. Empty lists are left to whoever asks about those.
    """
    calls = evidence.calls
    usual = answered(evidence) & (evidence.attempt_phase == BASELINE)
    mask = np.zeros(len(calls), dtype=np.bool_)
    for code in np.unique(calls["call"][among]):
        mine, baseline = among & (calls["call"] == code), usual & (calls["call"] == code)
        rows = _counted(calls["rows"][baseline])
        few = (calls["rows"] > 0) & (calls["rows"] < least(rows, exact=True))
        small = calls["reply_bytes"] < least(calls["reply_bytes"][baseline], exact=False)
        mask |= mine & (few | (small & (calls["rows"] != 0)))
    return mask


def least(sizes: Sizes | NDArray[np.int32] | NDArray[np.uint32], *, exact: bool) -> float:
    """Give the size below which an answer is not whole; 0 where nobody can say.

    With `exact`, a size that never varied is what every answer has to have.
    """
    if len(sizes) < SAMPLES_MIN:
        return 0.0
    lowest = float(sizes.min())
    return lowest if exact and lowest == float(sizes.max()) else lowest / 2


def unusual(evidence: Evidence, *, judged: Mask, bad: Mask) -> Mask:
    """Select the bad ones among the judged attempts of a kind of call that are the fault's doing.

    In a fault window, and there more than twice as common as the kind's own baseline, of at least
    20 answers, could explain. Besides, the other arm at the same time or the same arm afterwards
    has at most half as many of them, unless neither was there to be asked.
    """
    calls, phase = evidence.calls, evidence.attempt_phase
    mask = np.zeros(len(calls), dtype=np.bool_)
    bad = bad & judged
    for code in np.unique(calls["call"][bad & (phase > BASELINE)]):
        mine = np.flatnonzero(judged & (calls["call"] == code) & (phase >= BASELINE))
        tally = _Tally.of(evidence, mine, bad)
        for window in evidence.injected:
            for arm in (0, 1):
                if tally.charges(window.window, arm):
                    here = (phase[mine] == fault_code(window.window)) & (
                        calls["treated"][mine] == arm
                    )
                    mask[mine[here]] = True
    return np.asarray(mask & bad)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Tally:
    """How many attempts of a kind there were, and how many bad ones, by phase and arm."""

    count: NDArray[np.int64]
    bad: NDArray[np.int64]

    @staticmethod
    def of(evidence: Evidence, mine: Indices, bad: Mask) -> _Tally:
        """Count them once for all windows."""
        width = max(evidence.codes) + 1
        place = evidence.attempt_phase[mine].astype(np.int64) * 2 + evidence.calls["treated"][mine]
        return _Tally(
            count=np.bincount(place, minlength=width * 2).reshape(-1, 2),
            bad=np.bincount(place[bad[mine]], minlength=width * 2).reshape(-1, 2),
        )

    def charges(self, window: int, arm: int) -> bool:
        """Say whether what is bad in this window and arm is out of character."""
        usual, usual_bad = int(self.count[BASELINE].sum()), int(self.bad[BASELINE].sum())
        inside, after = fault_code(window), recovery_code(window)
        count, bad = int(self.count[inside, arm]), int(self.bad[inside, arm])
        if usual < SAMPLES_MIN or not bad:
            return False
        if bad <= _BLAME_RATIO * (usual_bad + RULE_OF_THREE) / usual * count:
            return False
        asked = [
            (int(self.bad[code, side]), int(self.count[code, side]))
            for code, side in ((inside, 1 - arm), (after, arm))
            if self.count[code, side] >= _BESIDE_MIN
        ]
        return not asked or any(
            _BLAME_RATIO * there / among <= bad / count for there, among in asked
        )


def rows(evidence: Evidence, nulls: dict[tuple[int, int, int], float]) -> tuple[QualityRow, ...]:
    """Give what every kind of call brought, by phase and arm; recoveries are left out.

    `nulls` is the share of null values by (call, phase, treated), where it was looked at.
    """
    calls, names = evidence.calls, evidence.plan.calls
    good, phase = np.flatnonzero(answered(evidence)), evidence.attempt_phase
    told = []
    for code in np.unique(calls["call"][good]):
        mine = good[calls["call"][good] == code]
        for stretch in (BASELINE, *(fault_code(window.window) for window in evidence.injected)):
            for arm, name in enumerate(_ARMS):
                here = mine[(phase[mine] == stretch) & (calls["treated"][mine] == arm)]
                if len(here):
                    null_share = nulls.get((int(code), stretch, arm))
                    place = (names[int(code)], evidence.phase_name(stretch), name)
                    told.append(_row(evidence, here, place, null_share))
    return tuple(told)


def _row(
    evidence: Evidence, here: Indices, place: tuple[str, str, str], null_share: float | None
) -> QualityRow:
    calls = evidence.calls[here]
    returned = _counted(calls["rows"])
    tool, phase, arm = place
    return QualityRow(
        tool=tool,
        phase=phase,
        arm=arm,
        answers=len(calls),
        rows_p05=_quantile(returned, 0.05),
        rows_p50=_quantile(returned, 0.5),
        empty_share=float((returned == 0).mean()) if len(returned) else None,
        bytes_p05=_quantile(calls["reply_bytes"], 0.05),
        bytes_p50=_quantile(calls["reply_bytes"], 0.5),
        null_share=null_share,
    )


def _quantile(sizes: NDArray[np.uint32] | Sizes, share: float) -> float | None:
    return float(np.quantile(sizes, share, method="lower")) if len(sizes) else None
