"""`junit.xml`: what a pipeline shows; unknown is an error, for a skipped case reads as green."""

from __future__ import annotations

from collections.abc import Iterable

from junitparser import Error, Failure, JUnitXml, Property, TestCase, TestSuite

from harness.verdict import FaultVerdict, Finding, Ruling
from reports.evidence import ReportedFinding
from reports.report import Report
from reports.words import clean, measured, recovery


def junit(report: Report) -> str:
    """Give the report as JUnit XML: a case a fault window, limit and question of soundness."""
    judgement = report.judgement
    suite = TestSuite(clean(judgement.scenario))
    for name, value in _properties(report):
        suite.append(Property(name, clean(value)))
    for band in report.bands:
        suite.add_testcase(_fault(report, band.verdict))
    about_run = [found for found in report.findings if not found.finding.fault]
    for found in about_run:
        suite.add_testcase(_finding(judgement.scenario, found))
    for limit in judgement.limits:
        told = f"{limit.name}: measured {measured(limit.observed, limit.unit)}, "
        told += f"wanted {limit.wanted}{f'; {limit.why}' if limit.why else ''}"
        suite.add_testcase(
            _case("limit", f"{limit.name} {limit.wanted}", limit.ruling, told, told, report)
        )
    for question in judgement.soundness:
        suite.add_testcase(
            _case("soundness", question.name, question.ruling, question.why, question.why, report)
        )
    suite.time = round(report.length_s, 3)
    document = JUnitXml("squall")
    document.append(suite)
    document.update_statistics()
    written: bytes = document.tostring()
    return written.decode("utf-8")


def _properties(report: Report) -> Iterable[tuple[str, str]]:
    judgement = report.judgement
    yield "question", judgement.question
    yield "seed", str(judgement.seed)
    yield "era", judgement.era
    yield "ruling", judgement.ruling
    yield "exit_code", str(judgement.exit_code)
    yield "headline", judgement.headline
    if judgement.score is not None:
        yield "score", f"{judgement.score.points:.2f}"
        yield "score_low", f"{judgement.score.low:.2f}"
        yield "score_high", f"{judgement.score.high:.2f}"
    if report.command:
        yield "command", report.command


def _case(
    group: str, name: str, ruling: Ruling, message: str, text: str, report: Report
) -> TestCase:
    case = TestCase(clean(name), classname=clean(f"{report.judgement.scenario}.{group}"), time=0.0)
    _settle(case, ruling, message, text)
    return case


def _settle(case: TestCase, ruling: Ruling, message: str, text: str) -> None:
    if ruling == "pass":
        return
    result = Failure(clean(message), ruling) if ruling == "fail" else Error(clean(message), ruling)
    result.text = "\n".join(clean(line) for line in text.splitlines())
    case.result = [result]


def _fault(report: Report, verdict: FaultVerdict) -> TestCase:
    """Make the case of one window; it fails with everything that was found under it."""
    mine = [found for found in report.findings if found.finding.fault == verdict.id]
    open_ = [found for found in mine if found.finding.ruling != "pass"]
    about = [
        f"exposure: {verdict.exposure}{'' if verdict.bit else ' (did not bite)'}",
        f"recovered: {recovery(verdict)}",
        f"score: {'not measured' if verdict.score is None else f'{verdict.score:.1f}'}",
        *([] if verdict.healed else ["not proven healed"]),
    ]
    sentences = [_sentence(found.finding) for found in open_] or [
        "did not bite" if not verdict.bit else "; ".join(about)
    ]
    text = "\n".join([*(line for found in open_ for line in _lines(found)), *about])
    case = _case("fault", verdict.id, verdict.ruling, "; ".join(sentences), text, report)
    case.time = round(max(verdict.end_s - verdict.start_s, 0), 3)
    return case


def _finding(scenario: str, found: ReportedFinding) -> TestCase:
    finding = found.finding
    name = f"{finding.verdict} {finding.tool}".strip()
    case = TestCase(clean(name), classname=clean(f"{scenario}.run"), time=0.0)
    _settle(case, finding.ruling, _sentence(finding), "\n".join(_lines(found)))
    return case


def _sentence(finding: Finding) -> str:
    return f"{finding.verdict}: {finding.why}" if finding.why else finding.verdict


def _lines(found: ReportedFinding) -> Iterable[str]:
    finding = found.finding
    yield _sentence(finding)
    if finding.observed is not None:
        allowed = "" if finding.limit is None else f", allowed {finding.limit:g} {finding.unit}"
        yield f"  measured {measured(finding.observed, finding.unit)}{allowed}"
    if finding.source:
        yield f"  {finding.source}"
    for call in found.calls:
        yield f"  {call.sentence}"
        if call.sample:
            yield f"    {clean(call.sample)}"
