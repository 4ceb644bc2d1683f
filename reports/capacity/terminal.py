"""A climb on one screen: a table of its steps for each curve, and the knee last."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from typing import Final

from rich.text import Text

from harness.capacity.ruling import Capacity, Curve
from harness.capacity.steps import Reading, Verdict
from harness.capacity.wording import rate
from harness.scenario.units import counted
from reports.console import STYLES, rendered
from reports.words import clean, milliseconds, share

WIDTH: Final = 80
VERDICTS: Final[dict[Verdict, str]] = {
    "kept": "kept up",
    "slow": "too slow",
    "errors": "errors",
    "growing": "queue grew",
    "limited": "not counted",
    "unfinished": "not counted",
}
_HEAD: Final = f"{'offered':>9}{'answered':>10}{'p50':>9}{'p99':>9}{'errors':>8}{'unsent':>7}"


def summary(result: Capacity, *, color: bool, folder: str = "") -> str:
    """Give the result as text of at most 80 columns, but for paths and the last, its verdict."""
    lines = [
        *_heading(result),
        *(line for curve in result.curves for line in _curve(curve)),
        *(line for note in result.notes[:4] for line in _wrapped(f"note: {note}", "dim")),
        Text(),
        *_next(folder),
        Text(clean(result.headline), STYLES[result.ruling]),  # one line, for `tail -1`
    ]
    return rendered(lines, WIDTH, color=color)


def _heading(result: Capacity) -> list[Text]:
    course = result.course
    wanted = ", ".join(f"{name} {text}" for name, text in result.limits.items())
    told = (
        f"capacity, seed {result.seed}, {result.era} era, {result.length_s:.0f} s, "
        f"{counted(course.sessions, 'sessions')}, {course.spacing}"
    )
    return [
        Text.assemble((clean(result.scenario), "bold"), f"  {told}"),
        *_wrapped(f"kept up: {wanted}, and no queue that grows", ""),
    ]


def _curve(curve: Curve) -> Iterator[Text]:
    yield Text()
    hit = f"  {curve.exposure}" if curve.exposure else ""
    yield Text.assemble((clean(curve.name), "bold"), clean(hit))
    if curve.unsound:
        yield from _wrapped(f"? {curve.unsound}", STYLES["unknown"])
    if not curve.steps:
        return
    yield Text(f"{_HEAD}  {'generator':<10}{'':<2}step", "dim")
    for one in sorted(curve.steps, key=lambda step: (step.offered_per_s, step.step)):
        yield _step(one)
    for why in _reasons(curve):
        yield from _wrapped(why, "dim")


def _step(one: Reading) -> Text:
    limited = one.verdict == "limited"
    style = "green" if one.kept else "yellow" if not one.counts else "red"
    mark = "✓" if one.kept else "?" if not one.counts else "✗"
    return Text.assemble(
        f"{rate(one.offered_per_s):>9}{rate(one.answered_per_s):>10}"
        f"{milliseconds(one.p50_ms):>9}{milliseconds(one.p99_ms):>9}"
        f"{share(one.error_share):>8}{one.unsent:>7,}  ",
        (f"{'limited' if limited else one.strain.state:<10}", "yellow" if limited else ""),
        (f"{mark} {VERDICTS[one.verdict]}", style),
    )


def _reasons(curve: Curve) -> Iterator[str]:
    """Say why steps did not count: once for each reason."""
    why = {one.why: one.rate_per_s for one in curve.steps if not one.counts}
    for words, per_s in why.items():
        yield f"{rate(per_s)} was limited by the generator and is not counted: {words}"


def _next(folder: str) -> Iterator[Text]:
    if folder:
        yield Text(f"{'page':<13}{clean(folder)}/report.html", "cyan")
        yield Text(f"{'judge again':<13}{shlex.join(('squall', 'judge', clean(folder)))}")


def _wrapped(text: str, style: str) -> list[Text]:
    return [Text(line, style) for line in textwrap.wrap(clean(text), WIDTH, subsequent_indent="  ")]
