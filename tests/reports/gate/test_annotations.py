from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import Exit
from harness.redaction import HIDDEN
from harness.verdict import Limit
from reports.gate.annotations import remarks
from reports.gate.entries import Batch, gather
from tests.reports.gate.batches import STORM, batch, entry, line_of
from tests.reports.samples import HOSTILE, judgement_of_a_calm, judgement_of_a_storm

COMMAND = re.compile(r"::(?P<level>error|warning) (?P<properties>[^:]*)::(?P<text>.*)")


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checked-out repository with the scenarios, in which squall is run."""
    for name in ("first_storm", "wrong", "refused"):
        (tmp_path / f"{name}.yaml").write_text(STORM, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parsed(gate: Batch, workspace: Path) -> list[tuple[str, dict[str, str], str]]:
    """Read the commands as GitHub's runner does: level, properties, text."""
    found = []
    for line in remarks(gate, workspace):
        command = COMMAND.fullmatch(line)
        assert command, line
        parts = (part.partition("=") for part in command["properties"].split(","))
        found.append((command["level"], {key: value for key, _, value in parts}, command["text"]))
    return found


def test_a_missed_limit_is_put_beside_its_line(workspace: Path) -> None:
    """And so is the fault under which something was found."""
    told = parsed(gather([entry()]), workspace)
    assert {properties["file"] for _, properties, _ in told} == {"first_storm.yaml"}
    at = {int(properties["line"]): (level, text) for level, properties, text in told}
    assert at[line_of("answered")] == (
        "error",
        "answered: 95.3%25, wanted >= 99.5%25",
    )
    assert at[line_of("score")][0] == "error"
    assert at[line_of("recovery")] == (
        "warning",
        "recovery: not measured, wanted <= 10s; one fault did not bite",
    )
    level, text = at[line_of("token-expire")]
    assert level == "error"
    assert "expired-is-403" in text
    assert "session 3 never came back" in text
    assert at[line_of("response-lost")][0] == "warning"
    assert line_of("latency_p99") not in at


def test_a_mistake_in_a_scenario_is_put_beside_its_line(workspace: Path) -> None:
    """Each of them, with its mend."""
    told = [one for one in parsed(batch(), workspace) if one[1].get("file") == "wrong.yaml"]
    lines = [int(properties["line"]) for _, properties, _ in told]
    assert lines == [line_of("sessions: 20"), line_of("recovery")]
    assert all(level == "error" and "expected" in text for level, _, text in told)


def test_a_scenario_that_was_refused_points_at_its_target(workspace: Path) -> None:
    """Where most refusals are mended."""
    (told,) = [one for one in parsed(batch(), workspace) if one[1].get("file") == "refused.yaml"]
    assert int(told[1]["line"]) == line_of("target:")
    assert told[2].startswith("not run: nothing listens")


@pytest.mark.parametrize("code", [Exit.ABORTED, Exit.NOT_HEALED, Exit.INTERRUPTED])
def test_an_end_that_was_none_is_told(workspace: Path, code: Exit) -> None:
    """A run that was stopped misses no limit, and is red all the same."""
    ended = replace(judgement_of_a_calm(), exit_code=int(code), headline="it was stopped")
    (told,) = parsed(gather([entry(ended)]), workspace)
    assert told[0] == "error"
    assert "it was stopped" in told[2]


def test_what_passed_is_not_remarked_upon(workspace: Path) -> None:
    """No news."""
    assert remarks(gather([entry(judgement_of_a_calm())]), workspace) == []


def test_a_file_outside_the_repository_is_not_named(workspace: Path, tmp_path: Path) -> None:
    """Nobody could open it there; nor one that is not there at all."""
    inner = tmp_path / "repository"
    inner.mkdir()
    for place in (inner, workspace):
        file = "first_storm.yaml" if place is inner else "gone.yaml"
        told = parsed(gather([entry(file=file)]), place)
        assert told
        assert not any("file" in properties or "line" in properties for _, properties, _ in told)


def test_text_from_outside_is_one_command_and_no_other(workspace: Path) -> None:
    """Neither a line's end nor a colon begins a command of its own."""
    attack = "x\n::set-output name=a::b\r\n::stop-commands::c%0A"
    told = parsed(gather([entry(judgement_of_a_storm(why=attack))]), workspace)
    assert any("%250A" in text for _, _, text in told)
    named = replace(entry(), name=f"a,file=b::{HOSTILE}")
    for line in remarks(Batch(entries=(named,)), workspace):
        assert "\n" not in line
        assert COMMAND.fullmatch(line)
        assert "title=squall%3A a%2Cfile=b%3A%3A" in line


def test_ten_are_shown_and_the_rest_counted(workspace: Path) -> None:
    """GitHub drops what is beyond ten, and would not say so."""
    missed = tuple(
        Limit(name="answered", wanted=">= 1%", observed=0.0, unit="share", ruling="fail")
        for _ in range(30)
    )
    told = parsed(gather([entry(replace(judgement_of_a_storm(), limits=missed))]), workspace)
    errors = [text for level, _, text in told if level == "error"]
    assert len(errors) == 10
    assert errors[-1] == "and 22 more in the summary"


def test_no_credential_is_annotated(workspace: Path) -> None:
    """What a finding quotes may hold one."""
    why = "answered Bearer abcdefgh12345678 and eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIx.c2ln"
    text = "\n".join(remarks(gather([entry(judgement_of_a_storm(why=why))]), workspace))
    assert "abcdefgh" not in text
    assert "eyJ" not in text
    assert text.count(HIDDEN) == 2
