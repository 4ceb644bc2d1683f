"""One JUnit file for several scenarios: a suite each, also for one that was not run."""

from __future__ import annotations

from junitparser import Error, TestCase, TestSuite

from harness.errors import Exit
from harness.redaction import redact
from reports.gate.entries import Batch, Entry
from reports.junit import suite, write
from reports.words import clean


def junit(batch: Batch) -> str:
    """Give all of a gate as JUnit XML."""
    return write(_suite(entry) for entry in batch.entries)


def _suite(entry: Entry) -> TestSuite:
    if entry.report is not None:
        return suite(entry.report, entry.name)
    told = clean(redact(entry.told))
    case = TestCase("run", classname=clean(f"{entry.name}.run"), time=0.0)
    if entry.code is not Exit.PASS:
        error = Error(told, entry.word.lower())
        error.text = told
        case.result = [error]
    made = TestSuite(clean(entry.name))
    made.add_property("exit_code", str(int(entry.code)))
    made.add_property("headline", told)
    made.add_testcase(case)
    return made
