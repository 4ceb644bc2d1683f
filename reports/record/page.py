"""The record of a game day as one HTML file that opens anywhere."""

from __future__ import annotations

from reports.page import rendered
from reports.record.day import NS, Day
from reports.report import Report
from reports.timeline import timeline_chart

TEMPLATE = "record/record.html"


def page(report: Report, day: Day) -> str:
    """Give the whole page; the same day gives the same bytes."""
    return rendered(
        TEMPLATE,
        {"timeline": timeline_chart(report)},
        report=report,
        judgement=report.judgement,
        day=day,
        ns=NS,
    )
