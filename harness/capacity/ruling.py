"""What a climb adds up to: a knee for each curve, what faults leave of it, and an exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.capacity import knee as knees
from harness.capacity.course import BARE, Course, make_plan
from harness.capacity.knee import Knee
from harness.capacity.steps import Bars, Reading, readings
from harness.capacity.wording import Ended, headline, knee_line
from harness.checks.bite import bite
from harness.errors import Exit
from harness.evidence import phases
from harness.evidence.phases import Evidence
from harness.journal import Journal, NoteEntry, RunEntry, StepEntry
from harness.plan import PlannedWindow
from harness.scenario.conditions import limits
from harness.scenario.records import Scenario
from harness.verdict import Ruling

BROKEN_SHARE: Final = 0.5  # of a first step's calls: then it is no load that they fail by


@dataclass(frozen=True, kw_only=True, eq=False)
class Curve:
    """One climb: bare, or with one fault in force."""

    name: str  # "bare", or the window's id as in "1:tcp-latency"
    steps: tuple[Reading, ...]
    knee: Knee | None  # None when no step counts
    ended: Ended  # what kept the climb from going on, where the knee has no upper end
    exposure: str = ""  # what the fault hit, in words
    unsound: str = ""  # why the curve proves nothing, whatever its figures
    healed: bool = True
    of_bare: tuple[float | None, float, float | None] | None = None  # estimate, low, high


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The rate that the bare curve was to keep up with."""

    at_least_per_s: float
    ruling: Ruling


@dataclass(frozen=True, kw_only=True, eq=False)
class Capacity:
    """Everything concluded from a climb; `reports.capacity.document` writes it as a file."""

    scenario: str
    question: str
    seed: int
    era: str
    course: Course
    limits: dict[str, str]
    curves: tuple[Curve, ...]
    gate: Gate | None
    ruling: Ruling
    exit_code: int
    headline: str
    length_s: float
    notes: tuple[str, ...] = ()


def conclude(
    scenario: Scenario,
    course: Course,
    journal: Journal,
    *,
    name: str = "",
    open_: Sequence[str] = (),
) -> Capacity:
    """Conclude from a climb's journal alone; `scenario` is the prepared one.

    `open_` are the sentences of whatever could not be shown to be undone.
    """
    evidence = evidence_of(scenario, course, journal)
    bars = Bars.of(limits(scenario.limits))
    seen = readings(evidence)
    curves = [
        _curve(evidence, course, bars, number, [one for one in seen if one.curve == number])
        for number in range(len(course.curves))
    ]
    bare = curves[0]
    curves = [bare, *(_beside(curve, bare) for curve in curves[1:])]
    how, why = _ending(journal)
    gate = _gate(course, bare)
    code = _code(how, curves, gate, open_)
    ruling: Ruling = "pass" if code is Exit.PASS else "fail" if code is Exit.FAIL else "unknown"
    lines = tuple(
        knee_line(curve.name, curve.knee, curve.ended, curve.of_bare, curve.unsound)
        for curve in curves
        if curve.steps or curve.name == BARE
    )
    return Capacity(
        scenario=name,
        question=scenario.question,
        seed=scenario.seed,
        era=evidence.era,
        course=course,
        limits={key: one.text for key, one in limits(scenario.limits).items()},
        curves=tuple(curves),
        gate=gate,
        ruling=ruling,
        exit_code=int(code),
        headline=headline(
            code,
            lines,
            why=open_[0] if open_ else _doubt(curves, why),
            at_least_per_s=None if gate is None else gate.at_least_per_s,
        ),
        length_s=evidence.run_end_ns / 1e9,
        notes=(*(entry.text for entry in journal.of(NoteEntry)), *open_),
    )


def evidence_of(scenario: Scenario, course: Course, journal: Journal) -> Evidence:
    """Lay a climb's journal beside its plan; the steps say when each curve's fault was due."""
    plan = make_plan(scenario, course)
    entries = journal.of(StepEntry)
    last_ns = max((entry.end_ns for entry in entries), default=0)
    windows = tuple(
        PlannedWindow(
            window=number,
            start_ns=min((one.start_ns for one in entries if one.curve == number), default=last_ns),
            end_ns=max((one.end_ns for one in entries if one.curve == number), default=last_ns),
            recovery_end_ns=last_ns,
        )
        for number in range(1, len(course.curves))
    )
    bare_ns = [entry.end_ns for entry in entries if entry.curve == 0]
    plan = replace(plan, windows=windows, baseline_end_ns=max(bare_ns, default=0))
    return phases.evidence(scenario, plan, journal)


# --- curves ---------------------------------------------------------------------------------


def _curve(
    evidence: Evidence, course: Course, bars: Bars, number: int, steps: list[Reading]
) -> Curve:
    knee = knees.find(steps, bars, seed=evidence.plan.seed)
    ended = _ended(course, steps, knee)
    if number == 0:
        return Curve(
            name=BARE, steps=tuple(steps), knee=knee, ended=ended, unsound=_nothing(steps, knee)
        )
    window = evidence.window(number)
    hit = bite(evidence, window)
    unsound = ""
    if not window.healed:
        unsound = "the fault is not proven undone"
    elif not steps:
        unsound = window.error or "the run ended before it"
    elif hit.bit is not True:
        unsound = f"the fault did not bite: {hit.exposure}"
    return Curve(
        name=window.id,
        steps=tuple(steps),
        knee=knee,
        ended=ended,
        exposure=hit.exposure,
        unsound=unsound or _nothing(steps, knee, bare=False),
        healed=window.healed,
    )


def _nothing(steps: Sequence[Reading], knee: Knee | None, *, bare: bool = True) -> str:
    """Say why a curve shows no capacity at all; "" when it does."""
    if not steps:
        return "no step was begun"
    if knee is None:
        return f"no step counts: {steps[-1].why}"
    failed = [one for one in steps if one.counts and one.error_share > BROKEN_SHARE]
    if bare and knee.estimate is None and failed:
        share, rate = failed[-1].error_share, failed[-1].rate_per_s
        return f"{share:.0%} of the calls failed at {rate:g}/s already, so it is not the load"
    return ""


def _ended(course: Course, steps: Sequence[Reading], knee: Knee | None) -> Ended:
    if knee is None or knee.high is not None:
        return "found"
    if any(one.verdict == "limited" for one in steps):
        return "generator"
    top = max((one.rate_per_s for one in steps if one.kept), default=0.0)
    if course.last_per_s is not None and top >= course.last_per_s:
        return "ceiling"
    return "budget" if knees.bracket(steps)[1] is None else "unclear"


def _beside(curve: Curve, bare: Curve) -> Curve:
    if curve.knee is None or bare.knee is None or curve.unsound or bare.unsound:
        return curve
    return replace(curve, of_bare=knees.ratio(curve.knee, bare.knee))


# --- the whole ------------------------------------------------------------------------------


def _ending(journal: Journal) -> tuple[str, str]:
    ended = [entry for entry in journal.of(RunEntry) if entry.edge == "ended"]
    if not ended:
        return "failed", "the run did not end: its record breaks off"
    how, why = ended[-1].how, ended[-1].why
    return how, why if how != "failed" else f"the run could not go on: {why}"


def _gate(course: Course, bare: Curve) -> Gate | None:
    wanted = course.at_least_per_s
    if wanted is None:
        return None
    ruling: Ruling = "unknown"
    if bare.knee is not None and not bare.unsound:
        if bare.knee.low >= wanted:
            ruling = "pass"
        elif bare.knee.high is not None and bare.knee.high < wanted:
            ruling = "fail"
    return Gate(at_least_per_s=wanted, ruling=ruling)


def _code(how: str, curves: Sequence[Curve], gate: Gate | None, open_: Sequence[str]) -> Exit:  # noqa: PLR0911  a table of returns
    """Weigh it: what is left broken outranks how the run ended, and that what it found."""
    if open_ or any(not curve.healed for curve in curves):
        return Exit.NOT_HEALED
    if how == "interrupted":
        return Exit.INTERRUPTED
    if how == "aborted":
        return Exit.ABORTED
    if gate is not None and gate.ruling == "fail":
        return Exit.FAIL
    if how != "completed" or any(curve.unsound for curve in curves):
        return Exit.UNKNOWN
    if gate is not None and gate.ruling == "unknown":
        return Exit.UNKNOWN
    return Exit.PASS


def _doubt(curves: Sequence[Curve], why: str) -> str:
    doubts = [f"{curve.name}: {curve.unsound}" for curve in curves if curve.unsound]
    return why or (doubts[0] if doubts else "")
