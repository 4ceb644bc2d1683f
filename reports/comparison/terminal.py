"""A comparison on a terminal: a table of what was looked at, and the verdict last."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from textwrap import wrap
from typing import Final

from rich.text import Text

from harness.comparison.ruling import Change, Comparison, Side, Verdict
from harness.scenario.units import counted
from reports.comparison.wording import SIGNS, effect, interval, place, smallest, value
from reports.console import rendered
from reports.words import clean

STYLES: Final[dict[Verdict, str]] = {
    "worse": "bold red",
    "better": "green",
    "same": "",
    "cannot": "yellow",
}
_KIB: Final = 1024
_LABEL: Final = 9


def summary(told: Comparison, *, width: int = 80, color: bool, everything: bool = False) -> str:
    """Give the comparison as text of at most `width` columns; the last line is the verdict."""
    lines = [
        _heading(told),
        *_side("base", told.base, width),
        *_side("head", told.head, width),
        *_table(told, everything=everything),
        *_apart(told, width),
        *(line for note in told.notes for line in _wrapped(f"note: {note}", width, "dim")),
        Text(),
        Text(clean(told.headline), STYLES[told.verdict]),  # one line, for `tail -1`
    ]
    return rendered((_fit(line, width) for line in lines[:-1]), width, color=color) + rendered(
        lines[-1:], width, color=color
    )


def stored(file: str, side: Side, size_bytes: int) -> str:
    """Say what a baseline file holds."""
    lines = [
        Text(f"{clean(file)}  {size_bytes / _KIB:.0f} KiB of at most 200"),
        Text(_of(side)),
        *(line for run in _runs(side) for line in _wrapped(run, 80, "")),
    ]
    return rendered(lines, 80, color=False)


def _heading(told: Comparison) -> Text:
    return Text.assemble(("compare", "bold"), f"  {_of(told.base)}")


def _of(side: Side) -> str:
    of = side.identity
    machine = of.machine
    return clean(
        f"{of.scenario}, seed {of.seed}, {of.era} era, on {machine.get('system', '')} "
        f"{machine.get('architecture', '')} with {machine.get('processors', '')} processors"
    )


def _side(name: str, side: Side, width: int) -> list[Text]:
    runs = counted(len(side.runs), "runs")
    squall = ", ".join(sorted({run.squall for run in side.runs}))
    revisions = ", ".join(sorted({run.revision[:_REVISION] for run in side.runs if run.revision}))
    at = f", at {revisions}" if revisions else ""
    told = f"{name:<{_LABEL}}{side.name}  {runs}, squall {squall}{at}"
    return _wrapped(told, width, "")


_REVISION: Final = 10


def _runs(side: Side) -> Iterator[str]:
    for run in side.runs:
        calls = sum(int(stretch.by_part.calls.sum()) for stretch in run.stretches)
        yield f"run {run.run}  {run.started_at}  {counted(calls, 'calls')}  {run.headline}"
        for doubt in run.doubts:
            yield f"? not sound: {doubt}"


def _table(told: Comparison, *, everything: bool) -> Iterator[Text]:
    """Show every phase as a whole, and of the rest what changed."""
    shown = [
        change
        for change in told.changes
        if everything or change.whole or change.verdict in ("worse", "better")
    ]
    if not shown:
        return
    yield Text()
    yield Text(
        f"  {'':<10}{'base':>10}{'head':>10}  {'change':<14}{'interval':<18}{'finds':<8}", "dim"
    )
    for where, changes in groupby(shown, key=place):
        mine = list(changes)
        calls = ""
        if mine[0].base_calls:
            calls = f"  {mine[0].base_calls:,} and {mine[0].head_calls:,} calls"
        yield Text.assemble((where, "bold"), (calls, "dim"))
        yield from (_row(change) for change in mine)


def _row(change: Change) -> Text:
    if change.verdict == "cannot":
        return Text(f"? {change.measure:<10}not compared: {clean(change.why_not)}", "yellow")
    return Text.assemble(
        (f"{SIGNS[change.verdict]} {change.measure:<10}", STYLES[change.verdict]),
        f"{value(change, change.base):>10}{value(change, change.head):>10}  ",
        (f"{effect(change):<14}", STYLES[change.verdict]),
        (f"{interval(change):<18}{smallest(change):<8}", "dim"),
        (change.verdict if change.verdict != "same" else "", STYLES[change.verdict]),
    )


def _apart(told: Comparison, width: int) -> Iterator[Text]:
    if told.differences:
        yield Text()
    for difference in told.differences:
        yield from _wrapped(f"? {difference}", width, "yellow")


def _wrapped(text: str, width: int, style: str) -> list[Text]:
    return [Text(line, style) for line in wrap(clean(text), width, subsequent_indent="  ")]


def _fit(line: Text, width: int) -> Text:
    line.rstrip()
    line.truncate(width, overflow="ellipsis")
    return line
