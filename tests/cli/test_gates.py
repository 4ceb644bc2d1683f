"""Several scenarios as one gate: what is run, what is said, and what a pipeline finds."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from junitparser import JUnitXml

from harness.errors import Exit, worst_exit
from tests import command
from tests.ports import free_port

GATE_S: Final = 240  # two runs one after the other, on a machine that does much else
pytestmark = pytest.mark.timeout(GATE_S + 60)

STEADY: Final = command.STORM.partition("faults:")[0].replace("warmup: 500ms, ", "")
CALM: Final = STEADY + 'limits: {answered: ">= 99%"}\n'
# No call takes a microsecond, so this one is missed on any machine.
MISSED: Final = STEADY + "limits:\n  answered: '>= 1%'\n  latency_p50: '<= 1us'\n"
BROKEN: Final = STEADY.replace("sessions: 6", "sessions: six")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A gate that has been run: two scenarios that can be, and one that cannot."""

    folder: Path
    done: command.Done

    def runs(self) -> dict[str, Path]:
        """The run folders by scenario."""
        return {path.name.split("-")[0]: path for path in (self.folder / "runs").iterdir()}

    def text(self, name: str) -> str:
        """What a file says."""
        return (self.folder / name).read_text(encoding="utf-8")


def write(folder: Path) -> None:
    """Put the three scenarios into a folder."""
    for name, text in (("calm", CALM), ("missed", MISSED), ("broken", BROKEN)):
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")


def on_github(folder: Path) -> dict[str, str]:
    """What GitHub's runner sets."""
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_WORKSPACE": str(folder),
        "GITHUB_STEP_SUMMARY": str(folder / "step.md"),
        "NO_COLOR": "1",
        "COLUMNS": "80",
    }


def written(file: Path) -> dict[str, bytes]:
    """A file's suites, byte for byte."""
    read: Any = JUnitXml.fromfile(str(file))  # this part of the library has no annotations
    return {suite.name: suite.tostring() for suite in read}


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    """The three of them, the broken one first."""
    folder = tmp_path_factory.mktemp("gate")
    write(folder)
    (folder / "step.md").write_text("before\n", encoding="utf-8")
    words = ("run", "broken.yaml", "calm.yaml", "missed.yaml")
    flags = ("--junit", "out.xml", "--markdown", "out.md", "--quiet")
    return Gate(
        folder=folder,
        done=command.squall(*words, *flags, cwd=folder, env=on_github(folder), within_s=GATE_S),
    )


@pytest.mark.slow
def test_a_scenario_that_cannot_be_read_hides_no_other(gate: Gate) -> None:
    """The others are run, and the worst of all codes is the gate's."""
    runs = gate.runs()
    assert set(runs) == {"calm", "missed"}
    codes = [Exit(command.verdict_of(run)["exit_code"]) for run in runs.values()]
    assert gate.done.code == worst_exit([*codes, Exit.NOT_RUN])
    assert command.verdict_of(runs["missed"])["exit_code"] in {Exit.FAIL, Exit.UNKNOWN}
    assert "broken.yaml:15:" in gate.done.err


@pytest.mark.slow
def test_the_table_comes_last_then_the_places_then_the_verdict(gate: Gate) -> None:
    """On 80 columns; each run has had its own screen before."""
    lines = gate.done.out.splitlines()
    start = max(n for n, line in enumerate(lines) if line.startswith("  scenario  "))
    rows = [line.split()[1] for line in lines[start:] if line[:2] in {"✓ ", "✗ ", "? "}]
    assert rows == ["broken", "calm", "missed"]
    assert "NOT RUN" in lines[start + 1]
    places = [line for line in lines[start:] if re.match(r"run |junit |markdown ", line)]
    assert [place.split()[0] for place in places] == ["run", "run", "junit", "markdown"]
    assert max(map(len, lines[start:])) <= 80
    assert lines.index(places[-1]) < len(lines) - 1
    assert lines[-1].startswith(("FAIL  ", "UNKNOWN  "))
    assert ", 1 not run" in lines[-1]


@pytest.mark.slow
def test_the_command_that_repeats_a_run_names_no_other(gate: Gate) -> None:
    """Whoever looks into one scenario does not want to wait for all."""
    for name, run in gate.runs().items():
        facts = json.loads((run / "facts.json").read_text(encoding="utf-8"))
        assert facts["command"].startswith(f"squall run {name}.yaml --junit")


@pytest.mark.slow
def test_the_files_hold_a_suite_and_a_row_for_each(gate: Gate) -> None:
    """The step's page keeps what stood there before."""
    suites = {suite.name: suite for suite in JUnitXml.fromfile(str(gate.folder / "out.xml"))}
    assert list(suites) == ["broken", "calm", "missed"]
    assert suites["missed"].failures >= 1
    for name, run in gate.runs().items():
        red = bool(suites[name].failures + suites[name].errors)
        assert red is (command.verdict_of(run)["exit_code"] != 0)
    assert gate.text("step.md") == f"before\n{gate.text('out.md')}\n"
    assert "| missed |" in gate.text("out.md")


@pytest.mark.slow
def test_a_missed_limit_is_annotated_at_its_line(gate: Gate) -> None:
    """And the scenario's mistake at its own."""
    line = next(n for n, text in enumerate(MISSED.splitlines(), 1) if "latency_p50" in text)
    commands = [one for one in gate.done.out.splitlines() if one.startswith("::")]
    assert any(one.startswith(f"::error file=missed.yaml,line={line},") for one in commands)
    assert any(one.startswith("::error file=broken.yaml,line=15,") for one in commands)


@pytest.mark.slow
def test_kept_runs_are_reported_as_the_gate_was(gate: Gate, tmp_path: Path) -> None:
    """The same suites, the same summary, the same code, without any traffic."""
    runs = [gate.runs()[name] for name in ("calm", "missed")]
    names = [str(run.relative_to(gate.folder)) for run in runs]
    flags = ("--junit", str(tmp_path / "again.xml"), "--markdown", str(tmp_path / "again.md"))
    told = command.squall(
        "report", *names, *flags, cwd=gate.folder, env={"NO_COLOR": "1"}, within_s=GATE_S
    )
    codes = [Exit(command.verdict_of(run)["exit_code"]) for run in runs]
    assert told.code == worst_exit(codes)
    again, first = (written(place) for place in (tmp_path / "again.xml", gate.folder / "out.xml"))
    assert again == {name: first[name] for name in ("calm", "missed")}
    sections = (tmp_path / "again.md").read_text(encoding="utf-8").partition("\n\n###")[2]
    assert sections == gate.text("out.md").partition("\n\n###")[2]
    judged = command.squall("judge", *names, cwd=gate.folder)
    assert (judged.code, len(judged.out.splitlines())) == (told.code, 2)


def test_one_run_of_several_that_cannot_be_reported_hides_no_other(tmp_path: Path) -> None:
    """Nothing is written into a folder that is no run."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    told = command.squall("report", "one", "two", "--junit", "out.xml", cwd=tmp_path)
    assert told.code == 2
    assert told.out.splitlines()[-1].startswith("NOT RUN  0 of 2 passed, 2 not run  one: ")
    assert [s.errors for s in JUnitXml.fromfile(str(tmp_path / "out.xml"))] == [1, 1]
    assert not list((tmp_path / "one").iterdir())
    judged = command.squall("judge", "one", "two", cwd=tmp_path)
    assert judged.code == 2
    assert len(judged.err.splitlines()) == 2


def test_fail_fast_starts_nothing_beside_a_broken_file(tmp_path: Path) -> None:
    """And the file says of each scenario why it was not run."""
    write(tmp_path)
    words = ("run", "calm.yaml", "broken.yaml", "--fail-fast", "--junit", "out.xml")
    done = command.squall(*words, cwd=tmp_path)
    assert done.code == 2
    assert not (tmp_path / "runs").exists()
    suites = list(JUnitXml.fromfile(str(tmp_path / "out.xml")))
    assert [(suite.name, suite.errors) for suite in suites] == [("calm", 1), ("broken", 1)]
    assert "not started" in done.out


def test_fail_fast_stops_at_the_first_that_does_not_pass(tmp_path: Path) -> None:
    """Its target is not there, so the second is not even tried."""
    write(tmp_path)
    url = f"http://127.0.0.1:{free_port()}/mcp"
    words = ("run", "calm.yaml", "missed.yaml", "--target", url, "--quiet", "--fail-fast")
    done = command.squall(*words, cwd=tmp_path)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert url in line
    assert "not started: calm did not pass (--fail-fast)" in " ".join(done.out.split())


def test_what_takes_one_run_is_refused_for_several(tmp_path: Path) -> None:
    """Before anything is read or started."""
    write(tmp_path)
    for words in (
        ("run", "calm.yaml", "missed.yaml", "--json", "-"),
        ("judge", "a", "b", "--json"),
    ):
        done = command.squall(*words, cwd=tmp_path)
        assert done.code == 2
        assert "--json takes one run" in done.err


def test_a_scenario_that_is_refused_leaves_a_red_file(tmp_path: Path) -> None:
    """No secret of the address is in it, nor in what is said."""
    write(tmp_path)
    url = f"http://me:s3cr3t-word@127.0.0.1:{free_port()}/mcp"
    flags = ("--junit", "out.xml", "--markdown", "out.md", "--quiet")
    done = command.squall(
        "run", "calm.yaml", "--target", url, *flags, cwd=tmp_path, env=on_github(tmp_path)
    )
    assert done.code == 2
    (suite,) = JUnitXml.fromfile(str(tmp_path / "out.xml"))
    assert (suite.name, suite.errors) == ("calm", 1)
    said = [done.all, *((tmp_path / name).read_text() for name in ("out.xml", "out.md", "step.md"))]
    assert not any("s3cr3t" in text for text in said)
    assert "NOT RUN" in said[-1]
