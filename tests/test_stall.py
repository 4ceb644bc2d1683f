"""A server that stands still for three seconds: every call that was due then has waited."""

from __future__ import annotations

import math
import signal
import time
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from harness import journal
from harness.cli.conclusion import read
from harness.latencies import SAMPLES_MIN
from tests import command

STALL_S: Final = 3.0
HDR_ERROR: Final = 0.002  # of three significant figures

STEADY: Final = command.STORM.partition("faults:")[0].replace("baseline: 3s", "baseline: 7s")


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_stall_is_seen_by_every_call_that_was_due_in_it(tmp_path: Path) -> None:
    """The percentiles told are those computed from the due times, call by call."""
    text = STEADY.replace("pace: 8/s", "pace: 30/s")
    (tmp_path / "stall.yaml").write_text(text, encoding="utf-8")
    process = command.start("run", "stall.yaml", cwd=tmp_path)
    command.await_line(process, "baseline")
    (server,) = [one for one in command.family(process.pid) if "harness.reference" in one.cmdline()]
    server.send_signal(signal.SIGSTOP)
    time.sleep(STALL_S)
    server.send_signal(signal.SIGCONT)
    done = command.finish(process)
    assert done.code in {1, 3}, done.all
    folder = command.folder_of(tmp_path / "runs")
    record = journal.read(folder)
    calls = record.calls[record.calls["last"] == 1]
    baseline = read(folder)[0].phases.baseline
    inside = calls[(calls["due_ns"] >= baseline.start_ns) & (calls["due_ns"] < baseline.end_ns)]
    told = {
        row["arm"]: row
        for row in command.verdict_of(folder)["latency"]
        if (row["from"], row["phase"], row["tool"]) == ("due", "baseline", "")
    }
    for treated, arm in enumerate(("control", "treated")):
        mine = inside[inside["treated"] == treated]
        took_ms = np.sort((mine["done_ns"] - mine["due_ns"]) / 1e6)
        assert told[arm]["count"] == len(took_ms) > SAMPLES_MIN[99.0]
        for name, share in (("p50_ms", 0.5), ("p90_ms", 0.9), ("p95_ms", 0.95), ("p99_ms", 0.99)):
            rank = math.ceil(share * len(took_ms)) - 1
            assert told[arm][name] == pytest.approx(took_ms[rank], rel=HDR_ERROR)
        assert told[arm]["max_ms"] == pytest.approx(took_ms[-1], rel=HDR_ERROR)
        assert told[arm]["max_ms"] >= STALL_S * 1000 - 100
        # Counted from when they were sent, the calls would hide it: that is what this guards.
        served_ms = np.sort((mine["done_ns"] - mine["sent_ns"]) / 1e6)
        assert served_ms[math.ceil(0.95 * len(served_ms)) - 1] < took_ms[rank] / 2
