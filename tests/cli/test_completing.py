from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import COMMANDS
from harness.flaws import Flaw
from scenarios import shipped
from tests import command

pytestmark = pytest.mark.timeout(60)


def completed(folder: Path, *words: str) -> list[str]:
    """What fish would be told of a line that ends in the last of these words."""
    line = " ".join(("squall", *words))
    env = {"_SQUALL_COMPLETE": "fish_complete", "COMP_WORDS": line, "COMP_CWORD": words[-1]}
    done = command.squall(cwd=folder, env=env)
    assert done.code == 0, done.all
    assert not done.err
    items = [item.split(",", 1) for item in done.out.splitlines()]
    return [value.partition("\t")[0] for kind, value in items if kind == "plain"]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("sh",), ["shrink"]),
        (("shrink", "--bud"), ["--budget"]),
        (("export", "--format", "p"), ["parquet"]),
        (("run", "first"), ["first_storm"]),
        (("capacity", "stea"), [name for name in shipped() if name.startswith("stea")]),
        (("faults", "token-e"), ["token-expire"]),
        (("gameday", "game"), ["game_plan"]),
        (("capacity", "steady", "--fault", "token-e"), ["token-expire"]),
        (("gameday", "steady", "--reference", "no-dedup"), ["no-dedup"]),
        (("demo", "--reference", "no-dedup,expired"), ["no-dedup,expired-is-403"]),
        (("demo", "--reference", "hard"), ["hardened"]),
    ],
)
def test_a_shell_is_told_what_can_come_next(
    words: tuple[str, ...], found: list[str], tmp_path: Path
) -> None:
    """Commands, flags, their values, and names of what there is."""
    assert completed(tmp_path, *words) == found


def test_every_command_and_every_flaw_can_be_completed(tmp_path: Path) -> None:
    """From nothing but a letter that they share."""
    wanted = [name for name in COMMANDS if name.startswith("c")]
    assert completed(tmp_path, "c") == wanted
    flaws = completed(tmp_path, "run", "--reference", "no-")
    assert flaws == [flaw.value for flaw in Flaw if flaw.value.startswith("no-")]


def test_what_is_no_shipped_scenario_may_be_a_file(tmp_path: Path) -> None:
    """The shell itself completes those."""
    env = {"_SQUALL_COMPLETE": "bash_complete", "COMP_WORDS": "squall run ./x", "COMP_CWORD": "2"}
    assert command.squall(cwd=tmp_path, env=env).out == "file,./x\n"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_each_shell_gets_a_script_of_its_own(shell: str, tmp_path: Path) -> None:
    """Which asks the command itself."""
    done = command.squall("completion", shell, cwd=tmp_path)
    assert done.code == 0, done.all
    assert f"_SQUALL_COMPLETE={shell}_complete" in done.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.out, text=True, check=True, timeout=20)


def test_a_shell_that_is_not_known_is_refused(tmp_path: Path) -> None:
    """With those that are."""
    done = command.squall("completion", "ksh", cwd=tmp_path)
    assert done.code == 2
    assert "'bash', 'zsh', 'fish'" in done.err


@pytest.mark.skipif(shutil.which("bash") is None, reason="MISSING bash")
def test_bash_completes_a_command_by_the_script(tmp_path: Path) -> None:
    """As on a terminal, with the command on the path."""
    squall = tmp_path / "squall"
    squall.write_text(f'#!/bin/sh\nexec {sys.executable} -m harness "$@"\n', encoding="utf-8")
    squall.chmod(0o755)
    script = (
        'eval "$(squall completion bash)"\n'
        "COMP_WORDS=(squall sel); COMP_CWORD=1\n"
        '_squall_completion squall; echo "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={
            **os.environ,
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "PYTHONPATH": str(command.ROOT),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.stdout.split() == ["selftest"], done.stderr
