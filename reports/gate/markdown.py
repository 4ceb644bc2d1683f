"""A gate's summary for a pipeline's page: a table of all scenarios, then each, worst first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from harness.errors import WORST_FIRST, Exit
from reports.gate.entries import Batch, Entry
from reports.gate.table import faults, score
from reports.markdown import SIGNS, escape
from reports.markdown import markdown as one
from reports.words import cut

SIZE_MAX_BYTES: Final = 512 * 1024  # a step's summary is refused above one MiB
_TOLD: Final = 300


def markdown(batch: Batch) -> str:
    """Give a gate as GitHub Markdown; one scenario is shown as it is, without a table."""
    if len(batch.entries) == 1 and batch.entries[0].report is not None:
        return one(batch.entries[0].report)
    text = "\n".join(_head(batch)) + "\n"
    left = [entry for entry in batch.entries if entry.report is not None]
    left.sort(key=lambda entry: WORST_FIRST.index(entry.code))
    while left:
        section = "\n" + _section(left[0])
        if len(text.encode()) + len(section.encode()) > SIZE_MAX_BYTES:
            text += f"\n{len(left)} more scenarios are in the artefacts.\n"
            break
        text += section
        left.pop(0)
    return text


def _head(batch: Batch) -> Iterator[str]:
    yield f"## {SIGNS[batch.worst.ruling]} {escape(cut(batch.verdict, _TOLD))}"
    yield ""
    yield "| | scenario | outcome | score | faults | first to know |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for entry in batch.entries:
        cells = (entry.name, entry.word, score(entry), faults(entry), cut(entry.told, _TOLD))
        yield f"| {SIGNS[entry.ruling]} | {' | '.join(escape(cell) for cell in cells)} |"


def _section(entry: Entry) -> str:
    """Give one scenario's own summary; what passed is folded away."""
    assert entry.report is not None
    text = one(entry.report)
    if entry.code is not Exit.PASS:
        return text
    return f"<details><summary>{escape(entry.name)}</summary>\n\n{text}\n</details>\n"
