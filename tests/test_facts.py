from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

import harness
from harness import facts

COMMAND = ("squall", "run", "a b.yaml", "--seed", "3")


def _gather() -> dict[str, Any]:
    return facts.gather(command=COMMAND, seed=3, era="legacy", name="a b")


def _git(folder: Path, *words: str) -> str:
    quiet = {
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b",
    }  # fmt: skip
    done = subprocess.run(
        ("git", *words), cwd=folder, env={**os.environ, **quiet}, check=True,
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    return done.stdout.strip()


def test_the_facts_are_json_and_repeat_the_run() -> None:
    """The command comes back word for word from what was written."""
    gathered = json.loads(json.dumps(_gather()))
    assert shlex.split(gathered["command"]) == list(COMMAND)
    assert (gathered["seed"], gathered["era"], gathered["scenario"]) == (3, "legacy", "a b")
    assert gathered["squall"] == harness.__version__
    assert gathered["machine"]["processors"] == os.cpu_count()
    assert set(gathered["packages"]) == set(facts.PACKAGES)
    assert gathered["packages"]["locust"] != "absent"


def test_a_package_that_is_not_there_is_said_to_be_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every package is part of every platform."""
    monkeypatch.setattr(facts, "PACKAGES", ("no-such-package-of-any-kind",))
    assert _gather()["packages"] == {"no-such-package-of-any-kind": "absent"}


def test_the_revision_is_the_working_folder_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clean or not, which is where the target's own code usually is."""
    _git(tmp_path, "init", "-q")
    (tmp_path / "a").write_text("1")
    _git(tmp_path, "add", "a")
    _git(tmp_path, "commit", "-q", "-m", "a")
    monkeypatch.chdir(tmp_path)
    revision = _git(tmp_path, "rev-parse", "HEAD")
    assert _gather()["git"] == {"revision": revision, "clean": True}
    (tmp_path / "a").write_text("2")
    assert _gather()["git"] == {"revision": revision, "clean": False}


@pytest.mark.parametrize("why", ["no repository", "no git", "git hangs"])
def test_without_a_revision_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    """A run outside git, without git, or with one that does not answer, is a run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    if why == "no git":
        monkeypatch.setenv("PATH", str(tmp_path))
    if why == "git hangs":

        def hang(*_: object, **__: object) -> None:
            raise subprocess.TimeoutExpired("git", facts.GIT_S)

        monkeypatch.setattr(subprocess, "run", hang)
    assert _gather()["git"] is None
