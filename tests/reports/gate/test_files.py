from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from junitparser import Error, JUnitXml, TestSuite

from harness.errors import Exit
from harness.redaction import HIDDEN
from reports.gate.entries import Batch, gather
from reports.gate.junit import junit
from reports.gate.markdown import SIZE_MAX_BYTES, markdown
from reports.junit import junit as junit_of_one
from reports.markdown import markdown as markdown_of_one
from tests.reports.gate.batches import batch, entry
from tests.reports.samples import judgement_of_a_calm, judgement_of_a_storm

SECRETS = "Bearer abcdefgh12345678 and eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIx.c2ln"


def suites(folder: Path, gate: Batch) -> dict[str, TestSuite]:
    """Write the file and read it back as any consumer of the format does."""
    file = folder / "gate.xml"
    file.write_text(junit(gate), encoding="utf-8")
    return {str(suite.name): suite for suite in JUnitXml.fromfile(str(file))}


def test_a_suite_for_each_scenario_also_for_one_that_was_not_run(tmp_path: Path) -> None:
    """With its score and interval, or with the sentence why there is none."""
    read = suites(tmp_path, batch())
    assert list(read) == ["steady", "first_storm", "wrong", "refused"]
    found = {name: (suite.failures, suite.errors) for name, suite in read.items()}
    assert found == {"steady": (0, 0), "first_storm": (3, 3), "wrong": (0, 1), "refused": (0, 1)}
    told = {each.name: each.value for each in cast("Any", read["first_storm"]).properties()}
    assert (told["score"], told["score_low"], told["score_high"]) == ("61.40", "57.00", "65.90")
    (case,) = read["refused"]
    (error,) = case.result
    assert isinstance(error, Error)
    assert "start the target first" in error.message
    assert error.type == "not run"


def test_a_suite_is_red_when_its_exit_code_is(tmp_path: Path) -> None:
    """Whatever a scenario ended in, the file says the same as the code."""
    for code in Exit:
        without = replace(batch().entries[-1], code=code)
        (suite,) = suites(tmp_path, Batch(entries=(without,))).values()
        assert bool(suite.failures + suite.errors) is (code is not Exit.PASS)


def test_a_gate_of_one_is_that_run_s_own_file() -> None:
    """The same bytes as in its folder."""
    alone = gather([entry()])
    report = alone.entries[0].report
    assert report is not None
    assert junit(alone) == junit_of_one(report)
    assert markdown(alone) == markdown_of_one(report)


def test_cases_of_two_eras_have_names_of_their_own(tmp_path: Path) -> None:
    """A pipeline that joins cases by name keeps both."""
    gate = gather([entry(), entry(replace(judgement_of_a_storm(), era="modern"))])
    read = suites(tmp_path, gate)
    assert list(read) == ["first_storm (legacy)", "first_storm (modern)"]
    names = [f"{case.classname}.{case.name}" for suite in read.values() for case in suite]
    assert len(names) == len(set(names)) == 26


def test_the_summary_begins_with_a_table_and_goes_on_worst_first() -> None:
    """What passed is folded away, what was not run has its sentence in the table."""
    text = markdown(batch())
    lines = text.splitlines()
    assert lines[0].startswith("## ❌ FAIL  1 of 4 passed, 1 failed, 2 not run")
    rows = [line for line in lines[2:8] if line.startswith("|")]
    assert len(rows) == 6
    assert all(line.replace("\\|", "").count("|") == 7 for line in rows)
    assert "start the target first" in rows[-1]
    assert text.index("expired-is-403**") < text.index("<details><summary>steady</summary>")


def test_a_summary_stays_within_what_a_step_may_write() -> None:
    """The rest is said to be elsewhere."""
    many = gather([entry(judgement_of_a_storm(why="w" * 4_000))] * 200)
    text = markdown(many)
    assert len(text.encode()) < SIZE_MAX_BYTES + 1_000
    assert text.rstrip().endswith("more scenarios are in the artefacts.")


def test_no_credential_is_in_the_files(tmp_path: Path) -> None:
    """Neither in a finding's words, nor in why something was not run, nor in the command."""
    stormy = entry(
        judgement_of_a_storm(why=SECRETS),
        spoil=lambda report: replace(report, command=f"squall run a --launch '{SECRETS}'"),
    )
    refused = replace(batch().entries[-1], told=SECRETS)
    gate = gather([stormy, refused, entry(judgement_of_a_calm())])
    for text in (junit(gate), markdown(gate), markdown(gather([stormy]))):
        assert "abcdefgh" not in text
        assert "eyJ" not in text
        assert HIDDEN in text.replace("\\", "")
    assert suites(tmp_path, gate)
