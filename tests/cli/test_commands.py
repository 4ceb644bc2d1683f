"""What each command says, on 80 columns, without any traffic."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import click
import pytest

import harness
from faults.catalogue import CATALOGUE
from harness.cli import COMMANDS, cli
from harness.cli import run as run_here
from scenarios import shipped
from tests import command

pytestmark = pytest.mark.timeout(60)

OURS: Final = [name for name, module in COMMANDS.items() if module != "parts"]
PARTS: Final = [name for name, module in COMMANDS.items() if module == "parts"]


def said(folder: Path, *words: str, code: int = 0) -> str:
    """What a command prints: nothing wider than 80 columns, and nothing coloured."""
    done = command.squall(*words, cwd=folder)
    assert done.code == code, done.all
    assert "Traceback" not in done.all
    assert "\x1b" not in done.all
    return done.out


def widest(text: str) -> int:
    """The columns of the widest line."""
    return max(len(line) for line in text.splitlines())


@pytest.mark.parametrize("name", OURS)
def test_each_command_explains_itself(name: str, tmp_path: Path) -> None:
    """With what it is for, its flags, and an example."""
    text = said(tmp_path, name, "--help")
    assert text.startswith(f"Usage: squall {name}")
    assert "Example: squall" in text
    assert widest(text) <= 80
    assert text == said(tmp_path, name, "-h")


@pytest.mark.parametrize("name", OURS)
def test_each_example_is_one_that_the_command_takes(name: str) -> None:
    """With flags that there are, and words that it reads."""
    given = cli.get_command(click.Context(cli), name)
    assert given is not None
    examples = re.findall(r"Example: squall ([^\n]+)", given.epilog or "")
    assert examples
    for first, *words in map(shlex.split, examples):
        assert first == name
        with given.make_context(name, words[: words.index(">") if ">" in words else None]):
            pass


@pytest.mark.parametrize("name", PARTS)
def test_each_part_of_the_rig_explains_itself(name: str, tmp_path: Path) -> None:
    """By its own help, since it runs alone; an example too."""
    text = said(tmp_path, name, "--help").lower()
    assert text.startswith(f"usage: squall {name} ")
    assert f"squall {name} --port" in text[text.index("example:") :]


def test_help_names_every_command_and_how_to_start(tmp_path: Path) -> None:
    """Without a command the same text, and exit 2: nothing was run."""
    text = said(tmp_path, "--help")
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", text, re.MULTILINE)
    assert "..." not in text.partition("Commands:")[2]
    assert "Start with: squall demo" in text
    assert widest(text) <= 80
    assert said(tmp_path, code=2) == text


def test_the_version_is_the_packages(tmp_path: Path) -> None:
    """In a form that a script can read."""
    assert harness.__version__ in said(tmp_path, "--version")


def test_an_unknown_command_is_refused(tmp_path: Path) -> None:
    """With exit 2."""
    done = command.squall("strom", cwd=tmp_path)
    assert done.code == 2
    assert "strom" in done.err
    assert "Did you mean run?" in command.squall("rnu", cwd=tmp_path).err


def test_faults_are_listed_and_explained(tmp_path: Path) -> None:
    """The table names each; each explains its parameters and what it finds."""
    table = said(tmp_path, "faults")
    assert widest(table) <= 80
    for name in CATALOGUE:
        assert f"\n{name} " in table
    for name, fault in CATALOGUE.items():
        text = said(tmp_path, "faults", name) if name in {"tcp-latency", "token-expire"} else ""
        if text:
            assert widest(text) <= 80
            assert all(finding in text for finding in fault.shows)
            assert "parameters:" in text


def test_faults_as_json_hold_the_whole_catalogue(tmp_path: Path) -> None:
    """For other programs."""
    listed = json.loads(said(tmp_path, "faults", "--json"))
    assert [one["fault"] for one in listed] == list(CATALOGUE)
    (one,) = json.loads(said(tmp_path, "faults", "--json", "tcp-latency"))
    assert one["lever"] == "network"
    assert {"name", "default", "meaning"} <= one["parameters"][0].keys()


def test_an_unknown_fault_is_refused(tmp_path: Path) -> None:
    """In one sentence."""
    done = command.squall("faults", "tcp-lag", cwd=tmp_path)
    assert done.code == 2
    (line,) = done.err.splitlines()
    assert "'tcp-lag'" in line
    assert "did you mean tcp-latency?" in command.squall("faults", "tcp-latncy", cwd=tmp_path).err


def test_scenarios_are_listed_and_copied_and_the_copies_are_right(tmp_path: Path) -> None:
    """Nothing is overwritten; what was copied passes `check`."""
    text = said(tmp_path, "scenarios")
    assert widest(text) <= 80
    for name in shipped():
        assert re.search(rf"^{name} ", text, re.MULTILINE)
    copied = said(tmp_path, "scenarios", "--copy", "mine").split()
    assert sorted(copied) == sorted(f"mine/{path.name}" for path in shipped().values())
    (tmp_path / "mine" / "steady.yaml").write_text("changed", encoding="utf-8")
    done = command.squall("scenarios", "--copy", "mine", cwd=tmp_path)
    assert done.code == 2
    assert (tmp_path / "mine" / "steady.yaml").read_text(encoding="utf-8") == "changed"
    copied.remove("mine/steady.yaml")
    said(tmp_path, "check", *copied)


def test_check_prints_the_plan_by_file_or_by_name(tmp_path: Path) -> None:
    """And starts nothing."""
    text = said(tmp_path, "check", "first_storm")
    assert "tcp-latency" in text
    assert widest(text) <= 80
    assert not list(tmp_path.iterdir())


def test_check_tells_every_mistake_of_every_file(tmp_path: Path) -> None:
    """The right file is planned nevertheless; exit 2."""
    wrong = command.STORM.replace("sessions: 6", "sessions: six").replace("60ms", "60")
    (tmp_path / "wrong.yaml").write_text(wrong, encoding="utf-8")
    (tmp_path / "right.yaml").write_text(command.STORM, encoding="utf-8")
    done = command.squall("check", "wrong.yaml", "right.yaml", cwd=tmp_path)
    assert done.code == 2
    assert len([line for line in done.err.splitlines() if line.startswith("wrong.yaml:")]) == 2
    assert "tcp-latency" in done.out


def test_check_warns_of_a_limit_that_its_watch_leaves_no_room_for(tmp_path: Path) -> None:
    """At its place and with the mend, which holds; it is no mistake, so exit 0."""
    limits = 'limits: {recovery: "<= 4s"}'
    tight = command.STORM.replace('limits: {answered: ">= 99%"}', limits)
    (tmp_path / "tight.yaml").write_text(tight, encoding="utf-8")
    done = command.squall("check", "tight.yaml", cwd=tmp_path)
    assert done.code == 0
    line = tight.count("\n")
    assert done.err.startswith(f"tight.yaml:{line}:20: warning: limits.recovery: a watch of 2s")
    (mend,) = re.findall(r"write phases: \{(recovery: \w+)\}", done.err)
    (tmp_path / "tight.yaml").write_text(tight.replace("recovery: 2s", mend), encoding="utf-8")
    again = command.squall("check", "tight.yaml", cwd=tmp_path)
    assert (again.code, again.err) == (0, "")


def test_check_warns_of_a_phase_with_too_few_calls_for_a_verdict(tmp_path: Path) -> None:
    """Before a run that could only end in unknown; what it writes holds, and exit 0 either way."""
    few = command.STORM.replace("pace: 8/s", "pace: 1/s").replace("recovery: 2s", "recovery: 10s")
    (tmp_path / "few.yaml").write_text(few, encoding="utf-8")
    done = command.squall("check", "few.yaml", cwd=tmp_path)
    assert done.code == 0
    assert re.match(r"few.yaml:\d+:\d+: warning: phases.baseline: 9 calls of the treated", done.err)
    (mend,) = re.findall(r"write phases: \{(baseline: \w+)\}", done.err)
    (tmp_path / "few.yaml").write_text(few.replace("baseline: 3s", mend), encoding="utf-8")
    again = command.squall("check", "few.yaml", cwd=tmp_path)
    assert (again.code, again.err) == (0, "")


def test_a_run_whose_scenario_can_no_longer_be_read_says_whose_it_was(tmp_path: Path) -> None:
    """The file in its folder is named, not the one that it was copied from."""
    run = tmp_path / "run"
    run.mkdir()
    (run / "scenario.yaml").write_text(command.STORM.replace("load:", "loads:"), encoding="utf-8")
    for by, told in (("0.0.1", "squall 0.0.1 wrote it"), (harness.__version__, "was changed")):
        facts = {"squall": by, "file": "storm.yaml"}
        (run / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        done = command.squall("judge", "run", cwd=tmp_path)
        assert done.code == 2
        assert done.err.startswith("squall: run/scenario.yaml:15:1: loads: expected a known key")
        assert told in done.err


def test_the_schema_is_json_and_knows_every_fault(tmp_path: Path) -> None:
    """For editors."""
    text = said(tmp_path, "schema")
    assert "$schema" in json.loads(text)
    for name in CATALOGUE:
        assert f'"{name}"' in text


@pytest.mark.parametrize("name", ["judge", "report", "export", "shrink"])
def test_a_folder_that_is_no_run_is_refused(name: str, tmp_path: Path) -> None:
    """Missing, empty, or with a journal cut to pieces: one sentence and exit 2."""
    (tmp_path / "empty").mkdir()
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "facts.json").write_text("{", encoding="utf-8")
    half = tmp_path / "half"
    half.mkdir()
    (half / "facts.json").write_text("{}", encoding="utf-8")
    (half / "scenario.yaml").write_text(command.STORM, encoding="utf-8")
    noise = tmp_path / "noise"
    noise.mkdir()
    for file in ("facts.json", "scenario.yaml", "journal.jsonl", "calls.npy"):
        (noise / file).write_bytes(b"\xff\xfe\x00 no such thing")
    for folder in ("missing", "empty", "broken", "half", "noise"):
        done = command.squall(name, folder, cwd=tmp_path)
        assert done.code == 2, (folder, done.all)
        assert done.out == ""
        assert "Traceback" not in done.err
        (line,) = done.err.splitlines()
        assert folder in line


def test_a_reader_that_goes_away_is_no_defect(tmp_path: Path) -> None:
    """As in `squall schema | head -1`."""
    with command.start("schema", cwd=tmp_path) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        said_wrong = process.stderr.read()
    assert "defect" not in said_wrong
    assert "Traceback" not in said_wrong


def test_a_result_that_nobody_reads_to_its_end_keeps_its_exit_code() -> None:
    """`squall judge RUN --json | head -1` is 0 of a run that passed, and no failure of it."""
    script = (
        "from harness.cli.conducting import print_result\n"
        "print_result('line\\n' * 100_000, piped=False)\n"
        "print('and more')\n"
    )
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "wb") as out:
        os.close(ours)
        done = subprocess.run(
            [sys.executable, "-c", script],
            stdout=out,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
            cwd=command.ROOT,
        )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, command.Done]:
    """A run whose verdict goes to standard output, on a terminal of 200 columns."""
    folder = tmp_path_factory.mktemp("ran")
    text = command.STORM.partition("faults:")[0] + 'limits: {answered: ">= 99%"}\n'
    (folder / "steady.yaml").write_text(text, encoding="utf-8")
    words = ("run", "steady.yaml", "--json", "-", "--junit", "out.xml")
    return folder, command.squall(*words, cwd=folder, env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.mark.slow
def test_json_on_standard_output_is_json_and_nothing_else(ran: tuple[Path, command.Done]) -> None:
    """The result for people goes to the other stream, so that a pipe can be parsed."""
    folder, done = ran
    run = command.folder_of(folder / "runs")
    assert json.loads(done.out) == command.verdict_of(run)
    assert "score" in done.err
    assert (folder / "out.xml").read_text(encoding="utf-8") == (run / "junit.xml").read_text(
        encoding="utf-8"
    )


@pytest.mark.slow
def test_a_result_fits_on_a_narrow_screen_and_the_verdict_comes_last(
    ran: tuple[Path, command.Done],
) -> None:
    """80 columns, no colour in a pipe; the last line begins with the ruling."""
    folder, done = ran
    assert "\x1b" not in done.all
    run = command.folder_of(folder / "runs").relative_to(folder)
    env = {"COLUMNS": "80", "NO_COLOR": "1"}
    told = command.squall("report", str(run), cwd=folder, env=env)
    # Commands to be copied are not broken.
    lines = [line for line in told.out.splitlines() if str(run) not in line]
    assert max(len(line) for line in lines) <= 80
    assert told.out.splitlines()[-1].split()[0] in {"PASS", "UNKNOWN"}
    judged = command.squall("judge", str(run), cwd=folder)
    assert judged.out.strip() == told.out.splitlines()[-1].strip()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_run_is_written_as_tables(
    ran: tuple[Path, command.Done], capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside its other files, each named as it is written; not where nothing can be."""
    folder, _ = ran
    run = command.folder_of(folder / "runs").relative_to(folder)
    told = command.squall("export", str(run), "--format", "csv", cwd=folder)
    assert told.code == 0, told.all
    first = told.out.splitlines()[0]
    assert first.startswith(f"{run}/tables/calls.csv  ")
    calls = (folder / run / "tables" / "calls.csv").read_text(encoding="utf-8")
    assert f"  {len(calls.splitlines()) - 1} rows, " in first
    out = str(folder / "steady.yaml" / "tables")
    assert run_here(["export", str(folder / run), "--format", "csv", "--out", out]) == 2
    assert "name another with --out" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_report_is_opened_in_a_browser_or_its_path_is_said(
    ran: tuple[Path, command.Done], tmp_path: Path
) -> None:
    """The browser that the user names, and none where there is none."""
    folder, _ = ran
    run = command.folder_of(folder / "runs")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened\n', encoding="utf-8")
    browser.chmod(0o755)
    page = run.resolve() / "report.html"
    told = command.squall("report", str(run), "--open", cwd=folder, env={"BROWSER": str(browser)})
    assert (tmp_path / "opened").read_text(encoding="utf-8").strip() == page.as_uri()
    assert "no browser" not in told.err
    nowhere = {"BROWSER": "", "DISPLAY": "", "WAYLAND_DISPLAY": "", "PATH": str(tmp_path / "none")}
    told = command.squall("report", str(run), "--open", cwd=folder, env=nowhere)
    assert f"no browser was found here; open {page}" in told.err
    assert "Traceback" not in told.err


def test_a_terminal_without_colour_gets_none(
    ran: tuple[Path, command.Done], tmp_path: Path
) -> None:
    """NO_COLOR holds on a terminal too; without it there is colour."""
    folder, _ = ran
    run = command.folder_of(folder / "runs")
    for variables, coloured in (({"NO_COLOR": "1"}, False), ({}, True)):
        shown = _on_terminal(run, variables, tmp_path)
        assert ("\x1b[" in shown) is coloured


def _on_terminal(run: Path, variables: dict[str, str], cwd: Path) -> str:
    """What `report` writes to a terminal."""
    ours, theirs = os.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "CI"}}
    environment |= {"PYTHONPATH": str(command.ROOT), "TERM": "xterm-256color", **variables}
    with subprocess.Popen(
        [command.PYTHON, "-m", "harness", "report", str(run)],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end has gone
                break
            if not piece:
                break
            shown += piece
        process.wait(timeout=command.COMMAND_S)
    os.close(ours)
    return shown.decode()
