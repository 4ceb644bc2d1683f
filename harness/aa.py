"""A/A: both arms are bare, so whatever lies between them is noise, and no smaller effect is one.

The smallest effect that may be claimed is as far as the 95 % interval of (treated - control)
reaches from zero in any stretch as long as the scenario's shortest fault: half its width, and what
the arms differed by. Sessions are drawn anew, never calls. Where no call failed the interval is
empty and says nothing: then it is what so few calls could have missed, three in their number.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from harness.evidence.draws import Bins, Ratio
from harness.evidence.latencies import COARSE_BITS, SAMPLES_MIN, latency_ns, measured
from harness.evidence.phases import BASELINE, Evidence, Mask
from harness.evidence.tallies import Arm, arm_of
from harness.score import RESAMPLES, weights
from harness.verdict import Apart, BareArms

PERCENTILES: Final = {"p50": 50.0, "p95": 95.0, "p99": 99.0}
UNSEEN: Final = 3.0  # none in n calls: with 95 % confidence at most 3 / n
_BUCKET: Final = 2.0 ** (1 - COARSE_BITS)  # how wide a latency's bucket is, of its value
_CHUNK: Final = 250
_INTERVAL: Final = (2.5, 97.5)

Floats = NDArray[np.float64]


def measure(evidence: Evidence, *, stretch_s: float, run: str) -> BareArms | None:
    """Compare the arms of a run without faults; None when one of them made no call."""
    arms = (arm_of(evidence, treated=True), arm_of(evidence, treated=False))
    baseline = evidence.phases.baseline
    calm = (evidence.phase == BASELINE) & evidence.counted
    whole = _apart(evidence, arms, calm)
    if not whole:
        return None
    count = max(1, int(baseline.length_s / stretch_s + 1e-6))
    place = (evidence.settled["due_ns"] - baseline.start_ns) // round(stretch_s * 1e9)
    parts = [_apart(evidence, arms, calm & (place == number)) for number in range(count)]
    return BareArms(
        run=run,
        own=True,
        stretch_s=stretch_s,
        stretches=count,
        measures=tuple(
            _told(name, difference, [part[name].reach for part in parts])
            for name, difference in whole.items()
            # A measure that some stretch had too few calls for is not told for any.
            if all(name in part for part in parts)
        ),
    )


def sentence(bare: BareArms) -> str:
    """Say the smallest effects in one clause: `1.3 ms at p50, 0.5 points of answered calls`."""
    return ", ".join(
        f"{one.smallest:.3g} ms at {one.measure}"
        if one.unit == "ms"
        else f"{one.smallest * 100:.2g} points of {one.measure} calls"
        for one in bare.measures
    )


@dataclass(frozen=True, kw_only=True)
class _Difference:
    """One measure of both arms, and the interval of what lies between them."""

    unit: Literal["share", "ms"]
    treated: float
    control: float
    low: float
    high: float
    least: float  # what can be told apart at all

    @property
    def reach(self) -> float:
        """How far from zero the interval goes."""
        return max(abs(self.low), abs(self.high), self.least)


def _told(name: str, seen: _Difference, reaches: list[float]) -> Apart:
    return Apart(
        measure=name,
        unit=seen.unit,
        control=round(seen.control, 6),
        treated=round(seen.treated, 6),
        difference=round(seen.treated - seen.control, 6),
        low=round(seen.low, 6),
        high=round(seen.high, 6),
        smallest=round(max(reaches), 6),
    )


def _apart(evidence: Evidence, arms: tuple[Arm, Arm], calm: Mask) -> dict[str, _Difference]:
    """Compare the arms over some calls, in every measure that both have the samples for."""
    took_ns, told = latency_ns(evidence, "due"), measured(evidence, "due") & calm
    sides = [
        _Side(sessions=len(arm.numbers), latency=latency, answered=arm.ratio(evidence.ok, calm))
        for arm in arms
        if (latency := arm.bins(told, took_ns)) is not None
    ]
    if len(sides) < len(arms):
        return {}
    fewest = min(side.latency.total for side in sides)
    names = [name for name, percentile in PERCENTILES.items() if fewest >= SAMPLES_MIN[percentile]]
    drawn = [np.concatenate(parts) for parts in zip(*_draw(evidence, sides, names), strict=True)]
    calls = min(float(side.answered.whole.sum()) for side in sides)
    found: dict[str, _Difference] = {}
    for place, name in enumerate((*names, "answered")):
        treated, control = drawn[2 * place], drawn[2 * place + 1]
        between = (treated - control)[1:]
        low, high = np.percentile(between[np.isfinite(between)], _INTERVAL)
        found[name] = _Difference(
            unit="share" if name == "answered" else "ms",
            treated=float(treated[0]),
            control=float(control[0]),
            low=float(low),
            high=float(high),
            least=UNSEEN / calls if name == "answered" else _BUCKET * float(control[0]),
        )
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """One arm."""

    sessions: int
    latency: Bins
    answered: Ratio

    def values(self, drawn: Floats, names: list[str]) -> list[Floats]:
        """Give each percentile in milliseconds and the answered share, a value a row."""
        wanted = tuple(PERCENTILES[name] for name in names)
        told = self.latency.quantiles_us(drawn, wanted)
        return [*(value / 1000 for value in told), self.answered.share(drawn)]


def _draw(evidence: Evidence, sides: list[_Side], names: list[str]) -> Iterator[list[Floats]]:
    """Give every measure of both sides, as they are (first) and with sessions drawn anew."""
    random = np.random.default_rng(evidence.scenario.seed)
    for start in (-1, *range(0, RESAMPLES, _CHUNK)):
        count = 1 if start < 0 else _CHUNK
        values = [
            side.values(weights(random, side.sessions, count, plain=start < 0), names)
            for side in sides
        ]
        yield [one for pair in zip(*values, strict=True) for one in pair]
