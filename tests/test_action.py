"""The action's own shell steps, and GitLab's, far from the sources: a wheel, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from junitparser import JUnitXml
from ruamel.yaml import YAML

import harness
from tests import command
from tests.building import build
from tests.ports import free_port

ROOT: Final = Path(__file__).resolve().parent.parent
STEP_S: Final = 120
INSTALL: Final = "Install squall"
EXPRESSION: Final = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")

CALM: Final = command.STORM.partition("faults:")[0]
MISSED: Final = f"{CALM}limits:\n  answered: '>= 1%'\n  latency_p50: '<= 1us'\n"
BROKEN: Final = CALM.replace("sessions: 6", "sessions: six")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3 * STEP_S)]


@dataclass(frozen=True, kw_only=True)
class Runner:
    """What GitHub's runner is to an action: folders, files to write to, an environment."""

    folder: Path
    wheel: Path
    site: Path  # what squall needs, and no squall

    @property
    def workspace(self) -> Path:
        """Where the repository under test is checked out."""
        return self.folder / "workspace"

    @property
    def results(self) -> Path:
        """Where the action leaves what it has found."""
        return self.folder / "temp" / "squall-results"

    @property
    def squall(self) -> Path:
        """The command, once it is installed."""
        return self.folder / "temp" / "squall" / "bin" / "squall"

    def environment(self) -> dict[str, str]:
        """What every step finds; the packages are there, so that nothing is downloaded."""
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
        return kept | {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(self.workspace),
            "GITHUB_STEP_SUMMARY": str(self.folder / "summary"),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "RUNNER_TEMP": str(self.folder / "temp"),
            "PYTHONPATH": str(self.site),
            "PIP_NO_INDEX": "1",
            "PIP_NO_COMPILE": "1",
        }

    def play(self, inputs: Mapping[str, str]) -> tuple[int, str]:
        """Play the action's shell steps in order; give the code of the failed one, and the log.

        What is installed already is not installed again.
        """
        action = document(ROOT / "action.yml")
        given = {name: each.get("default", "") for name, each in action["inputs"].items()}
        known = {f"inputs.{name}": value for name, value in (given | dict(inputs)).items()}
        known["github.action_path"] = str(ROOT)
        known["steps.python.outputs.python-path"] = sys.executable
        log, ended = "", 0
        for step in action["runs"]["steps"]:
            if "run" not in step or (ended and step.get("if") != "always()"):
                continue
            if step["name"] == INSTALL and self.squall.exists():
                continue
            extra = {name: expressed(value, known) for name, value in step["env"].items()}
            code, said = self.shell(step["run"], extra)
            log += f"--- {step['name']} ---\n{said}"
            ended = ended or code
        return ended, log

    def shell(self, script: str, extra: Mapping[str, str]) -> tuple[int, str]:
        """Run a script as the runner does: from a file, with these flags of bash."""
        assert not EXPRESSION.search(script), "an input in a script is a way in for others' words"
        file = self.folder / "step.sh"
        file.write_text(script, encoding="utf-8")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)],
            cwd=self.workspace,
            env=self.environment() | dict(extra),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=STEP_S,
            check=False,
        )
        return done.returncode, done.stdout

    def output(self) -> dict[str, str]:
        """What the steps have put out."""
        lines = (self.folder / "output").read_text(encoding="utf-8").splitlines()
        return {name: value for name, _, value in (line.partition("=") for line in lines)}

    def afresh(self) -> None:
        """Empty everything but the installation."""
        for place in (self.workspace, self.results):
            shutil.rmtree(place, ignore_errors=True)
        self.workspace.mkdir()
        for name in ("summary", "output"):
            (self.folder / name).write_text("", encoding="utf-8")


def document(path: Path) -> dict[str, Any]:
    """What a YAML file holds."""
    read: dict[str, Any] = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    return read


def expressed(text: str, known: Mapping[str, str]) -> str:
    """Put values in the place of expressions; one that is not known is a mistake in the action."""
    return EXPRESSION.sub(lambda found: known[found[1]], text)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """A runner on which the action's own step has installed the wheel."""
    folder = tmp_path_factory.mktemp("runner")
    site = folder / "site"
    site.mkdir()
    for entry in Path(sysconfig.get_path("purelib")).iterdir():
        if not entry.name.startswith(("mcp_squall", "__editable__")):
            (site / entry.name).symlink_to(entry)
    (folder / "built").mkdir()
    (folder / "temp").mkdir()
    runner = Runner(folder=folder, wheel=build(folder / "built"), site=site)
    runner.afresh()
    _, log = runner.play({"version": str(runner.wheel), "args": "--help"})
    assert f"squall, version {harness.__version__}" in log, log
    return runner


@pytest.fixture
def runner(made: Runner) -> Runner:
    """The runner, with an empty workspace."""
    made.afresh()
    return made


def test_the_action_passes_what_passes(runner: Runner) -> None:
    """It installs the wheel, runs, sums up, and puts out code, verdict and results."""
    (runner.workspace / "calm.yaml").write_text(CALM, encoding="utf-8")
    inputs = {"scenarios": "*.yaml", "version": str(runner.wheel), "args": "--seed '11' --quiet"}
    code, log = runner.play(inputs)
    verdict = command.verdict_of(command.folder_of(runner.results / "runs"))
    assert verdict["seed"] == 11
    command.assert_passed(code, verdict)
    told = runner.output()
    assert told["exit-code"] == str(code)
    assert told["results"] == str(runner.results)
    assert told["verdict"] == log.splitlines()[-1]
    assert [suite.name for suite in JUnitXml.fromfile(str(runner.results / "junit.xml"))] == [
        "calm"
    ]
    summary = (runner.folder / "summary").read_text(encoding="utf-8")
    assert summary.strip() == (runner.results / "summary.md").read_text(encoding="utf-8").strip()
    assert "calm" in summary
    assert [path.name for path in runner.workspace.iterdir()] == ["calm.yaml"]


def test_the_action_fails_what_fails_and_says_where(runner: Runner) -> None:
    """A missed limit and a broken file: both told beside their lines, and no file is missing."""
    (runner.workspace / "ci").mkdir()
    (runner.workspace / "ci" / "broken.yaml").write_text(BROKEN, encoding="utf-8")
    (runner.workspace / "ci" / "missed.yaml").write_text(MISSED, encoding="utf-8")
    code, log = runner.play({"scenarios": "ci/*.yaml", "version": str(runner.wheel)})
    verdict = command.verdict_of(command.folder_of(runner.results / "runs"))
    assert code == verdict["exit_code"]
    assert code in {1, 3}, log
    assert runner.output()["exit-code"] == str(code)
    annotated = [line for line in log.splitlines() if line.startswith("::error file=")]
    line = next(n for n, text in enumerate(MISSED.splitlines(), 1) if "latency_p50" in text)
    assert any(f"file=ci/missed.yaml,line={line}," in one for one in annotated), log
    assert any("file=ci/broken.yaml,line=" in one and "whole number" in one for one in annotated)
    read = {suite.name: suite for suite in JUnitXml.fromfile(str(runner.results / "junit.xml"))}
    assert read["missed"].failures >= 1
    assert read["broken"].errors == 1
    summary = (runner.folder / "summary").read_text(encoding="utf-8")
    assert "| missed |" in summary
    assert "| broken | NOT RUN |" in summary
    lines = log.splitlines()
    assert lines[-1].split()[0] in {"FAIL", "UNKNOWN"}
    assert lines[-1] == runner.output()["verdict"]


def test_a_target_that_is_not_there_fails_the_action(runner: Runner) -> None:
    """With 2, one sentence, and a red file."""
    inputs = {"scenarios": "steady", "target": "http://127.0.0.1:9/mcp", "launch": ""}
    code, log = runner.play(inputs | {"version": str(runner.wheel), "args": "--quiet"})
    assert code == 2
    assert runner.output()["exit-code"] == "2"
    (suite,) = JUnitXml.fromfile(str(runner.results / "junit.xml"))
    assert (suite.name, suite.errors) == ("steady", 1)
    assert "NOT RUN" in (runner.folder / "summary").read_text(encoding="utf-8")
    assert "::error " in log


def test_the_template_for_gitlab_runs_as_it_stands(runner: Runner) -> None:
    """Its own lines, with the wheel and a server of squall's in the place of yours."""
    page = (ROOT / "reports" / "gate" / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## GitLab\n\n```yaml\n(.*?)```", page, re.DOTALL)
    job: dict[str, Any] = YAML(typ="safe").load(block)["squall"]
    (runner.workspace / "scenarios").mkdir()
    (runner.workspace / "scenarios" / "calm.yaml").write_text(
        CALM.replace("target: {reference: hardened}\n", ""), encoding="utf-8"
    )
    port = free_port()
    environment = {
        "CI_BUILDS_DIR": str(runner.folder / "temp"),
        "SQUALL": str(runner.wheel),
        "TARGET": f"http://127.0.0.1:{port}/mcp",
        "LAUNCH": f"{sys.executable} -m harness.reference --port {port} --no-auth --ledger l.db",
        "PYTHONPATH": f"{ROOT}{os.pathsep}{runner.site}",
        "GITHUB_ACTIONS": "",
        "GITHUB_STEP_SUMMARY": "",
    }
    assert set(job["variables"]) <= set(environment)
    code, log = runner.shell("\n".join(job["script"]), environment)
    run = command.folder_of(runner.workspace / "runs")
    command.assert_passed(code, command.verdict_of(run))
    assert "::error" not in log
    for path in (*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]):
        assert (runner.workspace / path).exists(), path
