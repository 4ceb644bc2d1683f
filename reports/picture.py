"""A run's state as a few lines for a terminal: the plan as a bar, both arms side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from rich.text import Text

from reports.snapshot import ArmSnapshot, LiveSnapshot
from reports.words import ABSENT, clean, cut, milliseconds, share

WIDTH: Final = 80
_LABEL: Final = 10
_CELL: Final = 10
_SPARK_MIN: Final = 12  # columns; with less beside the figures the courses get lines of their own
_SPARKS: Final = "▁▂▃▄▅▆▇█"
_SPAN_MIN: Final = 4.0  # the scale spans at least this ratio, or noise would look like mountains
LAG_OK_MS: Final = 5.0  # as the verdict on the generator has it

# By arm: the 99th percentile of each of the last seconds, the latest last; None without calls.
Courses = Mapping[str, Sequence[float | None]]
_Column = tuple[str, Callable[[ArmSnapshot], str], Callable[[ArmSnapshot], str]]

# By whether something is broken then.
_PASSED: Final = {False: ("━", "green"), True: ("█", "magenta")}
_AHEAD: Final = {False: ("─", "dim"), True: ("░", "dim magenta")}


def picture(title: str, snapshot: LiveSnapshot, courses: Courses, width: int = WIDTH) -> list[Text]:
    """Draw a snapshot, no line wider than `width`."""
    lines = [
        _head(title, snapshot, width),
        bar(snapshot, width),
        _fault(snapshot),
        *_arms(snapshot, courses, width),
        _calls(snapshot),
        _generator(snapshot),
    ]
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines


def _head(title: str, snapshot: LiveSnapshot, width: int) -> Text:
    """Put the name to the left, where the run stands to the right."""
    over_s = snapshot.run_s - snapshot.total_s
    at = (
        f"{snapshot.run_s:.0f} of {snapshot.total_s:.0f} s"
        if over_s < 1
        else f"{over_s:.0f} s over"
    )
    where = f"{clean(snapshot.phase)}  {at}"
    name = cut(clean(title), max(width - len(where) - 2, 8))
    gap = " " * max(width - len(name) - len(where), 2)
    return Text.assemble((name, "bold"), gap, where)


def bar(snapshot: LiveSnapshot, width: int) -> Text:
    """Draw the plan in time, faults thick, what is past in full; to be read without colour too."""
    total_s = max(snapshot.total_s, 1e-9)
    signs: list[tuple[str, str]] = []
    for column in range(width):
        at_s = (column + 0.5) / width * total_s
        struck = any(one.start_s <= at_s < one.end_s for one in snapshot.segments)
        signs.append((_PASSED if at_s <= snapshot.run_s else _AHEAD)[struck])
    for one in snapshot.segments:
        start, end = (round(at_s / total_s * width) for at_s in (one.start_s, one.end_s))
        if one.label and len(one.label) < end - start <= width - start:
            for column, sign in enumerate(one.label, start):
                signs[column] = (sign, "bold magenta")
    return Text.assemble(*signs)


def _fault(snapshot: LiveSnapshot) -> Text:
    if not snapshot.fault:
        return _labelled("fault", "none in force")
    left = "" if snapshot.fault_left_s is None else f", {snapshot.fault_left_s:.0f} s left"
    told = f"{snapshot.fault}{left}, hit {snapshot.exposure or 'nothing yet'}"
    return _labelled("fault", told, "bold magenta")


def _arms(snapshot: LiveSnapshot, courses: Courses, width: int) -> list[Text]:
    """Show the arms side by side, each figure under the other arm's, and their courses."""
    columns: list[_Column] = [
        ("rate", lambda arm: f"{arm.rate_per_s:,.0f}/s", lambda _: ""),
        ("p99", lambda arm: milliseconds(arm.p99_ms), lambda _: ""),
        ("errors", _lost, lambda arm: "bold red" if arm.errors else ""),
        ("p50", lambda arm: milliseconds(arm.p50_ms), lambda _: ""),
        ("sessions", _alive, lambda _: ""),
    ]
    while len(columns) > 1 and _LABEL + _CELL * len(columns) > width:
        columns.pop()
    order = ["rate", "p50", "p99", "errors", "sessions"]
    columns.sort(key=lambda column: order.index(column[0]))
    room = width - _LABEL - _CELL * len(columns) - 2
    beside = room >= _SPARK_MIN
    head = f"{'':<{_LABEL}}" + "".join(f"{name:>{_CELL}}" for name, _, _ in columns)
    span = _span(courses)
    lines = [Text(f"{head}  {_scale(span) if beside else ''}".rstrip(), style="dim")]
    for arm in snapshot.arms:
        line = Text.assemble((f"{clean(arm.arm):<{_LABEL}}", "bold"))
        for _, show, style in columns:
            line.append(f"{show(arm):>{_CELL}}", style=style(arm) or None)
        if beside:
            line.append(f"  {sparkline(courses.get(arm.arm, ()), span, room)}", style="cyan")
        lines.append(line)
    if not beside and span is not None:
        lines.append(Text(f"{'':<{_LABEL}}{_scale(span)}", style="dim"))
        for arm in snapshot.arms:
            course = sparkline(courses.get(arm.arm, ()), span, width - _LABEL)
            lines.append(_labelled(arm.arm, course, "cyan"))
    return lines


def _lost(arm: ArmSnapshot) -> str:
    return share(arm.errors / arm.calls) if arm.calls else ABSENT


def _alive(arm: ArmSnapshot) -> str:
    return ABSENT if arm.sessions is None else f"{arm.sessions:,}"


def _span(courses: Courses) -> tuple[float, float] | None:
    """Give the least and the greatest of both arms, which share one scale; None without any."""
    known = [value for course in courses.values() for value in course if value is not None]
    if not known:
        return None
    low = max(min(known), 1e-3)
    return low, max(*known, low * _SPAN_MIN)


def _scale(span: tuple[float, float] | None) -> str:
    if span is None:
        return ""
    low, high = (milliseconds(value).replace(" ", "") for value in span)
    return f"p99 {low}-{high}"


def sparkline(course: Sequence[float | None], span: tuple[float, float] | None, width: int) -> str:
    """Draw the latest values in at most `width` columns, on a logarithmic scale; gaps are blank."""
    if span is None:
        return ""
    low, high = span
    top = len(_SPARKS) - 1
    signs = []
    for value in list(course)[-width:]:
        if value is None:
            signs.append(" ")
            continue
        height = math.log(max(value, low) / low) / math.log(high / low)
        signs.append(_SPARKS[min(round(height * top), top)])
    return "".join(signs)


def _calls(snapshot: LiveSnapshot) -> Text:
    lost = share(snapshot.errors / snapshot.calls) if snapshot.calls else ABSENT
    told = f"{snapshot.calls:,}, {snapshot.errors:,} not answered ({lost})"
    told += f", {snapshot.sessions:,} sessions alive"
    return _labelled("calls", told)


def _generator(snapshot: LiveSnapshot) -> Text:
    """Say whether squall itself keeps up."""
    if snapshot.lag_ms is None:
        return _labelled("generator", "not measured yet")
    late = f"lag {milliseconds(snapshot.lag_ms)} at p99"
    if snapshot.lag_ms <= LAG_OK_MS:
        return _labelled("generator", f"ok, {late}")
    return _labelled("generator", f"late, {late}: this machine is short of something", "yellow")


def _labelled(label: str, text: str, style: str = "") -> Text:
    line = Text()
    line.append(f"{clean(label):<{_LABEL}}", style="dim")
    return line.append(clean(text), style=style or None)
