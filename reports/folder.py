"""Writes a run folder's reports: each file is whole or is the one that was there before."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from harness.evidence.phases import Evidence
from harness.played import GAME_DAY
from harness.verdict import Judgement
from reports.document import verdict
from reports.histogram_log import histogram_log
from reports.junit import junit
from reports.page import page
from reports.record.day import make as make_day
from reports.record.markdown import markdown as record_markdown
from reports.record.page import page as record_page
from reports.report import Facts, Report, make

VERDICT: Final = "verdict.json"
HISTOGRAMS: Final = "latency.hlog"
PAGE: Final = "report.html"
JUNIT: Final = "junit.xml"
RECORD: Final = "record.html"
RECORD_TEXT: Final = "record.md"


def write_all(
    folder: Path, evidence: Evidence, judgement: Judgement, facts: Facts | None = None
) -> Report:
    """Write verdict.json, latency.hlog, report.html and junit.xml; give the report they show.

    Of a game day its record too, record.html and record.md.
    The verdict comes first, so that a renderer that fails does not take it along.

    Raises:
        OSError: when the folder cannot be written.
    """
    write_whole(folder / VERDICT, verdict(judgement))
    report = make(evidence, judgement, facts)
    renderers: tuple[tuple[str, Callable[[], str]], ...] = (
        (HISTOGRAMS, lambda: histogram_log(evidence)),
        (PAGE, lambda: page(report)),
        (JUNIT, lambda: junit(report)),
    )
    for name, render in renderers:
        write_whole(folder / name, render())
    if facts is not None and GAME_DAY in facts:
        day = make_day(evidence, judgement)
        write_whole(folder / RECORD, record_page(report, day))
        write_whole(folder / RECORD_TEXT, record_markdown(report, day))
    return report


def write_whole(file: Path, text: str) -> None:
    """Replace a file at one stroke: a reader sees the old text or the new, never a part.

    A device or a pipe is written as it stands, for it must not become a file; so is what a link
    leads to, and the link stays.
    """
    if file.exists() and not file.is_file():
        file.write_text(text, encoding="utf-8", newline="")
        return
    file = file.resolve()
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
