"""`squall run --aa`: the smallest effect that can be claimed here, said by later runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from harness.cli.conclusion import judged, read
from reports.document import verdict as as_json
from tests import command

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

STORM: Final = command.STORM.replace("8/s", "20/s")


def _facts(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return facts


def verdict_again(folder: Path) -> str:
    """Judge a stored run once more, as `squall judge --json` does."""
    return as_json(judged(*read(folder)))


def test_an_aa_run_is_remembered_beside_the_runs_and_said_by_the_next(tmp_path: Path) -> None:
    """Nothing is broken in it; the score of the next stands beside what it measured."""
    (tmp_path / "storm.yaml").write_text(STORM, encoding="utf-8")
    done = command.squall("run", "storm.yaml", "--aa", cwd=tmp_path)
    runs = tmp_path / "runs"
    (folder,) = (one for one in runs.iterdir() if one.is_dir())
    verdict = command.verdict_of(folder)
    command.assert_passed(done.code, verdict)
    assert (verdict["faults"], verdict["score"], verdict["bare_arms"]["own"]) == ([], None, True)
    assert verdict["bare_arms"]["stretches"] == 3
    assert "bare arms" in done.out
    assert verdict_again(folder) == (folder / "verdict.json").read_text(encoding="utf-8")
    kept = runs / _facts(folder)["yardstick"]
    if done.code == 0:
        assert "bare arms agree; no difference below" in done.out
        assert json.loads(kept.read_text(encoding="utf-8"))["run"] == _facts(folder)["run_id"]
    else:  # a busy machine: then what an earlier run has measured
        kept.write_text(json.dumps(verdict["bare_arms"] | {"own": False}), encoding="utf-8")
    later = command.squall("run", "storm.yaml", "--seed", "8", cwd=tmp_path)
    (second,) = (one for one in runs.iterdir() if one.is_dir() and one != folder)
    verdict = command.verdict_of(second)
    command.assert_passed(later.code, verdict)
    assert verdict["bare_arms"] == json.loads(kept.read_text(encoding="utf-8"))
    if verdict["score"] is not None:
        assert "no difference below" in later.out
    # It is the run's own from now on: judging it elsewhere gives the same bytes.
    kept.unlink()
    assert verdict_again(second) == (second / "verdict.json").read_text(encoding="utf-8")
