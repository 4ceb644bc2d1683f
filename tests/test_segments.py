from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness import journal
from harness.cli.conclusion import conclude
from reports.folder import HISTOGRAMS, JUNIT, PAGE, VERDICT
from tests.benchmarks import long_run

WORKERS = 3
WRITTEN = (VERDICT, HISTOGRAMS, PAGE, JUNIT)


def _split(whole: Path, folder: Path) -> None:
    """Lay a run out as its workers would have left it: each with the sessions that it hosted."""
    shutil.copytree(whole, folder)
    calls = np.load(whole / journal.CALLS)
    lines = (whole / journal.JOURNAL).read_text(encoding="utf-8").splitlines(keepends=True)
    hosts = [json.loads(line).get("session", -1) for line in lines]
    for worker in range(1, WORKERS + 1):
        with journal.JournalWriter(folder, worker=worker) as segment:
            segment.buffer.extend(calls[calls["session"] % WORKERS == worker - 1].tobytes())
        mine = [
            line
            for line, host in zip(lines, hosts, strict=True)
            if host >= 0 and host % WORKERS == worker - 1
        ]
        (folder / f"worker-{worker}.jsonl").write_text("".join(mine), encoding="utf-8")
    rest = [line for line, host in zip(lines, hosts, strict=True) if host < 0]
    with journal.JournalWriter(folder):
        (folder / journal.JOURNAL).write_text("".join(rest), encoding="utf-8")


def _told(folder: Path) -> dict[str, str]:
    conclude(folder)
    return {name: (folder / name).read_text(encoding="utf-8") for name in WRITTEN}


@pytest.mark.slow
def test_the_segments_of_workers_are_judged_like_one_process_to_the_sample(tmp_path: Path) -> None:
    """Verdict, histograms, page and test cases are the same bytes, before a merge and after it."""
    whole, split = tmp_path / "whole", tmp_path / "split"
    records = long_run.write(whole, calls=6000, sessions=30, windows=3)
    _split(whole, split)
    assert len(np.load(split / journal.CALLS)) == 0
    told = _told(whole)
    assert json.loads(told[VERDICT])["calls"]["ok"] > 5000
    assert _told(split) == told
    journal.merge(split)
    assert sorted(file.name for file in split.glob("worker-*")) == []
    assert len(np.load(split / journal.CALLS)) == records
    assert _told(split) == told
