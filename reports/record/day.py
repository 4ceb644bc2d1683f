"""Everything that the record of a game day shows, computed once from journal and verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.evidence.phases import BASELINE, Evidence, fault_code, recovery_code
from harness.journal import DeedEntry, OrderEntry, RemarkEntry
from harness.played import Happening, happenings, orders_of
from harness.scenario.audits import SOURCE
from harness.scenario.conditions import Condition, limits
from harness.verdict import FaultVerdict, Judgement, LatencyRow
from reports.meanings import meaning
from reports.words import measured

NS: Final = 1e9
QUANTILES: Final = {"latency_p50": "p50_ms", "latency_p95": "p95_ms", "latency_p99": "p99_ms"}
_HAPPENINGS_MAX: Final = 2000


@dataclass(frozen=True, kw_only=True)
class Side:
    """What one arm went through in one phase; None where that cannot be told."""

    arm: str
    phase: str  # baseline | fault | recovery
    calls: int
    answered: float | None
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One of the scenario's limits, held against this fault alone."""

    name: str
    wanted: str
    observed: str
    missed: bool | None  # None: it was not measured


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One fault of the day: what was expected of it beside what was seen."""

    order: OrderEntry
    verdict: FaultVerdict
    parameters: str
    sides: tuple[Side, ...]
    gates: tuple[Gate, ...]
    observations: tuple[RemarkEntry, ...]
    outcome: str  # of the hypothesis, in words
    held: bool | None  # whether it did; None: that was not measured
    findings: tuple[str, ...]  # what was found under it, in sentences


@dataclass(frozen=True, kw_only=True)
class Action:
    """Something to be done after the day."""

    text: str
    who: str  # who wrote it down; "" where it follows from a finding
    about: str  # a fault's id; "" for the day


@dataclass(frozen=True, kw_only=True)
class Day:
    """One game day, ready to be shown."""

    people: tuple[str, ...]
    happenings: tuple[Happening, ...]
    left_out: int  # of them, in the middle
    trials: tuple[Trial, ...]
    actions: tuple[Action, ...]
    audit: tuple[str, ...]  # what came of asking the target how many effects it counts

    @property
    def surprises(self) -> int:
        """How many hypotheses did not hold."""
        return sum(trial.held is False for trial in self.trials)


def make(evidence: Evidence, judgement: Judgement) -> Day:
    """Compute what the record of a day shows."""
    journal = evidence.journal
    verdicts = {verdict.id: verdict for verdict in judgement.faults}
    trials = tuple(
        _trial(evidence, judgement, order, verdicts[f"{order.window}:{order.kind}"])
        for order in orders_of(journal)
    )
    told = happenings(journal)
    half = _HAPPENINGS_MAX // 2
    shown = told if len(told) <= _HAPPENINGS_MAX else (*told[:half], *told[-half:])
    people = [e.who for e in journal.entries if isinstance(e, DeedEntry | OrderEntry | RemarkEntry)]
    return Day(
        people=tuple(dict.fromkeys(people)),
        happenings=shown,
        left_out=len(told) - len(shown),
        trials=trials,
        actions=tuple(_actions(evidence, judgement)),
        audit=tuple(dict.fromkeys(one.why for one in judgement.findings if one.source == SOURCE)),
    )


def _trial(
    evidence: Evidence, judgement: Judgement, order: OrderEntry, verdict: FaultVerdict
) -> Trial:
    gates = tuple(_gates(evidence, judgement, verdict, order.window))
    held, outcome = _outcome(order, verdict, gates)
    remarks = [one for one in evidence.journal.of(RemarkEntry) if one.window == order.window]
    return Trial(
        order=order,
        verdict=verdict,
        parameters=", ".join(f"{name} {value}" for name, value in order.parameters.items())
        or "defaults",
        sides=tuple(_sides(evidence, judgement, order.window, verdict.id)),
        gates=gates,
        observations=tuple(one for one in remarks if one.kind != "action"),
        outcome=outcome,
        held=held,
        findings=tuple(
            f"{found.verdict}: {found.why}"
            for found in judgement.findings
            if found.fault == verdict.id and found.ruling == "fail"
        ),
    )


def _outcome(
    order: OrderEntry, verdict: FaultVerdict, gates: tuple[Gate, ...]
) -> tuple[bool | None, str]:
    """Hold the part of a hypothesis that can be measured against what was."""
    if not verdict.bit:
        return None, "the fault hit nothing, so nothing was tried"
    missed = [gate.name for gate in gates if gate.missed]
    unknown = [gate.name for gate in gates if gate.missed is None]
    others = [name for name in missed if name != order.breaks]
    also = f"; {_listed(others)} missed as well" if others else ""
    if order.breaks:
        told = f"{order.breaks} was expected to be missed, and "
        if order.breaks in missed:
            return not others, f"{told}it was{also}"
        known = order.breaks not in unknown
        return (False if known else None), told + (
            "it held" if known else "was not measured"
        ) + also
    if missed:
        return False, f"no limit was expected to be missed, and {_listed(missed)} {_were(missed)}"
    if unknown:
        return None, f"no limit was seen to be missed; not measured: {_listed(unknown)}"
    return True, "no limit was expected to be missed, and none was"


def _gates(
    evidence: Evidence, judgement: Judgement, verdict: FaultVerdict, window: int
) -> Iterator[Gate]:
    """Hold the scenario's limits against what happened to the treated arm under one fault."""
    for name, condition in limits(evidence.scenario.limits).items():
        value = _observed(name, evidence, judgement, verdict, window)
        unit = {"share": "share", "s": "s", "points": ""}[condition.unit]
        never = name == "recovery" and value is not None and value < 0
        yield Gate(
            name=name,
            wanted=condition.text,
            observed="never" if never else measured(value, unit),
            missed=True if never else _missed(condition, value),
        )


def _missed(condition: Condition, value: float | None) -> bool | None:
    return None if value is None else not condition.holds(value)


def _observed(
    name: str, evidence: Evidence, judgement: Judgement, verdict: FaultVerdict, window: int
) -> float | None:
    if name in QUANTILES:
        row = _latency(judgement, "treated", verdict.id)
        value = None if row is None else getattr(row, QUANTILES[name])
        return None if value is None else float(value) / 1000
    if name == "answered":
        return _answered(evidence, "treated", fault_code(window))[1]
    if name == "recovery":
        return verdict.recovery_s
    if name == "score":
        return verdict.score
    # Whether a session survived is known of the whole day alone.
    return next((one.observed for one in judgement.limits if one.name == name), None)


def _sides(evidence: Evidence, judgement: Judgement, window: int, id_: str) -> Iterator[Side]:
    phases = (
        ("baseline", BASELINE, "baseline"),
        ("fault", fault_code(window), id_),
        ("recovery", recovery_code(window), f"{window}:recovery"),
    )
    for phase, code, named in phases:
        for arm in ("control", "treated"):
            calls, answered = _answered(evidence, arm, code)
            row = _latency(judgement, arm, named)
            yield Side(
                arm=arm,
                phase=phase,
                calls=calls,
                answered=answered,
                p50_ms=None if row is None else row.p50_ms,
                p99_ms=None if row is None else row.p99_ms,
            )


def _answered(evidence: Evidence, arm: str, code: int) -> tuple[int, float | None]:
    mine = evidence.counted & (evidence.phase == code)
    mine &= evidence.treated if arm == "treated" else evidence.control
    calls = int(np.count_nonzero(mine))
    return calls, (int(np.count_nonzero(mine & evidence.ok)) / calls if calls else None)


def _latency(judgement: Judgement, arm: str, phase: str) -> LatencyRow | None:
    return next(
        (
            row
            for row in judgement.latency
            if (row.arm, row.phase, row.tool, row.origin) == (arm, phase, "", "due")
        ),
        None,
    )


def _actions(evidence: Evidence, judgement: Judgement) -> Iterator[Action]:
    """Give what people wrote down to do, and a first question for each kind of failure found."""
    ids = {window.window: window.id for window in evidence.phases.windows}
    for remark in evidence.journal.of(RemarkEntry):
        if remark.kind == "action":
            yield Action(text=remark.text, who=remark.who, about=ids.get(remark.window, ""))
    seen: set[str] = set()
    for found in judgement.findings:
        if found.ruling != "fail" or found.cause or found.verdict in seen:
            continue
        seen.add(found.verdict)
        why = meaning(found.verdict) or found.why
        yield Action(text=f"look into {found.verdict}: {why}", who="", about=found.fault)


def _listed(names: list[str]) -> str:
    return " and ".join(names)


def _were(names: list[str]) -> str:
    return "was" if len(names) == 1 else "were"
