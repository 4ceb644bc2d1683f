"""What the pages promise, compared with what squall is and does."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest

from faults.catalogue import CATALOGUE
from harness.errors import Exit
from harness.scenario.load import load_text
from harness.score import WEIGHTS

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")
LINES_MAX: Final = 150


def page(name: str) -> str:
    """What one of the project's pages says."""
    return (ROOT / name).read_text(encoding="utf-8")


def rows(name: str, first: str) -> list[list[str]]:
    """The cells of the table whose first heading is `first`, without the heading."""
    table = re.search(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", page(name), re.MULTILINE)
    assert table, f"{name} has no table that begins with {first}"
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in table[1].splitlines()]


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)


def test_the_table_of_faults_is_the_catalogue() -> None:
    """Each fault, its lever and the first line of what it says of itself, in order."""
    catalogue = [
        [f"`{kind}`", fault.lever, (fault.__doc__ or "").strip().splitlines()[0]]
        for kind, fault in CATALOGUE.items()
    ]
    assert rows("faults/README.md", "fault") == catalogue


def test_the_table_of_exit_codes_is_complete() -> None:
    """A pipeline's author finds every code that squall can end with."""
    assert [int(row[0]) for row in rows("README.md", "code")] == [int(code) for code in Exit]


def test_the_table_of_the_score_has_the_weights_that_are_used() -> None:
    """What a reader is told about the score's parts is how it is made."""
    table = {row[0].split()[0]: float(row[2]) for row in rows("README.md", "part")}
    assert table == dict(WEIGHTS)


def said(*arguments: str) -> str:
    """What the command line says of itself."""
    command = [sys.executable, "-m", "harness", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def test_each_command_and_option_that_is_named_exists() -> None:
    """A reader types what the README says, and it is understood."""
    commands = set(re.findall(r"^  ([a-z]+)  ", said("--help"), re.MULTILINE))
    shell = "".join(blocks("README.md", "sh"))
    named = set(re.findall(r"^squall ([a-z]+)", shell, re.MULTILINE))
    named |= set(re.findall(r"`squall ([a-z]+)", page("README.md")))
    assert {"demo", "run"} <= named
    assert named - commands == set()
    told = "run capacity compare report shrink scenarios selftest toxiproxy recover"
    help_texts = [said(one, "--help") for one in told.split()]
    options = set(re.findall(r"--[a-z][a-z-]*", "".join(help_texts)))
    ours = re.sub(r"docker compose [^`\n]*", "", page("README.md"))
    assert set(re.findall(r"--[a-z][a-z-]*", ours)) - options == set()


@pytest.mark.parametrize("number", range(len(blocks("README.md", "yaml"))))
def test_the_example_is_a_scenario_that_squall_accepts(number: int) -> None:
    """What a reader copies works, and it shows a fault and a limit."""
    loaded = load_text(blocks("README.md", "yaml")[number], "example.yaml")
    assert loaded.scenario.faults
    assert loaded.scenario.limits.answered


def test_the_readme_has_an_example() -> None:
    """The test above would be quiet about a README without one."""
    assert len(blocks("README.md", "yaml")) == 1


def test_the_readme_can_be_read_at_a_sitting() -> None:
    """What does not fit belongs to another page."""
    assert len(page("README.md").splitlines()) <= LINES_MAX


def pipe() -> list[str]:
    """The layers of the pipe, uppermost first, as the import linter checks them."""
    document = tomllib.loads(page("pyproject.toml"))
    contracts = document["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["id"] == "pipe"]
    return [re.sub(r"[()]|harness\.", "", layer) for layer in layers]


def test_the_layers_that_are_drawn_are_the_ones_that_are_checked() -> None:
    """Who may import whom reads the same for people as for the linter."""
    (drawn,) = re.findall(
        r"make lint` checks it\.\n\n```\n(.*?)```", page("ARCHITECTURE.md"), re.DOTALL
    )
    assert drawn.splitlines() == pipe()


def test_each_module_of_the_pipe_is_listed() -> None:
    """A reader of the table meets every module, in the order of the layers."""
    modules = [name for layer in pipe() for name in layer.split(" | ")]
    there = [f"`{name}`" for name in modules if (ROOT / "harness" / f"{name}.py").is_file()]
    assert [row[0] for row in rows("ARCHITECTURE.md", "module")] == there


def test_each_place_that_is_described_exists() -> None:
    """And each folder of code below the top two levels is described."""
    places = {row[0].strip("`/") for row in rows("ARCHITECTURE.md", "where")}
    assert [place for place in places if not (ROOT / place).is_dir()] == []
    folders = {
        path.parent.relative_to(ROOT).as_posix() for path in ROOT.glob("harness/*/__init__.py")
    }
    assert folders - places == set()


@pytest.mark.parametrize("name", PAGES)
def test_a_link_between_pages_leads_somewhere(name: str) -> None:
    """Every relative link is a file of the project."""
    links = re.findall(r"\]\(([^)#:]+)\)", page(name))
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("name", PAGES)
def test_a_make_target_that_is_named_exists(name: str) -> None:
    """`make WORD` in the text is one of the Makefile's targets."""
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", page(name), re.MULTILINE))
    assert named - set(re.findall(r"^([a-z]+):", page("Makefile"), re.MULTILINE)) == set()
