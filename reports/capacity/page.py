"""A climb as one HTML file that opens anywhere: the knees, the two curves, every step."""

from __future__ import annotations

from harness.capacity.ruling import Capacity
from harness.capacity.wording import rate
from reports.capacity.charts import charts, color
from reports.capacity.terminal import VERDICTS
from reports.page import rendered
from reports.report import Facts, command_of, flat_facts

TEMPLATE = "capacity/capacity.html"


def page(result: Capacity, facts: Facts | None = None) -> str:
    """Give the whole page; the same result gives the same bytes."""
    known = {} if facts is None else facts
    return rendered(
        TEMPLATE,
        charts(result),
        result=result,
        rate=rate,
        color=color,
        verdicts=VERDICTS,
        command=command_of(known),
        facts=[pair for pair in flat_facts(known) if pair[0] != "command"],
    )
