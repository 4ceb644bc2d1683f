"""Several results as one table for a terminal; what was written, and the verdict in the end."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from reports.console import STYLES, rendered
from reports.gate.entries import Batch, Entry
from reports.words import clean, cut, mark

_NAME: Final = (8, 28)  # columns, at least and at most
_OUTCOME: Final = 11
_SCORE: Final = 13
_FAULTS: Final = 7
_LABEL: Final = 13
_TOLD_LINES: Final = 3

Artefact = tuple[str, str]  # what it is, and where


def table(batch: Batch, *, width: int, color: bool, artefacts: Sequence[Artefact] = ()) -> str:
    """Give the table, no line wider than `width` but for paths, which are there to be copied."""
    wide = max(cell_len(clean(entry.name)) for entry in batch.entries)
    name = min(max(wide, _NAME[0]), _NAME[1])
    head = f"  {'scenario':<{name}}  {'outcome':<{_OUTCOME}}  {'score':<{_SCORE}}  {'faults':<6}"
    lines = [Text(f"{head} first to know", style="bold")]
    for entry in batch.entries:
        lines += _row(entry, name, width)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    verdict = Text(clean(batch.verdict), style=STYLES[batch.worst.ruling])
    verdict.truncate(width, overflow="ellipsis")
    written = list(_artefacts(artefacts))
    apart = [Text()] if written else []
    return rendered([*lines, *apart, *written, Text(), verdict], width, color=color)


def _row(entry: Entry, name: int, width: int) -> Iterator[Text]:
    """Give an entry's line; what keeps one from passing is told in lines of its own."""
    title = cut(clean(entry.name), name)
    line = Text.assemble((f"{mark(entry.ruling)} ", STYLES[entry.ruling]))
    line.append(f"{title}{' ' * max(name - cell_len(title), 0)}  ")
    line.append(f"{entry.word:<{_OUTCOME}}", style=STYLES[entry.ruling])
    line.append(f"  {score(entry):<{_SCORE}}  {faults(entry):<{_FAULTS}}")
    passed = entry.ruling == "pass"
    line.append(clean(entry.told) if passed else "")
    line.rstrip()
    yield line
    if not passed:
        for told in textwrap.wrap(
            clean(entry.told),
            width,
            initial_indent="    ",
            subsequent_indent="    ",
            max_lines=_TOLD_LINES,
            placeholder=" …",
        ):
            yield Text(told)


def score(entry: Entry) -> str:
    """Give points and interval; a dash where there are none."""
    known = None if entry.report is None else entry.report.judgement.score
    return "-" if known is None else f"{known.points:.0f} ({known.low:.0f}-{known.high:.0f})"


def faults(entry: Entry) -> str:
    """Give how many of a run's faults were passed; a dash where there were none."""
    seen = () if entry.report is None else entry.report.judgement.faults
    return f"{sum(one.ruling == 'pass' for one in seen)}/{len(seen)}" if seen else "-"


def _artefacts(artefacts: Sequence[Artefact]) -> Iterator[Text]:
    for label, place in artefacts:
        yield Text.assemble(f"{label:<{_LABEL}}", (clean(place), "cyan"), overflow="ignore")
