"""What was sent wrong on purpose, and how the target answered: a row for each form of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from harness.evidence.phases import Evidence
from harness.journal import ProbeEntry
from reports.behind import answer
from reports.words import clean, cut

_ROWS_MAX: Final = 60
_ANSWERS_MAX: Final = 4
_TEXT_MAX: Final = 120


@dataclass(frozen=True, kw_only=True)
class ProbeRow:
    """One form of one misbehaviour under one fault."""

    fault: str
    kind: str
    variant: str
    sent: str  # one of them, in words
    count: int
    answers: tuple[tuple[str, int], ...]  # how they were answered, the commonest first
    foreign: int  # answers that carried another call's mark
    said: str  # what the target said to one of them


def probe_rows(evidence: Evidence) -> tuple[ProbeRow, ...]:
    """Sum the probes of a run up by fault and form; at most sixty rows."""
    ids = {window.window: window.id for window in evidence.phases.windows}
    forms: dict[tuple[int, str, str], list[ProbeEntry]] = {}
    for probe in evidence.journal.of(ProbeEntry):
        forms.setdefault((probe.window, probe.kind, probe.variant), []).append(probe)
    rows = []
    for (window, kind, variant), probes in sorted(forms.items())[:_ROWS_MAX]:
        told = Counter(answer(probe) for probe in probes)
        rows.append(
            ProbeRow(
                fault=ids.get(window, ""),
                kind=kind.replace("_", " "),
                variant=variant,
                sent=_text(next((probe.sent for probe in probes if probe.sent), "")),
                count=len(probes),
                answers=tuple(told.most_common(_ANSWERS_MAX)),
                foreign=sum(probe.carried == "foreign" for probe in probes),
                said=_text(next((probe.text for probe in probes if probe.text), "")),
            )
        )
    return tuple(rows)


def _text(text: str) -> str:
    return cut(clean(text), _TEXT_MAX)
