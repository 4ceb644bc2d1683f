"""What linters cannot see: names, lengths, traces of one machine, tests that promise nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
CODE: Final = ("harness", "faults", "reports", "tests")
PLACES: Final = (*CODE, "scenarios", ".ci")

LINES_MAX: Final = 400
TEST_LINES_MAX: Final = 600  # a list of cases is read one case at a time
# path: why it is one idea all the same
LONGER: Final[dict[str, str]] = {}

FORBIDDEN: Final = {
    *("base", "common", "core", "data", "handler", "helper", "helpers", "info"),
    *("manager", "misc", "models", "types", "util", "utils"),
}
# A class may end in a word of the domain that is forbidden alone, as LimitData does.
VAGUE_ENDINGS: Final = FORBIDDEN - {"data"}
# Written in pieces, for this file is read as well.
LATER: Final = re.compile(rf"\b(?:{'TO' + 'DO'}|{'FIX' + 'ME'}|{'X' * 3}|{'HA' + 'CK'})\b")
SHORTEST_SENTENCE: Final = 3  # test_it_works says nothing
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


def vague_names(path: str) -> list[str]:
    """Folders, modules and classes named for being a drawer of things."""
    found = [f"{path}: {part}" for part in Path(path).with_suffix("").parts if part in FORBIDDEN]
    for node in ast.walk(ast.parse(text(path))):
        if isinstance(node, ast.ClassDef):
            parts = words(node.name)
            if parts[-1] in VAGUE_ENDINGS or (len(parts) == 1 and parts[0] in FORBIDDEN):
                found.append(f"{path}:{node.lineno}: {node.name}")
    return found


def silent_excuses(path: str) -> list[str]:
    """Rules switched off without a reason: on the line, above it, or where that first happened."""
    lines = ["", *text(path).splitlines()]
    explained = {PLAIN}
    found = []
    for number, line in enumerate(lines):
        excuse = EXCUSE.search(line)
        if excuse is None:
            continue
        if excuse["why"].strip(" -") or lines[number - 1].strip().startswith("#"):
            explained.add(excuse["codes"].strip())
        elif "type: ignore[" in line and path.startswith("tests/"):
            continue  # a test may hand over what the types forbid: that is its point
        elif excuse["codes"].strip() not in explained:
            found.append(f"{path}:{number}: {line.strip()}")
    return found


def mute_tests(path: str) -> list[str]:
    """Tests whose name is no sentence, or that do not say which promise they keep."""
    return [
        f"{path}:{node.lineno}: {node.name}"
        for node in ast.walk(ast.parse(text(path)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and (len(node.name.split("_")) <= SHORTEST_SENTENCE or not ast.get_docstring(node))
    ]


def test_the_patterns_find_what_they_are_for() -> None:
    """A search that finds nothing is worth something only if it could have found something."""
    assert MACHINE.search("open('/" + "root/x')")
    assert not MACHINE.search("https://example.test/home/page")
    assert REGISTRIES.search("https://" + "pypi" + ".org/simple")
    assert LATER.search("# TO" + "DO: later")
    assert ELSEWHERE.search("as DESIGN" + ".md says")
    assert words("HTTPThingManager") == ["http", "thing", "manager"]


def test_modules_and_classes_are_named_after_what_is_in_them() -> None:
    """No drawer for everything: neither a folder, a module nor a class."""
    assert [found for path in MODULES for found in vague_names(path)] == []


def test_modules_are_short_enough_to_read_at_once() -> None:
    """Four hundred lines, and an exception that is no longer needed is taken back."""
    wrong = []
    for path in MODULES:
        count = len(text(path).splitlines())
        allowed = TEST_LINES_MAX if path.startswith("tests/") else LINES_MAX
        if count > allowed and path not in LONGER:
            wrong.append(f"{path} has {count} lines: split it, or say in LONGER why not")
        if count <= allowed and path in LONGER:
            wrong.append(f"{path} has {count} lines: take it out of LONGER")
    assert wrong == []
    assert set(LONGER) <= set(MODULES)


def test_files_know_no_machine_and_no_registry() -> None:
    """What is committed works anywhere, and takes its packages from wherever the user does."""
    assert [line for path in ALL for line in lines_with(path, MACHINE)] == []
    assert [line for path in ALL for line in lines_with(path, REGISTRIES)] == []


def test_files_leave_nothing_for_later_and_refer_to_nothing_outside() -> None:
    """Work that is left is an issue, and every text that is named can be read here."""
    assert [line for path in ALL for line in lines_with(path, LATER)] == []
    assert [line for path in ALL for line in lines_with(path, ELSEWHERE)] == []


def test_an_exception_to_a_rule_says_why() -> None:
    """A rule is switched off in one place, for a reason that stands there."""
    assert [found for path in MODULES for found in silent_excuses(path)] == []


def test_tests_are_sentences_with_a_promise() -> None:
    """The name is a sentence about behaviour, and the docstring says which promise is kept."""
    assert [found for path in TESTS for found in mute_tests(path)] == []


def test_folders_of_tests_are_packages() -> None:
    """So two folders may hold test files of one name, and none is silently skipped."""
    folders = {(ROOT / path).parent for path in TESTS}
    assert [name(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_an_ignored_rule_of_the_linter_has_its_reason() -> None:
    """In pyproject.toml each line that switches rules off ends in a comment."""
    start = r'(?:^ignore|^"tests/\*\*") = \[\n'
    blocks = re.findall(start + r"(.*?)^\]", text("pyproject.toml"), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    assert [line for block in blocks for line in block.splitlines() if "#" not in line] == []
