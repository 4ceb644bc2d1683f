"""What linters cannot see: names, lengths, traces of one machine, tests that promise nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent
CODE: Final = ("harness", "faults", "reports", "tests")
PLACES: Final = (*CODE, "scenarios", ".ci")

LINES_MAX: Final = 400
TEST_LINES_MAX: Final = 600  # a list of cases is read one case at a time
# path: why it is one idea all the same
LONGER: Final[dict[str, str]] = {
    "harness/rig/toxiproxy.py": "the one typed face of an untyped library, errors and gaps and all",
    "harness/session/life.py": "one agent's life is one state machine, and its states share it",
}

FORBIDDEN: Final = {
    *("base", "common", "core", "data", "handler", "helper", "helpers", "info"),
    *("manager", "misc", "models", "types", "util", "utils"),
}
# A class may end in a word of the domain that is forbidden alone, as LimitData does.
VAGUE_ENDINGS: Final = FORBIDDEN - {"data"}
# Written in pieces, for this file is read as well.
MARKS: Final = ("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")
MACHINE: Final = re.compile(r"(?<![\w.~}])/(?:work|root|home|Users|opt/wheels|tmp/w)/")
REGISTRIES: Final = re.compile(
    "|".join(
        re.escape(first + "." + last)
        for first, last in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("npmjs", "org"),
            ("npmjs", "com"),
            ("crates", "io"),
            ("golang", "org"),
            ("maven", "org"),
            ("debian", "org"),
            ("docker", "io"),
            ("ghcr", "io"),
        )
    )
)
ELSEWHERE: Final = re.compile(r"DESIGN(?:\.md| §)|\b(?:style|engine|scoring|peers|mcp|faults) §\d")
EXCUSE: Final = re.compile(
    r"#\s*(?:noqa: |type: ignore\[)(?P<codes>[A-Za-z0-9, -]+?)(?:\]|\s|$)\s*(?P<why>.*)"
)
# A figure beside what it is compared with, such as a status code, says itself.
PLAIN: Final = "PLR2004"
NOT_TEXT: Final = {".png", ".pyc", ".gz", ".whl", ".hlog", ".db"}


def files() -> Iterator[Path]:
    """Every file of the project's own, whether or not it is committed yet."""
    for path in ROOT.iterdir():
        if path.is_file():
            yield path
    for place in PLACES:
        for path in (ROOT / place).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in NOT_TEXT:
                yield path


def name(path: Path) -> str:
    """The path as the project says it."""
    return path.relative_to(ROOT).as_posix()


ALL: Final = sorted(name(path) for path in files())
MODULES: Final = [path for path in ALL if path.endswith(".py") and path.split("/")[0] in CODE]
TESTS_AND_AIDS: Final = [path for path in MODULES if path.startswith("tests/")]
TESTS: Final = [path for path in MODULES if path.split("/")[-1].startswith("test_")]


def text(path: str) -> str:
    """What the file says."""
    return (ROOT / path).read_text(encoding="utf-8")


def lines_with(path: str, pattern: re.Pattern[str]) -> list[str]:
    """The lines that match, each with its place."""
    return [
        f"{path}:{number}: {line.strip()}"
        for number, line in enumerate(text(path).splitlines(), 1)
        if pattern.search(line)
    ]


def words(class_name: str) -> list[str]:
    """The words of a CamelCase name, in lower case."""
    return [
        word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[a-z0-9]+", class_name)
    ]


def test_the_walk_sees_the_whole_project() -> None:
    """Every other test here is worth what the list of files is worth."""
    assert {"Makefile", "pyproject.toml", ".ci/run", "harness/__init__.py"} <= set(ALL)
    assert len(MODULES) > 30
    assert "tests/test_tidy.py" in TESTS


@pytest.mark.parametrize("path", MODULES)
def test_a_module_is_named_after_what_is_in_it(path: str) -> None:
    """No drawer for everything: neither a folder, a module nor a class."""
    assert not FORBIDDEN & set(Path(path).with_suffix("").parts), "name it after what it holds"
    vague = []
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.ClassDef):
            parts = words(node.name)
            if parts[-1] in VAGUE_ENDINGS or (len(parts) == 1 and parts[0] in FORBIDDEN):
                vague.append(f"{path}:{node.lineno}: {node.name}")
    assert vague == []


@pytest.mark.parametrize("path", MODULES)
def test_a_module_is_short_enough_to_read_at_once(path: str) -> None:
    """Four hundred lines, and an exception that is no longer needed is taken back."""
    count = len(text(path).splitlines())
    allowed = TEST_LINES_MAX if path in TESTS_AND_AIDS else LINES_MAX
    if path in LONGER:
        assert count > allowed, f"{path} has {count} lines and needs no exception any more"
    else:
        assert count <= allowed, f"{path} has {count} lines; split it, or say in LONGER why not"


def test_exceptions_are_for_modules_that_exist() -> None:
    """An exception goes with its module, and says why."""
    assert set(LONGER) <= set(MODULES)
    assert all(why.strip() for why in LONGER.values())


@pytest.mark.parametrize("path", ALL)
def test_a_file_knows_no_machine_and_no_registry(path: str) -> None:
    """What is committed works anywhere, and takes its packages from wherever the user does."""
    assert lines_with(path, MACHINE) == []
    assert lines_with(path, REGISTRIES) == []


@pytest.mark.parametrize("path", ALL)
def test_a_file_leaves_nothing_for_later_and_refers_to_nothing_outside(path: str) -> None:
    """Work that is left is an issue, and every text that is named can be read here."""
    assert lines_with(path, re.compile(rf"\b(?:{'|'.join(MARKS)})\b")) == []
    assert lines_with(path, ELSEWHERE) == []


@pytest.mark.parametrize("path", MODULES)
def test_an_exception_to_a_rule_says_why(path: str) -> None:
    """A rule is switched off for a reason: on that line, above it, or where it first was."""
    lines = ["", *text(path).splitlines()]
    explained = {PLAIN}
    silent = []
    for number, line in enumerate(lines):
        excuse = EXCUSE.search(line)
        if excuse is None:
            continue
        if excuse["why"].strip(" -") or lines[number - 1].strip().startswith("#"):
            explained.add(excuse["codes"].strip())
        elif "type: ignore[" in line and path in TESTS_AND_AIDS:
            continue  # a test may hand over what the types forbid: that is its point
        elif excuse["codes"].strip() not in explained:
            silent.append(f"{path}:{number}: {line.strip()}")
    assert silent == []


@pytest.mark.parametrize("path", TESTS)
def test_a_test_is_a_sentence_with_a_promise(path: str) -> None:
    """The name is a sentence about behaviour, and the docstring says which promise is kept."""
    mute = []
    for node in ast.walk(ast.parse(text(path))):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_"):
            sentence = len(node.name.split("_")) > 3
            if not sentence or not ast.get_docstring(node):
                mute.append(f"{path}:{node.lineno}: {node.name}")
    assert mute == []


@pytest.mark.parametrize("path", TESTS)
def test_a_folder_of_tests_is_a_package(path: str) -> None:
    """So two folders may hold test files of one name, and none is silently skipped."""
    folder = (ROOT / path).parent
    assert (folder / "__init__.py").is_file(), f"{name(folder)} lacks __init__.py"


def test_an_ignored_rule_of_the_linter_has_its_reason() -> None:
    """In pyproject.toml each line that switches rules off ends in a comment."""
    start = r'(?:^ignore|^"tests/\*\*") = \[\n'
    blocks = re.findall(start + r"(.*?)^\]", text("pyproject.toml"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert [line for block in blocks for line in block.splitlines() if "#" not in line] == []
