"""One number from 0 to 100 with its interval: what the target's users kept under the faults.

Six components in [0, 1], each against the run's own baseline and control arm:

- availability: answered calls in the window beside the baseline's;
- latency: p50, p95, p99 from due beside the baseline's and the control arm's at the same time,
  less the delay that was injected;
- correctness: false answers, of which 1 % is nothing left; another call's data is nothing at once;
- survival: sessions kept (1), initialised anew (half) or lost, beside the baseline's;
- recovery: the time to normal, beside the recovery limit or else the time watched; left out where
  it is in doubt;
- blast: the control arm's answers and p95 beside its own baseline, less what the machine itself
  was slower by.

A window scores 100 x the weighted geometric mean, so nothing is bought back; a run the geometric
mean of its windows. While a fault stops all service no server can answer, so availability and
latency are then those of the recovery, once each session's caught calls are over. Latency is not
measured where nobody knows what the fault alone adds. Without faults, availability, correctness
and survival are scored over the baseline and both arms. The interval comes from drawing sessions,
never calls, anew. The same journal gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence import tallies
from harness.evidence.phases import Evidence
from harness.evidence.tallies import COMPONENTS, Tally
from harness.verdict import Ruling, Score

WEIGHTS: Final[Mapping[str, float]] = {
    "availability": 0.25,
    "latency": 0.15,
    "correctness": 0.20,
    "survival": 0.15,
    "recovery": 0.15,
    "blast": 0.10,
}
# Below its own floor a component caps the score, however good the others are.
FLOORS: Final[Mapping[str, float]] = {
    "availability": 0.9,
    "latency": 0.5,
    "correctness": 0.99,
    "survival": 0.9,
    "recovery": 0.2,
    "blast": 0.5,
}
NEEDED: Final = ("availability", "correctness", "survival")
FLOOR: Final = 0.01
HARD_CAP: Final = 49.0
FLOOR_CAP: Final = 89.0
RESAMPLES: Final = 2000
_CHUNK: Final = 250
_INTERVAL: Final = (2.5, 97.5)

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The run's score and each window's, by window number; None where one is not supported."""

    overall: Score | None
    windows: Mapping[int, Score | None]
    # Points by window (0 is the run): as they are, and as they are when sessions are drawn anew.
    drawn: Mapping[int, Floats] = field(default_factory=dict)


def score(
    evidence: Evidence,
    *,
    soundness: Ruling = "pass",
    hard: Sequence[tuple[int, str]] = (),
) -> Scored:
    """Score a run whose evidence is sound; `hard` are broken hard rules as (window, verdict).

    A rule broken under no window in particular counts against the run alone.
    """
    windows = [window for window in evidence.phases.windows if window.injected]
    before = tallies.of_baseline(evidence)
    by_window = {window.window: tallies.of_window(evidence, window, before) for window in windows}
    everything = by_window or {0: tallies.of_steady(evidence)}
    unscored: dict[int, Score | None] = {window.window: None for window in evidence.phases.windows}
    if soundness != "pass":
        return Scored(overall=None, windows=unscored)
    drawn = _draw(evidence, everything)
    measured: dict[int, tuple[dict[str, Floats], Floats]] = {}
    for number, values in drawn.items():
        if all(np.isfinite(values[name][0]) for name in NEEDED):
            measured[number] = (values, _points(values))
    if not measured:
        return Scored(overall=None, windows=unscored)
    capped: dict[int, Floats] = {}
    scores = dict(unscored)
    for number, (values, points) in measured.items():
        broken = [verdict for window, verdict in hard if window == number and number]
        one = _score({name: _first(values[name]) for name in COMPONENTS}, points, broken)
        if number:
            scores[number] = one
        capped[number] = np.minimum(points, _cap(one.caps))
    together = np.exp(np.mean(np.log(np.maximum(list(capped.values()), FLOOR)), axis=0))
    components = _together([values for values, _ in measured.values()])
    worst = [verdict for _, verdict in hard]
    overall = _score(components, together, worst)
    capped[0] = np.minimum(together, _cap(overall.caps))
    return Scored(overall=overall, windows=scores, drawn=capped)


def _draw(evidence: Evidence, by_window: Mapping[int, Tally]) -> dict[int, dict[str, Floats]]:
    """Measure every tally as it is (first row) and under resampled sessions (the rest)."""
    random = np.random.default_rng(evidence.scenario.seed)
    first = next(iter(by_window.values()))
    parts: dict[int, dict[str, list[Floats]]] = {
        number: {name: [] for name in COMPONENTS} for number in by_window
    }
    for start in (-1, *range(0, RESAMPLES, _CHUNK)):
        count = 1 if start < 0 else min(_CHUNK, RESAMPLES - start)
        treated = weights(random, first.treated_sessions, count, plain=start < 0)
        control = weights(random, first.control_sessions, count, plain=start < 0)
        for number, tally in by_window.items():
            for name, values in tallies.components(tally, treated, control).items():
                parts[number][name].append(values)
    return {
        number: {name: _filled(np.concatenate(pieces)) for name, pieces in named.items()}
        for number, named in parts.items()
    }


def weights(random: np.random.Generator, sessions: int, count: int, *, plain: bool) -> Floats:
    """Give (count, sessions) weights: how often each session was drawn; once each if `plain`."""
    if plain or sessions == 0:
        return np.ones((count, sessions))
    drawn = random.integers(0, sessions, size=(count, sessions))
    drawn += np.arange(count)[:, None] * sessions
    flat = np.bincount(drawn.ravel(), minlength=count * sessions)
    return flat.reshape(count, sessions).astype(np.float64)


def _filled(values: Floats) -> Floats:
    """Let a draw that could not measure a component stand where the run itself stands."""
    return np.where(np.isnan(values), values[0], values)


def _points(values: Mapping[str, Floats]) -> Floats:
    """Take the weighted geometric mean of the components that were measured, times 100."""
    total = np.zeros(len(values["availability"]))
    weight = 0.0
    for name in COMPONENTS:
        if np.isfinite(values[name][0]):
            total += WEIGHTS[name] * np.log(np.maximum(values[name], FLOOR))
            weight += WEIGHTS[name]
    return np.asarray(100.0 * np.exp(total / weight), dtype=np.float64)


def _together(windows: Sequence[Mapping[str, Floats]]) -> dict[str, float | None]:
    """Take each component's geometric mean over the windows that measured it."""
    together: dict[str, float | None] = {}
    for name in COMPONENTS:
        known = [value for window in windows if (value := _first(window[name])) is not None]
        logs = [np.log(max(value, FLOOR)) for value in known]
        # The floor keeps one nothing from hiding the other windows.
        if len(known) == 1 or not any(known):
            together[name] = known[0] if known else None
        else:
            together[name] = round(float(np.exp(np.mean(logs))), 4)
    return together


def _first(values: Floats) -> float | None:
    return round(float(values[0]), 4) if np.isfinite(values[0]) else None


def _score(components: Mapping[str, float | None], points: Floats, hard: Sequence[str]) -> Score:
    """Cap the points and put the interval around them."""
    caps = [f"{verdict}: a hard rule is broken (at most 49)" for verdict in sorted(set(hard))]
    if components["correctness"] == 0.0:
        caps.append("correctness 0: false answers beyond the tolerance (at most 49)")
    if components["recovery"] == 0.0:
        caps.append("recovery 0: not back to normal within the time allowed (at most 49)")
    for name in COMPONENTS:
        value = components[name]
        if value is not None and value < FLOORS[name]:
            caps.append(f"{name} {value:.2f} is below its floor {FLOORS[name]:.2f} (at most 89)")
    held = np.minimum(points, _cap(caps))
    low, high = np.percentile(held[1:], _INTERVAL)
    middle = float(held[0])
    return Score(
        points=round(middle, 2),
        low=round(min(middle, float(low)), 2),
        high=round(max(middle, float(high)), 2),
        components=dict(components),
        caps=tuple(caps),
    )


def _cap(caps: Sequence[str]) -> float:
    if not caps:
        return 100.0
    return HARD_CAP if any("at most 49" in cap for cap in caps) else FLOOR_CAP
