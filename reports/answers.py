"""What answers held before a fault and under it, and what that cost the agents: rows of a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from harness.verdict import Amplification, Judgement, Misled, QualityRow

_ROWS_MAX: Final = 60
_BASELINE: Final = "baseline"
_CHANGE_MIN: Final = 0.1  # of the baseline's median, or of the answers


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """One kind of call before and under one fault."""

    tool: str
    fault: str
    before: QualityRow
    under: QualityRow

    @property
    def change(self) -> float:
        """How much of it has changed, 0 for nothing."""
        before, under = self.before, self.under
        shares = (
            (under.empty_share or 0.0) - (before.empty_share or 0.0),
            (under.null_share or 0.0) - (before.null_share or 0.0),
        )
        sizes = ((under.rows_p50, before.rows_p50), (under.bytes_p50, before.bytes_p50))
        falls = (1 - now / usual for now, usual in sizes if now is not None and usual)
        return max(*map(abs, shares), *map(abs, falls), 0.0)


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """What one fault, or none, cost the agents."""

    fault: str
    misled: Misled | None
    amplification: Amplification | None


def answer_rows(judgement: Judgement) -> tuple[AnswerRow, ...]:
    """Give the kinds of call that a fault changed most, and each kind once; at most sixty."""
    arms = {fault.id: fault.arm for fault in judgement.faults}
    by = {(row.tool, row.phase, row.arm): row for row in judgement.quality}
    rows = [
        AnswerRow(
            tool=under.tool,
            fault=under.phase,
            before=by[under.tool, _BASELINE, under.arm],
            under=under,
        )
        for under in judgement.quality
        if under.phase in arms
        and under.arm == "treated"
        and (under.tool, _BASELINE, under.arm) in by
    ]
    rows.sort(key=lambda row: -row.change)
    seen: set[str] = set()
    kept = []
    for row in rows:
        if row.change >= _CHANGE_MIN or row.tool not in seen:
            kept.append(row)
        seen.add(row.tool)
    return tuple(kept[:_ROWS_MAX])


def cost_rows(judgement: Judgement) -> tuple[CostRow, ...]:
    """Give what each fault cost, and first what no fault is to blame for."""
    misled = {row.fault: row for row in judgement.misled}
    more = {row.fault: row for row in judgement.amplification}
    faults = dict.fromkeys([*(fault for fault in misled if not fault), *more, *misled])
    return tuple(
        CostRow(fault=fault, misled=misled.get(fault), amplification=more.get(fault))
        for fault in faults
    )[:_ROWS_MAX]
