"""A short summary for a pipeline's step page or a comment on a change."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from harness.redaction import redact
from harness.verdict import Ruling
from reports.courtesy import in_one
from reports.report import Report
from reports.words import clean, measured, milliseconds, recovery

SIGNS: Final[dict[Ruling, str]] = {"pass": "✅", "fail": "❌", "unknown": "❔"}
_RANK: Final[dict[Ruling, int]] = {"fail": 0, "unknown": 1, "pass": 2}
_FINDINGS_SHOWN: Final = 10
_SPECIAL: Final = re.compile(r"[\\`*_{}\[\]()!|~$<>&]")
# What GitHub makes links of after the markup is gone; only a comment in between keeps it from it.
_LINKING: Final = re.compile(r"([@#])|(:)(?=//)|(www)(?=\.)", re.IGNORECASE)


def markdown(report: Report) -> str:
    """Give the result as GitHub Markdown, worst first, the command to repeat it last."""
    return "\n".join(_lines(report)) + "\n"


def escape(text: str) -> str:
    """Make text from outside plain: no markup, no link, no mention, no table cell of its own."""
    plain = _SPECIAL.sub(lambda hit: "\\" + hit[0], clean(redact(text)))
    return _LINKING.sub(lambda hit: f"{hit[0]}<!-- -->", plain)


def _lines(report: Report) -> Iterator[str]:
    judgement = report.judgement
    yield f"### {SIGNS[judgement.ruling]} {escape(judgement.headline)}"
    yield ""
    yield (
        f"{escape(judgement.question)} (`{_code(report.name)}`, seed {judgement.seed}, "
        f"{escape(judgement.era)} era, {report.length_s:.0f} s)"
    )
    yield from _findings(report)
    if judgement.limits:
        yield from table(
            ("", "limit", "wanted", "measured"),
            [
                (SIGNS[x.ruling], escape(x.name), escape(x.wanted), measured(x.observed, x.unit))
                for x in sorted(judgement.limits, key=lambda limit: _RANK[limit.ruling])
            ],
        )
    if report.bands:
        verdicts = [band.verdict for band in report.bands]
        yield from table(
            ("", "fault", "hit", "recovered in", "score"),
            [
                (
                    SIGNS[x.ruling],
                    escape(x.id),
                    escape(x.exposure if x.bit else f"did not bite: {x.exposure}"),
                    recovery(x),
                    "n/a" if x.score is None else f"{x.score:.1f}",
                )
                for x in sorted(verdicts, key=lambda verdict: _RANK[verdict.ruling])
            ],
        )
    if told := in_one(judgement.manners):
        yield ""
        yield escape(f"Towards its dependency: {told}.")
    if judgement.generator is not None:
        fared = judgement.generator
        yield ""
        yield escape(
            f"Generator {fared.verdict}: calls left {milliseconds(fared.sent_late_p50_ms)} late at "
            f"p50, {milliseconds(fared.sent_late_p99_ms)} at p99."
        )
    doubts = [question for question in judgement.soundness if question.ruling != "pass"]
    if doubts:
        yield ""
        for question in doubts:
            told = escape(f"evidence, {question.name}: {question.why}")
            yield f"- {SIGNS[question.ruling]} {told}"
    if report.command:
        yield ""
        yield "Repeat it:"
        yield ""
        yield f"    {clean(redact(report.command))}"


def _findings(report: Report) -> Iterator[str]:
    failures = [found for found in report.findings if found.finding.ruling == "fail"]
    if failures:
        yield ""
    for found in failures[:_FINDINGS_SHOWN]:
        finding = found.finding
        where = ", ".join(part for part in (finding.fault, finding.tool) if part) or "whole run"
        yield f"- **{escape(finding.verdict)}** ({escape(where)}) {escape(finding.why)}"
        if found.sentence:
            yield f"  - {escape(found.sentence)}"
    if len(failures) > _FINDINGS_SHOWN:
        yield f"- and {len(failures) - _FINDINGS_SHOWN} more"


def _code(text: str) -> str:
    return clean(text).replace("`", "'")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Give a table, with the empty line that must stand before one."""
    yield ""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(row)} |"
