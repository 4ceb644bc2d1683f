from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.benchmarks.proxies import CELLS, compare, cpu_s, line_of, percentile, ping, weigh
from tests.benchmarks.rounds import Round
from tests.faults.toxiproxy.conftest import ROOT, Server, end, start_ours


@pytest.fixture(scope="module")
def ours() -> Iterator[Server]:
    """Our server, for every cell of this file."""
    server = start_ours()
    yield server
    end(server)


def _rounds(*rates: float) -> list[Round]:
    return [Round(calls=round(rate), cpu_s=1.0) for rate in rates]


def test_the_ratio_is_the_median_of_neighbouring_rounds() -> None:
    """A round is compared with the one beside it, for the machine changes between far ones."""
    row = line_of(CELLS["small-bare"], [_rounds(100, 300, 90), _rounds(50, 100, 60)]).split()
    assert row == ["small-bare", "messages", "100", "60", "2.00", "1.50", "to", "3.00"]


def test_a_missing_original_gives_no_ratio() -> None:
    """Ours alone is measured, and nothing is compared with it."""
    row = line_of(CELLS["bulk-bare"], [_rounds(2e9)]).split()
    assert row == ["bulk-bare", "MB", "2,000", "-", "-"]


def test_a_percentile_is_a_value_that_was_measured() -> None:
    """The least one that is not exceeded by more than the rest."""
    values = [float(value) for value in range(100, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99)) == (50, 99)
    assert percentile([7.0], 99) == 7.0


def test_the_processor_time_is_that_of_the_other_process() -> None:
    """A child that works is seen to have worked, however the system tells it."""
    script = "sum(range(3_000_000)); print('done', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        first_s = cpu_s(child.pid)
        assert first_s > 0.01
        child.communicate("\n", timeout=20)


@pytest.mark.slow
@pytest.mark.parametrize("title", CELLS)
def test_each_cell_carries_its_load(ours: Server, title: str) -> None:
    """The bench itself cannot rot unseen: every load under every toxic is driven for a moment."""
    (rounds,) = compare(CELLS[title], [ours], 1, 0.05)
    assert rounds[0].calls > 0
    assert rounds[0].cpu_s > 0


@pytest.mark.slow
def test_added_latency_is_told_for_the_bare_way_and_for_a_toxic(ours: Server) -> None:
    """Two percentiles each, and how many pings came before their time: none may."""
    lines = ping([ours], 2, 0.2)
    titles = [line[:20].strip() for line in lines]
    assert titles == ["bare p50", "bare p99", "latency p50", "latency p99", "latency, early"]
    assert lines[-1].split()[-1] == "0"


@pytest.mark.slow
def test_a_crowd_is_weighed() -> None:
    """Fifty connections are enough to see that the weighing works."""
    assert weigh(50)[0] > 1


@pytest.mark.slow
def test_the_bench_prints_one_table() -> None:
    """Without the original it says so, loudly, and measures ours all the same."""
    command = [
        *(sys.executable, "-m", "tests.benchmarks.proxies", "--rounds", "1", "--seconds", "0.05"),
        *("--cells", "small-bare", "--ping-rounds", "0", "--memory-connections", "0"),
    ]
    told = subprocess.run(
        command, cwd=ROOT, env={"PATH": ""}, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert told.startswith("MISSING")
    assert "small-bare" in told
    assert all(len(line) <= 80 for line in told.splitlines())
