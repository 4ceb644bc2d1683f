from __future__ import annotations

from dataclasses import replace
from typing import Final

import pytest
from rich.cells import cell_len

from reports.picture import Courses, bar, picture, sparkline
from reports.snapshot import ArmSnapshot
from tests.reports.test_live import SNAPSHOT

COURSES: Final[Courses] = {"control": [40.0, 41.0, 40.0], "treated": [40.0, None, 1300.0]}


def drawn(width: int, **changes: object) -> list[str]:
    """The lines of a picture, without colour."""
    snapshot = replace(SNAPSHOT, **changes)  # type: ignore[arg-type]
    return [line.plain.rstrip() for line in picture("storm", snapshot, COURSES, width)]


def test_the_bar_shows_the_plan_and_how_far_it_has_come() -> None:
    """Faults by their numbers, what is past in full: to be read without colour."""
    line = bar(SNAPSHOT, 92).plain  # a column for each second
    assert len(line) == 92
    assert [line.index(number) for number in "123"] == [12, 30, 62]
    assert line[:12] == "━" * 12
    assert line[13:22] == "█" * 9
    assert line[31:34] == "█" * 3
    assert line[35:42] == "░" * 7
    assert line[42:62] == "─" * 20
    assert set(bar(replace(SNAPSHOT, segments=()), 40).plain) == {"━", "─"}


def test_the_arms_stand_side_by_side() -> None:
    """Rate, both percentiles, errors and sessions, and their course on one scale."""
    lines = drawn(80)
    head = next(line for line in lines if "rate" in line).split()
    assert head == ["rate", "p50", "p99", "errors", "sessions", "p99", "40.0ms-1.30s"]
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["control"] == ["40/s", "18.2", "ms", "41.2", "ms", "0%", "10", "▁▁▁"]
    assert rows["treated"] == ["40/s", "18.9", "ms", "1.25", "s", "11.5%", "10", "▁", "█"]


@pytest.mark.parametrize("width", range(24, 121, 4))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """What has no room is left out, the least telling first; the rate and the bar stay."""
    for changes in ({}, {"calls": 10**12, "fault": "f" * 99, "phase": "p" * 40, "run_s": 9e5}):
        lines = drawn(width, **changes)
        assert max(cell_len(line) for line in lines) <= width
        assert any("40/s" in line for line in lines)
    narrow = drawn(60)
    assert any(line.startswith("treated") and "█" in line for line in narrow)
    assert "sessions" not in next(line for line in drawn(44) if "rate" in line)


def test_a_run_that_lasts_longer_than_planned_says_by_how_much() -> None:
    """Calls that are late are waited for."""
    assert drawn(80)[0].endswith("2:token-expire  34 of 92 s")
    assert drawn(80, run_s=104.0, phase="ending")[0].endswith("ending  12 s over")


def test_a_generator_that_is_late_says_so() -> None:
    """Figures are only as good as the clock that took them."""
    assert drawn(80)[-1] == "generator ok, lag 0.40 ms at p99"
    assert drawn(80, lag_ms=47.0)[-1].startswith("generator late, lag 47.0 ms at p99")
    assert drawn(80, lag_ms=None)[-1] == "generator not measured yet"


def test_before_the_first_call_nothing_is_invented() -> None:
    """No rate of nothing, and no course."""
    arms = tuple(ArmSnapshot(arm=arm, p50_ms=None, p99_ms=None) for arm in ("control", "treated"))
    lines = [
        line.plain
        for line in picture("storm", replace(SNAPSHOT, calls=0, errors=0, arms=arms), {}, 80)
    ]
    row = next(line for line in lines if line.startswith("treated")).split()
    assert row == ["treated", "0/s", "n/a", "n/a", "n/a", "n/a"]


def test_a_course_shows_the_latest_and_leaves_gaps() -> None:
    """On a logarithmic scale: twice as slow is as far anywhere."""
    span = (1.0, 128.0)
    assert sparkline([1, 2, 4, 8, 16, 32, 64, 128], span, 20) == "▁▂▃▄▅▆▇█"
    assert sparkline([1, None, 128], span, 20) == "▁ █"
    assert sparkline([1, 1, 128], span, 2) == "▁█"
    assert sparkline([], None, 20) == ""
