"""The tables of findings: every opinion, those that passed too, and the calls that prove them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harness.verdict import Finding
from reports.tables.table import Of, Run, Table


@dataclass(frozen=True, kw_only=True)
class _Numbered:
    """A finding and its number in the run, from 1."""

    number: int
    finding: Finding


def _numbered(run: Run) -> list[_Numbered]:
    found = enumerate(run.judgement.findings, start=1)
    return [_Numbered(number=number, finding=finding) for number, finding in found]


_OF: Final = Of(lambda run: run.judgement.findings)
TABLE: Final = Table(
    name="findings",
    row="one opinion on the run; most are that all is well",
    columns=(
        Of(_numbered).count("finding", "its number, from 1", lambda one: one.number),
        _OF.text("verdict", "what is, or would be, wrong", lambda one: one.verdict),
        _OF.text("ruling", "pass, fail or unknown", lambda one: one.ruling),
        _OF.text("fault", "the fault it was found under; empty for none", lambda one: one.fault),
        _OF.text("tool", "the call it is about; empty for all", lambda one: one.tool),
        _OF.number("observed", "what was measured, in `unit`", lambda one: one.observed),
        _OF.number("limit", "what it was held against, in `unit`", lambda one: one.limit),
        _OF.text("unit", "of these two", lambda one: one.unit),
        _OF.text("why", "in a sentence", lambda one: one.why),
        _OF.text("source", "where the expectation comes from", lambda one: one.source),
        _OF.yes_no("hard", "whether one breach is enough", lambda one: one.hard),
        _OF.text("cause", "the verdict it follows from; empty for none", lambda one: one.cause),
        _OF.number("first_s", "when the first offender left", lambda one: one.first_s),
        _OF.number("last_s", "when the last one ended", lambda one: one.last_s),
        _OF.count(
            "treated", "sessions of that arm it befell; missing: not told", lambda one: one.treated
        ),
        _OF.count("control", "the same of the other arm", lambda one: one.control),
    ),
)


@dataclass(frozen=True, kw_only=True)
class _Proof:
    """One call that a finding stands on, by its id: `s12.34.1`."""

    number: int
    call: str

    def part(self, place: int) -> int | None:
        """Give session, index or attempt; None where the evidence is no call."""
        parts = self.call.removeprefix("s").split(".")
        known = self.call.startswith("s") and len(parts) == 3  # noqa: PLR2004  the three
        return int(parts[place]) if known and all(map(str.isdecimal, parts)) else None


def _proofs(run: Run) -> list[_Proof]:
    return [
        _Proof(number=one.number, call=call)
        for one in _numbered(run)
        for call in one.finding.evidence
    ]


def _part(place: int) -> Callable[[_Proof], int | None]:
    return lambda one: one.part(place)


_PROVEN: Final = Of(_proofs)
EVIDENCE: Final = Table(
    name="evidence",
    row="one call that a finding stands on, the worst first, at most ten for each",
    columns=(
        _PROVEN.count("finding", "the finding's number", lambda one: one.number),
        _PROVEN.text("id", "as reports name it: s12.34.1", lambda one: one.call),
        _PROVEN.count("session", "as in `calls`; missing where it is no call", _part(0)),
        _PROVEN.count("index", "as in `calls`", _part(1)),
        _PROVEN.count("attempt", "as in `calls`", _part(2)),
    ),
)
