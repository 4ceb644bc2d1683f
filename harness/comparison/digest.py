"""What a comparison needs of one run: counts by groups of sessions, and what was drawn of them.

Sessions are laid together at random, and always the same ones, so that a group of one run is the
same group of another: both had the same plan. Parts are sixteenths of a phase, for calls of one
moment share their luck as the calls of one session do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.comparison.identity import Identity, identify
from harness.comparison.tables import Fine, Table, Told, count, fine
from harness.evidence import recovery
from harness.evidence.latencies import ARMS, latency_ns, measured
from harness.evidence.machine import slowness
from harness.evidence.phases import BASELINE, Evidence, Span, WindowSpan
from harness.evidence.tallies import Arm, arm_of
from harness.outcome import Outcome
from harness.score import Scored, score, weights
from harness.verdict import Judgement, worst

GROUPS_MAX: Final = 128  # of an arm's sessions; a power of two, so that groups can be halved
PARTS: Final = 16  # of a phase
DRAWS: Final = 200
# What leaves these in doubt is told row by row, or stands beside the comparison.
_ASIDE: Final = frozenset(
    {"arms-agree", "baseline-steady", "samples", "fault-bit", "engines-agree"}
)
_ERRORS: Final = (Outcome.TOOL_ERROR, Outcome.PROTOCOL_ERROR, Outcome.HTTP_ERROR, Outcome.WRONG)
_LOSSES: Final = (Outcome.TRANSPORT_ERROR, Outcome.TIMEOUT, Outcome.HANG, Outcome.UNSENT)
_SCATTER: Final = 2_654_435_761  # odd, so that no two numbers meet (Knuth)
_SPACE: Final = 1 << 32

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, kw_only=True, eq=False)
class Lot:
    """The calls to one tool, in one arm and phase."""

    tool: str
    by_group: Table
    fine: Fine


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """One arm in one phase."""

    arm: str
    phase: str
    lots: tuple[Lot, ...]  # none is empty
    by_part: Table  # of all tools
    slowness: float | None  # how many times longer work took than on an idle machine


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """A figure, and what it is when sessions are drawn anew."""

    value: float
    draws: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class Mark:
    """One fault window: what is one figure of it."""

    id: str
    bit: bool
    score: Drawn | None
    recovery: Drawn | None  # seconds; -1 is never
    watched_s: float
    slice_s: float  # recovery is told in these


@dataclass(frozen=True, kw_only=True, eq=False)
class Digest:
    """One run, as a comparison sees it."""

    run: str  # its id
    squall: str
    started_at: str
    target: str
    revision: str  # of the working folder's git; "" outside
    ruling: str
    headline: str
    doubts: tuple[str, ...]  # why its figures may not be used; none when they may
    late_p50_ms: float  # how late squall itself was
    late_p99_ms: float
    stretches: tuple[Stretch, ...]
    windows: tuple[Mark, ...]
    score: Drawn | None

    @property
    def origin(self) -> dict[str, str]:
        """Which run it was: how every document about it names it."""
        return {
            "run": self.run,
            "squall": self.squall,
            "started_at": self.started_at,
            "target": self.target,
            "revision": self.revision,
            "ruling": self.ruling,
        }

    @property
    def slowness(self) -> float | None:
        """How many times longer work took at worst; None where the system does not say."""
        return max((one.slowness for one in self.stretches if one.slowness), default=None)


def digest(
    evidence: Evidence, judgement: Judgement, facts: Mapping[str, Any]
) -> tuple[Identity, Digest]:
    """Make a run's digest, and say what the run was of."""
    scored = _scored(evidence, judgement)
    generator = judgement.generator
    git = facts.get("git") or {}
    made = Digest(
        run=str(facts.get("run_id", "")),
        squall=str(facts.get("squall", "")),
        started_at=str(facts.get("started_at", "")),
        target=str(facts.get("target", "")),
        revision=str(git.get("revision", "")) + ("" if git.get("clean", True) else " and changes"),
        ruling=judgement.ruling,
        headline=judgement.headline,
        doubts=tuple(
            f"{one.name}: {one.why}"
            for one in judgement.soundness
            if one.ruling != "pass" and one.name not in _ASIDE
        ),
        late_p50_ms=0.0 if generator is None else generator.sent_late_p50_ms,
        late_p99_ms=0.0 if generator is None else generator.sent_late_p99_ms,
        stretches=tuple(_stretches(evidence)),
        windows=tuple(
            _mark(evidence, window, judgement, scored) for window in evidence.phases.windows
        ),
        score=_drawn_score(scored, 0),
    )
    return identify(evidence.scenario, facts, era=evidence.era), made


# --- counts ---------------------------------------------------------------------------------


def groups(numbers: Rows) -> Rows:
    """Give each of an arm's sessions its group: scattered, and the same in every run."""
    order = np.argsort(numbers.astype(np.int64) * _SCATTER % _SPACE, kind="stable")
    place = np.empty(len(numbers), dtype=np.intp)
    place[order] = np.arange(len(numbers))
    return place % GROUPS_MAX


def _stretches(evidence: Evidence) -> Iterator[Stretch]:
    told = Told(
        failed=np.isin(evidence.settled["outcome"], _ERRORS),
        lost=np.isin(evidence.settled["outcome"], _LOSSES),
        timed=measured(evidence, "due"),
        took_ns=latency_ns(evidence, "due"),
    )
    for name in ARMS:
        arm = arm_of(evidence, treated=name == "treated")
        if not len(arm.numbers):
            continue
        for code in evidence.codes:
            made = _stretch(evidence, arm, name, code, told)
            if made is not None:
                yield made


def _stretch(evidence: Evidence, arm: Arm, name: str, code: int, told: Told) -> Stretch | None:
    which = np.flatnonzero((evidence.phase == code) & evidence.counted & arm.mine)
    if not len(which):
        return None
    span = _span(evidence, code)
    group = groups(arm.numbers)
    row = group[np.searchsorted(arm.numbers, evidence.settled["session"][which])]
    length_ns = max(1, span.end_ns - span.start_ns)
    part = (evidence.settled["due_ns"][which] - span.start_ns) * PARTS // length_ns
    call = evidence.settled["call"][which]
    names = evidence.plan.calls
    lots = []
    for number in np.unique(call).tolist():
        mine = np.flatnonzero(call == number)
        its = told.of(which[mine])
        table = count(its, row[mine], int(group.max()) + 1)
        lots.append(Lot(tool=names[number], by_group=table, fine=fine(its)))
    return Stretch(
        arm=name,
        phase=evidence.phase_name(code),
        lots=tuple(lots),
        # A call that was in flight when the fault came counts with the fault's first ones.
        by_part=count(told.of(which), np.clip(part, 0, PARTS - 1).astype(np.intp), PARTS),
        slowness=slowness(evidence, span),
    )


def _span(evidence: Evidence, code: int) -> Span:
    if code == BASELINE:
        return evidence.phases.baseline
    window = evidence.window((code + 1) // 2)
    if code % 2:
        return Span(start_ns=window.start_ns, end_ns=window.healed_ns)
    return Span(start_ns=window.healed_ns, end_ns=window.recovery_end_ns)


# --- what is one figure ---------------------------------------------------------------------


def _scored(evidence: Evidence, judgement: Judgement) -> Scored:
    """Score the run once more, as it was judged, for what its sessions make of it when drawn."""
    numbers = {window.id: window.window for window in evidence.phases.windows}
    hard = [
        (numbers.get(found.fault, 0), found.verdict)
        for found in judgement.findings
        if found.hard and found.ruling == "fail"
    ]
    sound = worst(one.ruling for one in judgement.soundness)
    return score(evidence, soundness=sound if judgement.score else "unknown", hard=hard)


def _drawn_score(scored: Scored, window: int) -> Drawn | None:
    points = scored.drawn.get(window)
    if points is None:
        return None
    return Drawn(value=round(float(points[0]), 2), draws=np.round(points[1 : DRAWS + 1], 2))


def _mark(evidence: Evidence, window: WindowSpan, judgement: Judgement, scored: Scored) -> Mark:
    told = next(fault for fault in judgement.faults if fault.id == window.id)
    sliced = recovery.slices(evidence, window) if window.injected else None
    back = None
    if sliced is not None:
        arm = arm_of(evidence, treated=True).numbers
        random = np.random.default_rng([evidence.scenario.seed, window.window])
        drawn = weights(random, len(arm), DRAWS, plain=False)
        totals = [
            np.concatenate((part.sum(axis=0, keepdims=True), drawn @ part[arm]))
            for part in (
                counts.astype(np.float64) for counts in (sliced.calls, sliced.answered, sliced.slow)
            )
        ]
        took_s = np.round(recovery.time_to_recover(sliced, totals[0], totals[1], totals[2]), 3)
        back = Drawn(value=float(took_s[0]), draws=took_s[1:])
    return Mark(
        id=window.id,
        bit=told.bit,
        score=_drawn_score(scored, window.window),
        recovery=back,
        watched_s=0.0 if sliced is None else round(sliced.watched_s, 3),
        slice_s=0.0 if sliced is None else round(sliced.length_s, 3),
    )
