"""Who may import whom, as pyproject.toml says it: kept, complete, and able to fail."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from importlib.metadata import files, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("harness", "faults", "reports")
LINT_S: Final = 60


def contracts() -> list[dict[str, object]]:
    """The contracts as they are configured."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, object]] = document["tool"]["importlinter"]["contracts"]
    return found


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the contracts over the packages in a folder."""
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LINT_S,
        check=False,
    )


def test_every_import_goes_the_way_of_the_pipe() -> None:
    """All contracts hold over the tree as it is."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("contract", "package"),
    [
        ("pipe", "harness"),
        ("running", "harness.running"),
        ("journal", "harness.journal"),
        ("evidence", "harness.evidence"),
    ],
)
def test_every_module_has_its_place(contract: str, package: str) -> None:
    """A new one is put into a layer, or it could import anything."""
    (held,) = [one for one in contracts() if one["id"] == contract]
    placed = set(re.findall(rf"{re.escape(package)}\.(\w+)", str(held["layers"])))
    there = {
        path.stem
        for path in (ROOT / package.replace(".", "/")).iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert there - placed - {"__init__"} == set()


def imported(*packages: str) -> set[str]:
    """The modules of others that the code of some packages imports, at run time or for types."""
    names = set()
    for package in packages:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module)
    ours = {*sys.stdlib_module_names, *PACKAGES, "scenarios", "tests"}
    return {name for name in names if name.partition(".")[0] not in ours}


def distribution(module: str, origin: Mapping[str, Sequence[str]]) -> str:
    """The distribution that a module is of; several may share its outermost name."""
    sharing = sorted(set(origin[module.partition(".")[0]]))
    if len(sharing) == 1:
        return canonicalize_name(sharing[0])
    spec = find_spec(module)
    assert spec is not None
    for name in sharing:
        if any(str(file.locate()) == spec.origin for file in files(name) or ()):
            return canonicalize_name(name)
    raise AssertionError(f"nobody of {sharing} has {module}")


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    """No package comes by way of another one, and none is installed for nothing."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    extras = project["optional-dependencies"].values()
    lines = [*project["dependencies"], *(line for extra in extras for line in extra)]
    wanted = [Requirement(line) for line in lines]
    declared = {canonicalize_name(requirement.name) for requirement in wanted}
    origin = packages_distributions()
    used = {distribution(name, origin) for name in imported(*PACKAGES)}
    assert used == declared


@pytest.mark.parametrize(
    ("module", "intrusion", "contract"),
    [
        ("harness/plan.py", "import harness.wire", "the pipe runs one way"),
        ("harness/journal/calls.py", "import harness.session", "the pipe runs one way"),
        ("harness/wire/client.py", "import gevent", "only harness.running.load knows Locust"),
        ("harness/rig/server.py", "import toxiproxy", "only harness.rig.toxiproxy.library"),
        ("harness/verdict.py", "import anyio", "touches neither network nor event loop"),
        ("reports/__init__.py", "import httpx", "touches neither network nor event loop"),
        ("faults/network.py", "import harness.errors", "knows only the contract of its lever"),
        ("faults/toxiproxy/path/link.py", "import faults.levers", "Toxiproxy stands alone"),
    ],
)
def test_an_import_that_goes_the_wrong_way_is_found(
    tmp_path: Path, module: str, intrusion: str, contract: str
) -> None:
    """Each contract breaks on one line, and the message names the module."""
    for package in PACKAGES:
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    intruded = tmp_path / module
    intruded.write_text(intruded.read_text(encoding="utf-8") + f"\n{intrusion}\n", encoding="utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1
    assert re.search(rf"{re.escape(contract)}.* BROKEN", done.stdout), done.stdout
    assert module.removesuffix(".py").replace("/", ".").removesuffix(".__init__") in done.stdout
