"""What a self-test came to, in words: a row for each trial, and the sum of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from harness.scenario.units import counted
from harness.selftest.play import Result


def row(result: Result) -> str:
    """Give one line of the table, and below it what is against the trial."""
    said = "ok " if result.right else "BAD"
    lines = [f"{said} {result.trial} {result.seconds:4.0f} s  {result.headline}".rstrip()]
    return "\n      ".join([*lines, *result.against])


def summary(results: Sequence[Result]) -> str:
    """Give the sum: flaws found, false alarms, and how long it took."""
    flawed = [one for one in results if one.trial.verdict]
    clean = [one for one in results if not one.trial.verdict]
    found = sum(not one.missed for one in flawed)
    alarms = sum(one.false_alarms for one in results)
    right = sum(one.right for one in results)
    seconds = sorted(one.seconds for one in results)
    typical = f"{seconds[len(seconds) // 2]:.0f} s" if seconds else "-"
    return (
        f"{found} of {len(flawed)} flaws found, {counted(alarms, 'false alarms')} in "
        f"{counted(len(results), 'runs')} ({len(clean)} of sound servers), "
        f"{right} of {len(results)} as they must be, "
        f"{typical} a run"
    )


def line(result: Result) -> str:
    """Give one result as a line of JSON, for machines."""
    told = asdict(result) | {"name": str(result.trial), "right": result.right}
    return json.dumps(told, ensure_ascii=False)
