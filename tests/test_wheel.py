"""The wheel, in an empty environment and far from the sources, is all that a user needs."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import harness
from harness.errors import Exit
from tests.building import PACKAGES, build

ROOT: Final = Path(__file__).resolve().parent.parent
SCENARIOS: Final = sorted(path.name for path in (ROOT / "scenarios").glob("*.yaml"))
COMMAND_S: Final = 60
DEMO_S: Final = 180  # the promise is 60 s, on a machine that does nothing else
INSTALL_S: Final = 600

# What a busy machine does to a run's evidence; anything else in doubt is a defect.
DISTURBED: Final = {"generator", "baseline-steady", "arms-agree", "samples", "recovery"}

# One environment serves every test here; whichever test comes first pays for it.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(INSTALL_S + DEMO_S)]


@dataclass(frozen=True, kw_only=True)
class Installation:
    """A virtual environment that holds the wheel, and a folder that holds nothing."""

    wheel: Path
    python: Path
    elsewhere: Path

    def run(self, *arguments: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
        """Run the installed command away from the sources."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            [self.python.with_name("squall"), *arguments],
            cwd=self.elsewhere,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def squall(self, *arguments: str) -> str:
        """What the installed command prints; it must end with 0."""
        done = self.run(*arguments, timeout_s=COMMAND_S)
        assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout


def runtime_packages() -> set[str]:
    """The names of all that the wheel needs, directly or not, on this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(line) for line in project["dependencies"]]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        requirement = wanted.pop()
        node = (canonicalize_name(requirement.name), frozenset(requirement.extras))
        if node in seen:
            continue
        seen.add(node)
        for line in requires(requirement.name) or ():
            needed = Requirement(line)
            extras = node[1] | {""}
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in extras):
                wanted.append(needed)
    return {name for name, _ in seen}


def runtime_lock() -> str:
    """The part of requirements.lock that a user of the wheel needs, hashes and all."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.findall(r"^\S+==.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)
    needed = runtime_packages()
    return "".join(
        entry for entry in entries if canonicalize_name(entry.partition("==")[0]) in needed
    )


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Build the wheel from a copy of the sources, and install it with what the lock says."""
    folder = tmp_path_factory.mktemp("wheel")
    wheel = build(folder)
    venv.create(folder / "venv", with_pip=True, symlinks=True)
    python = folder / "venv" / "bin" / "python"
    lock = folder / "runtime.lock"
    lock.write_text(runtime_lock(), encoding="utf-8")
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    for arguments in (
        ["install", "--no-deps", "--require-hashes", "--requirement", str(lock)],
        ["install", "--no-deps", "--no-index", str(wheel)],
        ["check"],  # nothing that the wheel's own metadata asks for is missing
    ):
        subprocess.run([*pip, *arguments], check=True, timeout=INSTALL_S)
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    yield Installation(wheel=wheel, python=python, elsewhere=elsewhere)
    shutil.rmtree(folder)  # a few hundred megabytes that nobody looks at


def test_the_wheel_holds_the_code_and_the_scenarios_and_no_tests(
    installation: Installation,
) -> None:
    """What is shipped is what a user runs, with the markers that let mypy see the types."""
    names = zipfile.ZipFile(installation.wheel).namelist()
    shipped = {name for name in names if ".dist-info/" not in name}
    there = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.name != "README.md"  # a folder's page is for readers of the sources
    }
    assert {"harness/py.typed", "faults/py.typed", "reports/py.typed"} <= there
    assert shipped == there
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_installed_command_says_its_version(installation: Installation) -> None:
    """The version comes from the one place that holds it."""
    assert harness.__version__ in installation.squall("--version")
    assert f"-{harness.__version__}-" in installation.wheel.name


def test_the_installed_command_lists_and_copies_the_scenarios(installation: Installation) -> None:
    """The shipped scenarios come out byte for byte, and each is one that squall accepts."""
    assert len(SCENARIOS) >= 8
    listed = installation.squall("scenarios")
    assert [name for name in SCENARIOS if Path(name).stem not in listed] == []
    installation.squall("scenarios", "--copy", "mine")
    copies = {path.name: path for path in (installation.elsewhere / "mine").iterdir()}
    assert sorted(copies) == SCENARIOS
    for name, path in copies.items():
        assert path.read_bytes() == (ROOT / "scenarios" / name).read_bytes()
    installation.squall("check", *(str(path) for path in copies.values()))


def test_the_installed_demo_ends_with_a_verdict_and_a_page(installation: Installation) -> None:
    """The demo passes far from the sources, and leaves a run that can be read.

    On a machine that is busy with something else squall rightly withholds its verdict; then neither
    can this test tell, which says so. A sound server never fails, however busy the machine.
    """
    done = installation.run("demo", "--quiet", "--out", "demo", timeout_s=DEMO_S)
    (run,) = (installation.elsewhere / "demo").iterdir()
    verdict = json.loads((run / "verdict.json").read_text(encoding="utf-8"))
    assert verdict["exit_code"] == done.returncode
    assert (run / "report.html").stat().st_size > 0
    last = done.stdout.strip().splitlines()[-1]
    if done.returncode == Exit.UNKNOWN:
        doubtful = {found["name"] for found in verdict["soundness"] if found["ruling"] != "pass"}
        doubtful |= {limit["name"] for limit in verdict["limits"] if limit["ruling"] == "unknown"}
        assert doubtful, done.stdout
        assert doubtful <= DISTURBED, done.stdout
        pytest.skip(f"this machine is too busy for a verdict: {last}")
    assert (done.returncode, verdict["ruling"]) == (0, "pass"), done.stdout + done.stderr
    assert last.startswith("PASS")
