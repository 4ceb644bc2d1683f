"""`squall selftest` as people type it: what it says, refuses, and leaves behind."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import psutil
import pytest

from harness.errors import Exit
from tests.command import assert_gone, family_with, finish, squall, start


@pytest.mark.slow
def test_a_trial_is_a_row_a_line_of_json_and_a_sum(tmp_path: Path) -> None:
    """A right one leaves no folder behind."""
    words = ("--flaw", "sync-blocks-loop", "--stage", "neighbours", "--era", "modern")
    done = squall("selftest", *words, "--json", "told.jsonl", cwd=tmp_path)
    (line,) = (tmp_path / "told.jsonl").read_text(encoding="utf-8").splitlines()
    told = json.loads(line)
    assert told["trial"]["server"] == "sync-blocks-loop"
    assert done.code == (Exit.PASS if told["right"] else Exit.FAIL)
    assert ("BAD" in done.out) == (not told["right"])
    assert "in 1 run" in done.out.splitlines()[-1]
    assert list((tmp_path / "runs" / "selftest").iterdir()) == [] or not told["right"]


def test_what_there_is_can_be_listed_without_running_it(tmp_path: Path) -> None:
    """One line a trial, with what has to be found."""
    done = squall("selftest", "--list", "--flaw", "no-dedup", "--seeds", "2-3", cwd=tmp_path)
    assert done.code == Exit.PASS
    assert all("double-exec" in line for line in done.out.splitlines())
    assert {line.split("seed ")[1].split()[0] for line in done.out.splitlines()} == {"2", "3"}
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--flaw", "no-such"), "expected a flaw, found 'no-such'"),
        (("--stage", "no-such"), "expected a stage, found 'no-such'"),
        (("--seeds", "many"), "expected seeds as in"),
    ],
)
def test_what_is_not_there_is_refused_with_what_is(
    tmp_path: Path, words: tuple[str, str], said: str
) -> None:
    """Exit 2, and nothing is started."""
    done = squall("selftest", *words, cwd=tmp_path)
    assert done.code == Exit.NOT_RUN
    assert said in done.err


@pytest.mark.slow
def test_ctrl_c_ends_the_runs_that_are_under_way(tmp_path: Path) -> None:
    """Exit 130, and nothing of theirs goes on."""
    process = start("selftest", "--stage", "steady", "--era", "modern", cwd=tmp_path)
    started: list[psutil.Process] = family_with(process, "harness.reference")
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == Exit.INTERRUPTED, done.all
    assert_gone(started)
