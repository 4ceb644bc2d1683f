from __future__ import annotations

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
        (("run", "--era", "l"), ["legacy"]),
        (("selftest", "--flaw", "no-ded"), ["no-dedup"]),
        (("selftest", "--stage", "stead"), ["steady"]),
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


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("squall run ./x", "file"),
        ("squall run --json x", "file"),
        ("squall demo --junit x", "file"),
        ("squall compare --markdown x", "file"),
        ("squall run --ca x", "file"),
        ("squall init --out x", "file"),
        ("squall recover x", "file"),
        ("squall run --out x", "dir"),
    ],
)
def test_what_names_a_file_is_left_to_the_shell(line: str, told: str, tmp_path: Path) -> None:
    """A scenario that is not shipped, and whatever is read or written."""
    place = str(len(line.split()) - 1)
    env = {"_SQUALL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": place}
    done = command.squall(cwd=tmp_path, env=env)
    assert done.out == f"{told},{line.rsplit(maxsplit=1)[-1]}\n"


def test_a_shell_that_is_not_known_is_refused(tmp_path: Path) -> None:
    """With those that are."""
    done = command.squall("completion", "ksh", cwd=tmp_path)
    assert done.code == 2
    assert "'bash', 'zsh', 'fish'" in done.err
