from __future__ import annotations

from dataclasses import replace

from harness.verdict import Amplification, Judgement, Misled, QualityRow
from reports.answers import answer_rows, cost_rows
from tests.reports.samples import judgement_of_a_storm


def row(tool: str, phase: str, *, arm: str = "treated", rows: float = 10.0) -> QualityRow:
    """Make a row of what a kind of call brought."""
    return QualityRow(
        tool=tool,
        phase=phase,
        arm=arm,
        answers=100,
        rows_p05=rows,
        rows_p50=rows,
        empty_share=0.0,
        bytes_p05=400.0,
        bytes_p50=400.0,
        null_share=None,
    )


def judged(*quality: QualityRow, **more: object) -> Judgement:
    """Put rows into the judgement of a storm."""
    return replace(judgement_of_a_storm(), quality=quality, **more)  # type: ignore[arg-type]


def test_what_changed_most_comes_first_and_every_tool_once() -> None:
    """A tool that four faults left alone has one row, not four."""
    faults = ("1:tcp-latency", "2:token-expire", "3:tcp-reset")
    quality = [row("search", "baseline"), row("fetch", "baseline")]
    quality += [row("fetch", fault) for fault in faults]
    quality += [
        row("search", fault, rows=rows) for fault, rows in zip(faults, (10, 2, 6), strict=True)
    ]
    rows = answer_rows(judged(*quality))
    told = [(one.tool, one.fault, one.under.rows_p50) for one in rows]
    assert told == [
        ("search", "2:token-expire", 2),
        ("search", "3:tcp-reset", 6),
        ("fetch", "1:tcp-latency", 10),
    ]


def test_a_tool_without_a_baseline_and_the_untouched_arm_have_no_row() -> None:
    """There is nothing to compare, and nothing was done."""
    lone = row("search", "1:tcp-latency")
    spared = (row("fetch", "baseline", arm="control"), row("fetch", "1:tcp-latency", arm="control"))
    assert answer_rows(judged(lone, *spared)) == ()


def test_costs_begin_with_what_no_fault_is_to_blame_for() -> None:
    """Each fault once, with what it multiplied and whom it misled."""
    more = Amplification(
        fault="1:tcp-latency",
        attempts_per_call=1.0,
        baseline_attempts_per_call=1.0,
        tokens_per_minute=None,
        baseline_tokens_per_minute=None,
        tokens_ratio=None,
        level="not measured",
    )
    misled = [
        Misled(fault=fault, agents=9, empty=1, masked=0, untrue=0, answers=1, first_s=0.1)
        for fault in ("1:tcp-latency", "")
    ]
    rows = cost_rows(judged(amplification=(more,), misled=tuple(misled)))
    assert [one.fault for one in rows] == ["", "1:tcp-latency"]
    assert (rows[0].amplification, rows[1].amplification) == (None, more)
    assert rows[1].misled == misled[0]
