"""A comparison for a pull request: the verdict, what changed, and all that was looked at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from harness.comparison.ruling import Change, Comparison, Verdict
from harness.scenario.units import counted
from reports.comparison.wording import SAID, effect, interval, place, smallest, value
from reports.markdown import escape

_SIGNS: Final[dict[Verdict, str]] = {"worse": "❌", "better": "✅", "same": "➖", "cannot": "❔"}
_HEAD: Final = ("", "where", "measure", "base", "head", "change", "interval", "would find")
_REVISION: Final = 10


def markdown(told: Comparison) -> str:
    """Give the comparison as GitHub Markdown."""
    return "\n".join(_lines(told)) + "\n"


def _lines(told: Comparison) -> Iterator[str]:
    of = told.base.identity
    yield f"### {_SIGNS[told.verdict]} {escape(told.headline)}"
    yield ""
    yield escape(
        f"{of.scenario}, seed {of.seed}, {of.era} era: base {_side(told, 0)}, head {_side(told, 1)}"
    )
    for difference in told.differences:
        yield ""
        yield f"- {_SIGNS['cannot']} {escape(difference)}"
    changed = [one for one in told.changes if one.verdict in ("worse", "better")]
    if changed:
        yield ""
        yield from _table(sorted(changed, key=lambda one: one.verdict != "worse"))
    if told.changes:
        yield ""
        yield f"<details><summary>all {len(told.changes)} measures</summary>"
        yield ""
        yield from _table(told.changes)
        yield ""
        yield "</details>"
    for note in told.notes:
        yield ""
        yield f"{escape(note)}."


def _side(told: Comparison, number: int) -> str:
    side = (told.base, told.head)[number]
    revisions = ", ".join(sorted({run.revision[:_REVISION] for run in side.runs if run.revision}))
    runs = counted(len(side.runs), "runs")
    return f"{runs}{f' at {revisions}' if revisions else ''}"


def _table(changes: Sequence[Change]) -> Iterator[str]:
    yield f"| {' | '.join(_HEAD)} |"
    yield f"|{' --- |' * len(_HEAD)}"
    for one in changes:
        cells = (
            _SIGNS[one.verdict],
            escape(place(one)),
            one.measure,
            value(one, one.base),
            value(one, one.head),
            escape(one.why_not)
            if one.verdict == "cannot"
            else f"{effect(one)} {SAID[one.verdict]}",
            interval(one),
            smallest(one),
        )
        yield f"| {' | '.join(cells)} |"
