"""What the target's own spans say of the calls, beside the calls that were answered."""

from __future__ import annotations

import numpy as np

from harness.evidence.phases import Evidence
from harness.journal import TraceEntry
from harness.outcome import Outcome
from harness.verdict import TraceRow

_ANSWERED = (
    Outcome.OK,
    Outcome.WRONG,
    Outcome.TOOL_ERROR,
    Outcome.PROTOCOL_ERROR,
    Outcome.TIMEOUT,
)


def rows(evidence: Evidence) -> tuple[TraceRow, ...]:
    """Give what was counted, tool by tool; nothing where the run received no spans.

    A call that the client repeats keeps its trace, and one that never reached a tool owes no span.
    """
    calls, names = evidence.calls, evidence.plan.calls
    told = {entry.tool: entry for entry in evidence.journal.of(TraceEntry)}
    if not told:
        return ()
    came = np.isin(calls["outcome"], _ANSWERED) & (calls["attempt"] > 0)
    lines = []
    for code, name in enumerate(names):
        mine = came & (calls["call"] == code)
        count = len(np.unique(evidence.group[mine]))
        seen = told.pop(name, None)
        if count or seen is not None:
            lines.append(_row(name, count, seen))
    return (*lines, *(_row(name, 0, entry) for name, entry in sorted(told.items())))


def _row(tool: str, calls: int, seen: TraceEntry | None) -> TraceRow:
    if seen is None:
        return TraceRow(
            tool=tool, calls=calls, joined=0, spans=0, named=0, timed=0, sized=0, failed=0,
            downstream=0, exposed=0,
        )  # fmt: skip
    return TraceRow(
        tool=tool,
        calls=calls,
        joined=min(seen.calls, calls),
        spans=seen.spans,
        named=seen.named,
        timed=seen.timed,
        sized=seen.sized,
        failed=seen.failed,
        downstream=seen.downstream,
        exposed=seen.exposed,
    )
