from __future__ import annotations

import pytest

from tests.benchmarks.engine import MODES, Driver, _ended, _python, _read_line, _table, _weigh
from tests.benchmarks.rounds import Round


def _round(cost_us: float) -> Round:
    return Round(calls=1_000_000, cpu_s=cost_us)


def test_ratios_are_taken_between_the_least_disturbed_rounds() -> None:
    """The cheapest round of each engine stands for it; the median is shown beside."""
    measured = {
        "squall wire, legacy": [_round(30), _round(10), _round(20)],
        "FastHttpUser": [_round(100), _round(80), _round(90)],
        "wrk": [_round(5), _round(6), _round(7)],
    }
    row = _table("json", measured, 0.0)[2].split()
    assert row[-6:] == ["10.00", "20.00", "50,000", "0.50", "8.0", "-"]


def test_a_missing_engine_is_named_in_every_row() -> None:
    """No ratio is invented for a tool that is not installed."""
    row = _table("json", {"squall wire, legacy": [_round(10)]}, 0.0)[2]
    assert "no wrk" in row
    assert row.endswith("-")


def test_a_busy_machine_is_called_busy() -> None:
    """Figures from a contended core carry their warning."""
    assert "TOO BUSY" in _table("json", {"wrk": [_round(1)]}, 0.5)[-2]
    assert "TOO BUSY" not in _table("json", {"wrk": [_round(1)]}, 0.05)[-2]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["json", "sse", "sse3"])
def test_the_wire_drivers_run_rounds_on_the_fast_server(path: str) -> None:
    """The bench itself cannot rot unseen: each reply kind is driven for a moment."""
    with _ended(_python("tests.benchmarks.fast_server", cpu=1)) as server:
        url = f"http://127.0.0.1:{_read_line(server)}/{path}"
        for mode in MODES:
            if mode.module == "tests.benchmarks.drive_wire" and path in mode.paths:
                driver = Driver(mode, url)
                with _ended(driver.process):
                    measured = driver.run(0.1)
                assert measured.calls > 0
                assert measured.cpu_s > 0


@pytest.mark.slow
def test_sessions_with_a_standing_stream_are_weighed() -> None:
    """Fifty sessions are enough to see that the weighing works."""
    with _ended(_python("tests.benchmarks.fast_server", cpu=1)) as server:
        line = _weigh(f"http://127.0.0.1:{_read_line(server)}", 50)
    assert "at 50 sessions" in line
