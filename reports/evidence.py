"""The calls that prove a finding, in words: who asked for what, when, and what became of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from harness.evidence.phases import Evidence
from harness.journal import BEHAVIOURS, SampleEntry, call_id
from harness.outcome import Auth, Effect, EndedBy, Outcome, Reason
from harness.scenario.units import counted
from harness.verdict import Finding
from reports.behind import behind
from reports.series import NS
from reports.words import cut, milliseconds

SAMPLE_CHARS_MAX: Final = 400
NAME_CHARS_MAX: Final = 80
_FINDINGS_MAX: Final = 120
_EVIDENCE_MAX: Final = 10  # calls a finding
_CALLS_MAX: Final = 300  # in a whole report; past it each finding keeps its worst call
_SAMPLES_MAX: Final = 3  # a finding
_ANCHOR_CHARS_MAX: Final = 80
_CALL: Final = re.compile(r"s\d+\.\d+\.\d+")  # as `journal.call_id` names one
_UNFIT: Final = re.compile(r"[^A-Za-z0-9._-]+")  # in an anchor, which is typed and shared


@dataclass(frozen=True, kw_only=True)
class CallFacts:
    """One attempt at a call, as the journal has it."""

    id: str  # "s12.34.1"
    session: int
    step: int
    attempt: int
    arm: str
    tool: str
    due_s: float
    sent_ms: float | None  # after due
    done_ms: float | None  # after due
    status: int
    outcome: str
    reason: str
    remarks: tuple[str, ...]  # what else is worth saying
    sample: str = ""
    behind: tuple[str, ...] = ()  # what the ledger, the dependency and the probe say of it

    @property
    def sentence(self) -> str:
        """Say in a line what the call went through."""
        status = f", HTTP {self.status}" if self.status else ""
        reason = f" ({self.reason})" if self.reason not in {"", self.outcome} else ""
        took = "never sent" if self.sent_ms is None else f"after {milliseconds(self.done_ms)}"
        return f"{self.id} {self.tool} at {self.due_s:.1f} s: {self.outcome}{reason}{status} {took}"


@dataclass(frozen=True, kw_only=True)
class ReportedFinding:
    """A finding with its evidence; `anchor` is unique in the report and stable between renders."""

    anchor: str
    finding: Finding
    calls: tuple[CallFacts, ...]
    missing: int = 0  # evidence named by the judge that the journal does not hold
    told: tuple[str, ...] = ()  # evidence that is no call, in words

    @property
    def sentence(self) -> str:
        """Say the first of its evidence in a line; nothing where it has none."""
        return self.calls[0].sentence if self.calls else self.told[0] if self.told else ""


def report_findings(evidence: Evidence, findings: tuple[Finding, ...]) -> list[ReportedFinding]:
    """Give the findings worst first, each with its calls; passes last, and without."""
    reported = list(_report_findings(evidence, findings))
    seen = behind(
        evidence,
        ((call.session, call.step, call.attempt) for one in reported for call in one.calls),
    )
    return [
        replace(
            one,
            calls=tuple(
                replace(call, behind=seen.get((call.session, call.step, call.attempt), ()))
                for call in one.calls
            ),
        )
        for one in reported
    ]


def _report_findings(
    evidence: Evidence, findings: tuple[Finding, ...]
) -> Iterator[ReportedFinding]:
    samples = {
        f"s{entry.session}.{entry.index}.{entry.attempt}": entry.text
        for entry in evidence.journal.of(SampleEntry)
    }
    seen: dict[str, int] = {}
    left = _CALLS_MAX
    for finding in sorted(findings, key=_badness)[:_FINDINGS_MAX]:
        named_by = (finding.verdict, finding.fault, finding.tool)
        stem = _UNFIT.sub("-", "-".join(part for part in named_by if part))[:_ANCHOR_CHARS_MAX]
        seen[stem] = seen.get(stem, 0) + 1
        anchor = stem if seen[stem] == 1 else f"{stem}-{seen[stem]}"
        shown = min(_EVIDENCE_MAX, max(left, 1)) if finding.ruling != "pass" else 0
        named = [name for name in finding.evidence[:shown] if _CALL.fullmatch(name)]
        told = tuple(name for name in finding.evidence[:shown] if not _CALL.fullmatch(name))
        left -= len(named)
        found = [call for call in (find(evidence, name) for name in named) if call is not None]
        calls = tuple(
            facts(evidence, call, samples if place < _SAMPLES_MAX else {})
            for place, call in enumerate(found)
        )
        yield ReportedFinding(
            anchor=anchor,
            finding=finding,
            calls=calls,
            missing=len(named) - len(calls),
            told=told,
        )


def _badness(finding: Finding) -> tuple[int, bool, bool]:
    rank = {"fail": 0, "unknown": 1, "pass": 2}[finding.ruling]
    return rank, not finding.hard, bool(finding.cause)


def find(evidence: Evidence, name: str) -> np.void | None:
    """Find the attempt that `journal.call_id` names so; None when there is none."""
    try:
        session, index, attempt = (int(part) for part in name.removeprefix("s").split("."))
    except ValueError:
        return None
    calls = evidence.calls
    low = int(np.searchsorted(calls["session"], session, side="left"))
    high = int(np.searchsorted(calls["session"], session, side="right"))
    mine = calls[low:high]
    places = np.flatnonzero((mine["index"] == index) & (mine["attempt"] == attempt))
    if not len(places):
        return None
    call: np.void = mine[int(places[0])]
    return call


def facts(evidence: Evidence, call: np.void, samples: dict[str, str]) -> CallFacts:
    """Put one attempt in words and figures."""
    due_ns, sent_ns, done_ns = (int(call[f"{edge}_ns"]) for edge in ("due", "sent", "done"))
    code, names = int(call["call"]), evidence.plan.calls
    reason = Reason(int(call["reason"]))
    name = call_id(call)
    return CallFacts(
        id=name,
        session=int(call["session"]),
        step=int(call["index"]),
        attempt=int(call["attempt"]),
        arm="treated" if call["treated"] else "control",
        tool=cut(names[code] if code < len(names) else f"call {code}", NAME_CHARS_MAX),
        due_s=due_ns / NS,
        sent_ms=(sent_ns - due_ns) / 1e6 if sent_ns >= 0 else None,
        done_ms=(done_ns - due_ns) / 1e6 if done_ns >= 0 <= sent_ns else None,
        status=int(call["status"]),
        outcome=spell(Outcome(int(call["outcome"])).name),
        reason="" if reason is Reason.NONE else spell(reason.name),
        remarks=tuple(_remarks(call)),
        sample=cut(samples.get(name, ""), SAMPLE_CHARS_MAX),
    )


def _remarks(call: np.void) -> Iterator[str]:
    if behaviour := BEHAVIOURS[int(call["behaviour"])]:
        yield f"the client's own doing: {spell(behaviour)}"
    if (auth := Auth(int(call["auth"]))) not in {Auth.NONE_NEEDED, Auth.VALID}:
        yield f"token {spell(auth.name)}"
    if (effect := Effect(int(call["effect"]))) is not Effect.NONE:
        yield f"effect {spell(effect.name)}"
    if call["rows"] >= 0:
        yield counted(int(call["rows"]), "rows")
    if call["resumed"]:
        yield "stream resumed"
    if call["sent_ns"] >= 0:
        yield f"{int(call['request_bytes'])} B sent, {int(call['reply_bytes'])} B received"
    if (by := EndedBy(int(call["ended_by"]))) not in {EndedBy.REPLY, EndedBy.NEVER_SENT}:
        yield f"ended by {spell(by.name)}"


def spell(name: str) -> str:
    """Write a member's name the way people do."""
    return name.lower().replace("_", " ")
