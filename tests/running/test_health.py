from __future__ import annotations

import gc
import os
from pathlib import Path

import anyio
import numpy as np
import pytest

from harness.clock import NS_PER_S, RunClock
from harness.evidence.generator import STALL_OVER_MS
from harness.running import health
from harness.running.health import HealthMeter
from tests import journals

WAIT_S = 10.0
MS = 1_000_000


def _meter() -> HealthMeter:
    return HealthMeter(worker=2, clock=RunClock())


def test_slip_counts_first_attempts_that_were_sent() -> None:
    """A retry is late by design, and what was never sent has no slip."""
    batch = journals.calls(4, due_s=[1, 1, 1, 1])
    batch["sent_ns"] = batch["due_ns"] + np.array([2, 4, 500, 0]) * MS
    batch["attempt"][2] = 2
    batch["sent_ns"][3] = -1
    entry = _meter().entry(batch, sessions=7)
    assert entry.slip_p50_ms == pytest.approx(3.0)
    assert entry.slip_p99_ms == pytest.approx(3.98)
    assert (entry.worker, entry.sessions, entry.calls) == (2, 7, 4)


def test_an_idle_second_is_a_healthy_one() -> None:
    """No calls and no ticks are figures of zero, not an error."""
    entry = _meter().entry(journals.calls(1)[:0], sessions=0)
    assert (entry.slip_p99_ms, entry.lag_p99_ms, entry.calls) == (0.0, 0.0, 0)
    assert entry.at_ns >= 0


def test_open_files_are_counted() -> None:
    """One more after one more was opened."""
    meter = _meter()
    none = journals.calls(1)[:0]
    before = meter.entry(none, sessions=0).open_files
    reader, writer = os.pipe()
    try:
        after = meter.entry(none, sessions=0).open_files
    finally:
        os.close(reader)
        os.close(writer)
    assert before is not None
    assert after == before + 2
    entry = meter.entry(none, sessions=0)
    assert entry.open_files_max is None or entry.open_files_max >= after


def test_what_the_system_does_not_tell_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No share of time is claimed where there is no such counter, or one that makes no sense."""
    for content in (None, "", "many few\n", "12"):
        place = tmp_path / "schedstat"
        if content is not None:
            place.write_text(content)
        monkeypatch.setattr(health, "SCHEDSTAT", place)
        entry = _meter().entry(journals.calls(1)[:0], sessions=0)
        assert entry.run_delay_share is None


def test_waiting_for_a_processor_is_a_share_of_the_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kernel's own count, from one entry to the next."""
    place = tmp_path / "schedstat"
    place.write_text("1 1000 1\n")
    monkeypatch.setattr(health, "SCHEDSTAT", place)
    now_ns = [0]
    monkeypatch.setattr("harness.running.health.time.monotonic_ns", lambda: now_ns[0])
    meter = _meter()
    now_ns[0] = NS_PER_S
    place.write_text(f"1 {1000 + NS_PER_S // 4} 1\n")
    assert meter.entry(journals.calls(1)[:0], sessions=0).run_delay_share == 0.25


@pytest.mark.parametrize(
    ("groups", "file", "counts"),
    [
        ("0::/box\n", "box/cpu.stat", ("throttled_usec 1000\n", "throttled_usec 251000\n")),
        (
            "4:memory:/box\n3:cpu,cpuacct:/box\n",
            "cpu/box/cpu.stat",
            ("nr_throttled 1\nthrottled_time 1000\n", "throttled_time 250001000\n"),
        ),
    ],
)
def test_time_held_back_by_a_containers_limit_is_a_share_of_the_interval(
    groups: str,
    file: str,
    counts: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the control group's own count, in either version of it."""
    (tmp_path / "cgroup").write_text(groups)
    place = tmp_path / "fs" / file
    place.parent.mkdir(parents=True)
    place.write_text(counts[0])
    monkeypatch.setattr(health, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(health, "CGROUPS", tmp_path / "fs")
    now_ns = [0]
    monkeypatch.setattr("harness.running.health.time.monotonic_ns", lambda: now_ns[0])
    meter = _meter()
    now_ns[0] = NS_PER_S
    place.write_text(counts[1])
    assert meter.entry(journals.calls(1)[:0], sessions=0).throttled_share == 0.25


@pytest.mark.parametrize(
    "content", [None, "nr_periods 0\n", "throttled_usec\n", "throttled_usec x"]
)
def test_without_a_limit_nobody_is_held_back(
    content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No count, or one that makes no sense, is None."""
    (tmp_path / "cgroup").write_text("0::/\n")
    if content is not None:
        (tmp_path / "cpu.stat").write_text(content)
    monkeypatch.setattr(health, "CGROUP", tmp_path / "cgroup")
    monkeypatch.setattr(health, "CGROUPS", tmp_path)
    assert _meter().entry(journals.calls(1)[:0], sessions=0).throttled_share is None


@pytest.mark.anyio
async def test_a_loop_that_is_held_up_is_seen_and_its_collector_too() -> None:
    """A blocked loop shows in the lag; each entry begins a new interval; the hook goes away."""
    meter = _meter()
    hooks = len(gc.callbacks)
    none = journals.calls(1)[:0]
    with anyio.fail_after(WAIT_S):
        async with anyio.create_task_group() as beside:
            beside.start_soon(meter.watch)
            while len(gc.callbacks) == hooks:
                await anyio.lowlevel.checkpoint()
            gc.collect()
            until_s = anyio.current_time() + 0.1
            while anyio.current_time() < until_s:
                pass  # holds the loop
            while not meter._lags_ms:
                await anyio.lowlevel.checkpoint()
            entry = meter.entry(none, sessions=1)
            beside.cancel_scope.cancel()
    assert entry.lag_max_ms >= entry.lag_p99_ms > 50
    assert entry.stalled_ms >= entry.lag_max_ms - STALL_OVER_MS - 0.01
    assert entry.gc_pause_ms >= entry.gc_pause_max_ms > 0
    assert entry.cpu_share > 0
    assert meter.entry(none, sessions=1).lag_p99_ms == 0.0
    assert len(gc.callbacks) == hooks
