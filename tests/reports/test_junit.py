from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from harness.errors import Exit
from harness.verdict import Finding
from reports.junit import junit
from reports.report import make
from tests.reports.samples import (
    FACTS,
    HOSTILE,
    evidence_of_a_storm,
    judgement_of_a_calm,
    judgement_of_a_storm,
)


def read(folder: Path, text: str) -> tuple[TestSuite, dict[str, TestCase]]:
    """Write the text and read it back as any consumer of the format does."""
    file = folder / "junit.xml"
    file.write_text(text, encoding="utf-8")
    suites = list(JUnitXml.fromfile(str(file)))
    assert len(suites) == 1
    return suites[0], {f"{case.classname}/{case.name}": case for case in suites[0]}


def storm() -> str:
    """Render the storm."""
    return junit(make(evidence_of_a_storm(), judgement_of_a_storm(), FACTS))


def test_every_window_limit_and_question_is_a_case(tmp_path: Path) -> None:
    """Counts and rulings survive a round trip through the library."""
    suite, cases = read(tmp_path, storm())
    assert suite.name == "first_storm"
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (13, 3, 3, 0)
    assert cases["first_storm.fault/1:tcp-latency"].is_passed
    assert cases["first_storm.fault/2:token-expire"].is_failure
    assert cases["first_storm.limit/answered >= 99.5%"].is_failure
    assert cases["first_storm.soundness/generator"].is_passed
    assert cases["first_storm.run/wrong-answer"].is_passed


def test_unknown_is_an_error_and_never_skipped(tmp_path: Path) -> None:
    """A skipped case reads as green in every pipeline; what is unknown must not."""
    _, cases = read(tmp_path, storm())
    unknown = [
        "first_storm.fault/4:response-lost",
        "first_storm.limit/recovery <= 10s",
        "first_storm.soundness/fault-bit",
    ]
    for name in unknown:
        assert [type(result) for result in cases[name].result] == [Error]


def test_a_failure_carries_the_sentence_and_the_evidence(tmp_path: Path) -> None:
    """Whoever reads only the pipeline's page learns what happened to which call."""
    _, cases = read(tmp_path, storm())
    (failure,) = cases["first_storm.fault/2:token-expire"].result
    assert isinstance(failure, Failure)
    assert "answered with 403" in failure.message
    text = failure.text or ""
    assert "s1.129.1" in text
    assert "403 Forbidden: invalid_token" in text
    assert "session-lost: session 3 never came back" in text


def test_the_suite_says_what_repeats_it(tmp_path: Path) -> None:
    """Score, interval, seed and command are properties."""
    suite, _ = read(tmp_path, storm())
    properties = {each.name: each.value for each in cast("Any", suite).properties()}
    assert properties["score"] == "61.40"
    assert (properties["score_low"], properties["score_high"]) == ("57.00", "65.90")
    assert properties["seed"] == "7"
    assert properties["command"] == "squall run scenarios/first_storm.yaml --seed 7"


def test_hostile_text_leaves_a_file_that_can_be_read(tmp_path: Path) -> None:
    """Control characters are not XML, and markup in a name is text."""
    evidence = evidence_of_a_storm(tool=HOSTILE, text=HOSTILE)
    judgement = judgement_of_a_storm(tool=HOSTILE, why=HOSTILE + "\x0b\ud800")
    suite, cases = read(tmp_path, junit(make(evidence, judgement, {"command": HOSTILE})))
    assert suite.tests == 13
    (failure,) = cases["first_storm.fault/2:token-expire"].result
    assert "<img src=x onerror=alert(2)>" in (failure.text or "")


def test_the_same_report_gives_the_same_bytes() -> None:
    """Nothing in the file depends on when or where it was written."""
    assert storm() == storm()


def test_a_run_that_ended_early_is_not_green(tmp_path: Path) -> None:
    """Aborted, interrupted or not proven healed: the run itself is then an error."""
    calm = judgement_of_a_calm()
    _, cases = read(tmp_path, junit(make(evidence_of_a_storm(), calm)))
    assert cases["steady.run/ended, and healed"].is_passed
    for code in (Exit.ABORTED, Exit.NOT_HEALED, Exit.INTERRUPTED):
        ended = replace(calm, exit_code=int(code), headline=f"ENDED {code.name}")
        suite, cases = read(tmp_path, junit(make(evidence_of_a_storm(), ended)))
        (error,) = cases["steady.run/ended, and healed"].result
        assert isinstance(error, Error)
        assert error.message == f"ENDED {code.name}"
        assert (suite.failures, suite.errors) == (0, 1)


def test_a_file_is_as_green_as_the_exit_code(tmp_path: Path) -> None:
    """A question that nobody could answer, and that the ruling does not hang on, is skipped."""
    calm = judgement_of_a_calm()
    asked = Finding(verdict="stream-cut", ruling="unknown", fault="", why="no call lasted")
    suite, cases = read(
        tmp_path, junit(make(evidence_of_a_storm(), replace(calm, findings=(asked,))))
    )
    assert (suite.failures, suite.errors, suite.skipped) == (0, 0, 1)
    (skipped,) = cases["steady.run/stream-cut"].result
    assert isinstance(skipped, Skipped)
    assert skipped.message == "stream-cut: no call lasted"
