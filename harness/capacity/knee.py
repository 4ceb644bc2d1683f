"""Where a target stops keeping up: the knee of a climb, with a 95 % confidence interval.

The knee is the highest rate at which the target still keeps up: what Jain calls usable capacity,
the most that is had without breaking a limit on latency (The Art of Computer Systems Performance
Analysis, 1991, 3.3). Each step keeps up or does not. Since a target that keeps up with a rate keeps
up with every lower one, the knee lies between the rates where the verdicts are best cut in two, the
isotonic regression of a yes and no (Barlow and others, 1972): noise may put a no below a yes, and
cuts that fit equally well all stand.

The interval is of two uncertainties. Which way a step's verdict would have gone at another
moment: each step is drawn anew a thousand times, in circular blocks of a second, for what happens
within a second hangs together (Politis and Romano, 1992). And where between two steps the knee
lies, of which nothing is known: the interval reaches from the lower edge of the cuts to the upper,
and never claims more than was tried. Where the target fell behind by too little to tell, the lower
edge is what it answered, not what it was offered.

It is the knee of steps as long as those that were made: a queue that takes minutes to build up is
not seen in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.capacity.steps import CELL_NS, Bars, Floats, Reading, keeps

DRAWS: Final = 1000
BLOCK_NS: Final = 1_000_000_000
CONFIDENCE: Final = 0.95
# So few seconds in a step make percentile intervals too narrow. Calibrated (Loh, 1987) by climbs of
# simulated queues: this nominal level covered their knees in 95 to 100 climbs of 100; 95 % in 85.
NOMINAL: Final = 0.99


@dataclass(frozen=True, kw_only=True, eq=False)
class Knee:
    """Calls a second; `high` is None where no step was too much, `low` 0 where none was kept."""

    estimate: float | None  # None when no step was kept
    low: float
    high: float | None
    edges: NDArray[np.float64]  # one row a draw: the cuts' lower and upper edge

    @property
    def bounded(self) -> bool:
        """Whether the climb found both a rate that was kept and one that was not."""
        return self.low > 0 and self.high is not None


def find(steps: Sequence[Reading], bars: Bars, *, seed: int) -> Knee | None:
    """Find the knee in the steps of one curve; None when none of them counts."""
    counted = [step for step in steps if step.counts]
    if not counted:
        return None
    rates, place = np.unique([step.rate_per_s for step in counted], return_inverse=True)
    random = np.random.default_rng([seed, len(counted)])
    drawn = [(step, _draws(len(step.cells.due), random)) for step in counted]
    kept = np.column_stack([keeps(step, bars, cells) for step, cells in drawn])
    answers = np.column_stack([_answers(step, cells) for step, cells in drawn])
    low, high = _cuts(kept, place, len(rates))
    served = _by_rate(answers, place, len(rates))
    rows = np.arange(DRAWS)
    bottom = np.minimum(served[rows, np.maximum(low, 0)], rates[np.maximum(low, 0)])
    edges = np.column_stack(
        [
            np.where(low >= 0, bottom, 0.0),
            np.where(high < len(rates), rates[np.minimum(high, len(rates) - 1)], inf),
        ]
    )
    seen_low, seen_high = bracket(counted)
    tail = (1 - NOMINAL) / 2
    least = float(np.quantile(edges[:, 0], tail, method="lower"))
    most = float(np.quantile(edges[:, 1], 1 - tail, method="higher"))
    return Knee(
        estimate=_middle(seen_low, seen_high),
        low=min(least, inf if seen_low is None else seen_low),
        high=None if most == inf else max(most, seen_high or 0.0),
        edges=edges,
    )


def bracket(steps: Sequence[Reading]) -> tuple[float | None, float | None]:
    """Give the rates between which the knee lies, by the verdicts as they are."""
    counted = [step for step in steps if step.counts]
    if not counted:
        return None, None
    rates, place = np.unique([step.rate_per_s for step in counted], return_inverse=True)
    low, high = _cuts(np.array([[step.kept for step in counted]]), place, len(rates))
    return (
        float(rates[low[0]]) if low[0] >= 0 else None,
        float(rates[high[0]]) if high[0] < len(rates) else None,
    )


def ratio(under: Knee, bare: Knee) -> tuple[float | None, float, float | None]:
    """Give what is left of the bare knee under a fault: an estimate and its interval.

    The two curves are drawn independently, for they are steps of different times. None for an end
    that is not known.
    """
    order = np.random.default_rng(len(under.edges)).permutation(len(bare.edges))
    # A lower edge is a bound whatever the other one is; what has none is 0 or nothing.
    with np.errstate(divide="ignore", invalid="ignore"):
        least = np.nan_to_num(under.edges[:, 0] / bare.edges[order, 1], nan=0.0)
        most = np.nan_to_num(under.edges[:, 1] / bare.edges[order, 0], nan=inf, posinf=inf)
    tail = (1 - NOMINAL) / 2
    low = float(np.quantile(least, tail, method="lower"))
    high = float(np.quantile(most, 1 - tail, method="higher"))
    estimate: float | None = None
    if under.estimate and bare.estimate and under.bounded and bare.bounded:
        estimate = under.estimate / bare.estimate
        low, high = min(low, estimate), max(high, estimate)
    return estimate, low, None if high == inf else high


def _middle(low: float | None, high: float | None) -> float | None:
    if low is None:
        return None
    return low if high is None else sqrt(low * high)


def _draws(cells: int, random: np.random.Generator) -> NDArray[np.intp]:
    """Draw a step's cells anew, in circular blocks of a second: one row of cells a draw.

    One block fewer than there are: so few blocks would else look surer than they are (Rao and Wu,
    1988).
    """
    block = max(1, min(cells, BLOCK_NS // CELL_NS))
    blocks = max(1, -(-cells // block) - 1)
    starts = random.integers(0, cells, size=(DRAWS, blocks))
    return np.asarray((starts[:, :, None] + np.arange(block)) % cells).reshape(DRAWS, -1)


def _answers(step: Reading, drawn: NDArray[np.intp]) -> Floats:
    """Give how many calls were answered a second, for each row of cells drawn."""
    cells = step.cells
    drawn_s = drawn.shape[1] * cells.length_s / len(cells.due)
    return np.asarray(cells.answers[drawn].sum(axis=1) / max(drawn_s, 1e-9))


def _by_rate(values: Floats, place: NDArray[np.intp], count: int) -> Floats:
    """Take the mean over the steps of each rate."""
    columns = [values[:, place == each].mean(axis=1) for each in range(count)]
    return np.column_stack(columns)


def _cuts(
    kept: NDArray[np.bool_], place: NDArray[np.intp], count: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Give, for each row, the rates below the lowest and above the highest of the best cuts."""
    yes = np.column_stack([kept[:, place == each].sum(axis=1) for each in range(count)])
    no = np.column_stack([(~kept[:, place == each]).sum(axis=1) for each in range(count)])
    nothing = np.zeros((len(kept), 1), dtype=yes.dtype)
    below = np.concatenate((nothing, np.cumsum(no, axis=1)), axis=1)
    above = np.concatenate((np.cumsum(yes[:, ::-1], axis=1)[:, ::-1], nothing), axis=1)
    wrong = below + above
    best = wrong == wrong.min(axis=1, keepdims=True)
    low = np.argmax(best, axis=1) - 1
    high = count - np.argmax(best[:, ::-1], axis=1)
    return low, high
