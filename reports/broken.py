"""What broke, when, and for whom, at a glance: the failures that follow from no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from harness.scenario.units import counted
from harness.verdict import FaultVerdict, Finding, Judgement, Misled
from reports.evidence import ReportedFinding
from reports.meanings import meaning

SHOWN_MAX: Final = 6
_MARKS_MAX: Final = 60


@dataclass(frozen=True, kw_only=True)
class Broken:
    """One thing that broke; times are seconds since the run began."""

    found: ReportedFinding
    meaning: str
    fault: FaultVerdict | None  # None: no fault is to blame
    meanwhile: tuple[str, ...]  # the faults that were in force then, where none is to blame
    parameters: str  # of the fault
    first_s: float | None
    last_s: float | None
    at_least: bool  # first, last and sessions are of the calls in evidence, not of all
    treated: int | None  # sessions of that arm; None: not told
    control: int | None
    marks_s: tuple[float, ...]  # when the calls in evidence were due
    misled: Misled | None  # the agents that worked on from it
    follows: tuple[str, ...]  # verdicts that only follow from it
    sessions: Mapping[str, int]  # planned, by arm, those that a fault brings included

    @property
    def when(self) -> str:
        """Say when it happened, and what was in force."""
        if self.fault is None:
            under = _meanwhile(self.meanwhile)
        else:
            of = f" ({self.parameters})" if self.parameters else ""
            span = f"from {self.fault.start_s:.1f} to {self.fault.end_s:.1f} s"
            under = f"{self.fault.kind}{of} was in force {span}"
        if self.first_s is None or self.last_s is None:
            return under
        seen = "the calls shown are of " if self.at_least else ""
        return f"{seen}{self.first_s:.1f} to {self.last_s:.1f} s; {under}"

    @property
    def who(self) -> str:
        """Say whom it happened to, arm by arm; "" where nobody can."""
        if self.treated is None or self.control is None:
            return ""
        few = "at least " if self.at_least else ""
        told = [
            f"{count or 'none'} of the {self.sessions.get(arm, 0)} {words} agents"
            for arm, words, count in (
                ("treated", "treated", self.treated),
                ("control", "untouched", self.control),
            )
            if self.sessions.get(arm) and (count or not self.at_least)
        ]
        return few + ", ".join(told) if told else ""

    @property
    def sequel(self) -> str:
        """Say who took it for the truth; "" when nobody did."""
        if self.misled is None:
            return ""
        count = max(self.misled.empty, self.misled.masked, self.misled.untrue)
        since = "after the fault began" if self.misled.fault else "into the run"
        first = self.misled.first_s
        soon = "" if first is None else f", the first {first:.1f} s {since}"
        return f"{counted(count, 'agents')} worked on as if the answer were true{soon}"


def broken(
    judgement: Judgement,
    findings: Sequence[ReportedFinding],
    parameters: Mapping[str, str],
    sessions: Mapping[str, int],
) -> tuple[Broken, ...]:
    """Give what failed and follows from nothing else, hard rules first.

    `parameters` are the faults' in words, by window id; `sessions` are planned, by arm, those that
    a fault brings included.
    """
    faults = {fault.id: fault for fault in judgement.faults}
    # As the headline has it: what a fault has shown comes before what was seen beside it.
    ranked = sorted(findings, key=lambda one: (not one.finding.hard, not one.finding.fault))
    return tuple(
        _broken(
            found,
            judgement,
            faults.get(found.finding.fault),
            parameters.get(found.finding.fault, ""),
            sessions,
        )
        for found in ranked
        if found.finding.ruling == "fail" and not found.finding.cause
    )


def _broken(
    found: ReportedFinding,
    judgement: Judgement,
    fault: FaultVerdict | None,
    parameters: str,
    sessions: Mapping[str, int],
) -> Broken:
    finding, calls = found.finding, found.calls
    told = finding.first_s is not None
    due = sorted(call.due_s for call in calls)
    ends = sorted(call.due_s + max(call.done_ms or 0.0, 0.0) / 1000 for call in calls)
    struck = {arm: {call.session for call in calls if call.arm == arm} for arm in _ARMS}
    first_s = finding.first_s if told else (due[0] if due else None)
    last_s = finding.last_s if told else (ends[-1] if ends else None)
    return Broken(
        found=found,
        meaning=meaning(finding.verdict),
        fault=fault,
        parameters=parameters,
        meanwhile=tuple(_in_force(judgement, first_s, last_s)),
        first_s=first_s,
        last_s=last_s,
        at_least=not told and bool(calls),
        treated=finding.treated if told else (len(struck["treated"]) if calls else None),
        control=finding.control if told else (len(struck["control"]) if calls else None),
        marks_s=tuple(due[:_MARKS_MAX]),
        misled=_misled(judgement, finding),
        follows=tuple(_follows(judgement.findings, finding)),
        sessions=sessions,
    )


def _in_force(judgement: Judgement, first_s: float | None, last_s: float | None) -> Iterator[str]:
    """Name the faults that were in force at some time between the two."""
    if first_s is None or last_s is None:
        return
    for fault in judgement.faults:
        if fault.start_s <= last_s and fault.end_s >= first_s:
            yield fault.id


def _meanwhile(faults: Sequence[str]) -> str:
    if not faults:
        return "no fault was in force"
    were = "was" if len(faults) == 1 else "were"
    *others, last = faults
    named = f"{', '.join(others)} and {last}" if others else last
    return f"{named} {were} in force for some of it, and no one fault is to blame"


_ARMS: Final = ("treated", "control")
_BELIEVED: Final = {
    "silent-empty": "empty",
    "auth-masked": "masked",
    "crosstalk": "untrue",
    "wrong-answer": "untrue",
    "truncated": "untrue",
}


def _misled(judgement: Judgement, finding: Finding) -> Misled | None:
    kind = _BELIEVED.get(finding.verdict)
    if kind is None:
        return None
    rows = (row for row in judgement.misled if row.fault == finding.fault)
    return next((row for row in rows if getattr(row, kind)), None)


def _follows(findings: Sequence[Finding], cause: Finding) -> Iterator[str]:
    """Name what follows from a finding: under its fault, or, if it has none, under any."""
    seen = set()
    for finding in findings:
        mine = finding.ruling == "fail" and finding.cause == cause.verdict
        if mine and cause.fault in ("", finding.fault) and finding.verdict not in seen:
            seen.add(finding.verdict)
            yield finding.verdict
