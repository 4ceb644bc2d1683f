"""`junit.xml`: what a pipeline shows, as green as the exit code is; what is unknown is an error."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.aa import sentence
from harness.errors import Exit
from harness.redaction import redact
from harness.verdict import FaultVerdict, Finding, Ruling
from reports.evidence import ReportedFinding
from reports.report import Report
from reports.words import clean, measured, recovery

# What these codes are about is a case of its own: a fault, a limit, a question of soundness.
_SAID_ELSEWHERE: Final = frozenset({Exit.PASS, Exit.FAIL, Exit.UNKNOWN})


def junit(report: Report) -> str:
    """Give the report as JUnit XML: a case a fault window, limit and question of soundness."""
    return write([suite(report, report.name)])


def suite(report: Report, name: str) -> TestSuite:
    """Give the report as a suite of the given name."""
    report = replace(report, name=name)
    made = TestSuite(clean(name))
    for key, value in _properties(report):
        made.add_property(key, clean(redact(value)))
    for case in _cases(report):
        made.add_testcase(case)
    return made


def write(suites: Iterable[TestSuite]) -> str:
    """Give suites as one document; the same suites give the same bytes."""
    document: Any = JUnitXml("squall")  # this part of the library has no annotations
    for each in suites:
        document.add_testsuite(each)
    document.update_statistics()
    written: bytes = document.tostring()
    return f'<?xml version="1.0" encoding="utf-8"?>\n{written.decode("utf-8")}\n'


def _cases(report: Report) -> Iterator[TestCase]:
    judgement = report.judgement
    yield _ended(report)
    for band in report.bands:
        yield _fault(report, band.verdict)
    for found in report.findings:
        if not found.finding.fault:
            yield _finding(report.name, found)
    for limit in judgement.limits:
        case = _case(report.name, "limit", f"{limit.name} {limit.wanted}")
        seen = measured(limit.observed, limit.unit)
        told = f"{limit.name}: {seen}, wanted {limit.wanted}"
        _settle(case, limit.ruling, f"{told}; {limit.why}" if limit.why else told)
        yield case
    for question in judgement.soundness:
        case = _case(report.name, "soundness", question.name)
        _settle(case, question.ruling, question.why or question.name)
        yield case


def _properties(report: Report) -> Iterable[tuple[str, str]]:
    judgement = report.judgement
    yield "question", judgement.question
    yield "seed", str(judgement.seed)
    yield "era", judgement.era
    yield "ruling", judgement.ruling
    yield "exit_code", str(judgement.exit_code)
    yield "headline", judgement.headline
    if judgement.generator is not None:
        yield "generator", f"{judgement.generator.verdict}: {judgement.generator.why}"
        yield "sent_late_p99_ms", f"{judgement.generator.sent_late_p99_ms:.3f}"
    if judgement.bare_arms is not None:
        yield "smallest_effect", sentence(judgement.bare_arms)
    if judgement.score is not None:
        yield "score", f"{judgement.score.points:.2f}"
        yield "score_low", f"{judgement.score.low:.2f}"
        yield "score_high", f"{judgement.score.high:.2f}"
    if report.command:
        yield "command", report.command


def _ended(report: Report) -> TestCase:
    """Make the case of the run itself, so that no suite is green whose exit code is not."""
    case = _case(report.name, "run", "ended, and healed")
    code = report.judgement.exit_code
    if code not in _SAID_ELSEWHERE:
        _settle(case, "unknown", report.judgement.headline)
    return case


def _case(scenario: str, group: str, name: str) -> TestCase:
    return TestCase(clean(name), classname=clean(f"{scenario}.{group}"), time=0.0)


def _settle(case: TestCase, ruling: Ruling, message: str, text: str = "") -> None:
    """Put the ruling on a case; `text` is the long form of the message."""
    if ruling == "pass":
        return
    told = clean(redact(message))
    result = Failure(told, ruling) if ruling == "fail" else Error(told, ruling)
    result.text = "\n".join(clean(redact(line)) for line in (text or message).splitlines())
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
    case = _case(report.name, "fault", verdict.id)
    _settle(case, verdict.ruling, "; ".join(sentences), text)
    case.time = round(max(verdict.end_s - verdict.start_s, 0), 3)
    return case


def _finding(scenario: str, found: ReportedFinding) -> TestCase:
    """Make the case of what was found under no fault.

    The run's ruling does not hang on a question of this kind that nobody could answer; the file
    must be as green as the exit code is, so such a one is skipped.
    """
    finding = found.finding
    case = _case(scenario, "run", f"{finding.verdict} {finding.tool}".strip())
    if finding.ruling == "unknown":
        case.result = [Skipped(clean(redact(_sentence(finding))))]
        return case
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
    for line in found.told:
        yield f"  {clean(line)}"
    for call in found.calls:
        yield f"  {call.sentence}"
        if call.sample:
            yield f"    {clean(call.sample)}"
