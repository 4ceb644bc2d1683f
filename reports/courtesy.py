"""How the target treated its dependency, in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from harness.scenario.units import counted
from harness.verdict import Manners, RetryAfter
from reports.words import ABSENT, milliseconds

_WORST_FIRST: Final[tuple[RetryAfter, ...]] = (
    "waited past the deadline",
    "ignored",
    "kept",
    "passed on",
)


def in_one(rows: Sequence[Manners]) -> str:
    """Sum up what was seen under all faults of the dependency; "" where nothing was."""
    rows = [row for row in rows if row.asking]
    if not rows:
        return ""
    most = max(row.retries_max for row in rows)
    spaced = [row for row in rows if row.spacing_ms is not None]
    told = f"at most {counted(most, 'retries')} for one thing" if most else "no retries"
    if spaced:
        told += f", {pauses(max(spaced, key=lambda row: row.retried))}"
    asked = {row.retry_after for row in rows}
    kept = next((one for one in _WORST_FIRST if one in asked), None)
    parts = [told] + ([f"Retry-After {kept}"] if kept else [])
    breakers = {row.breaker for row in rows}
    for state in ("stayed shut", "opened"):
        if state in breakers:
            parts.append(f"breaker {state}")
            break
    return "; ".join(parts)


def pauses(row: Manners) -> str:
    """Say how retries are spaced."""
    if row.spacing_ms is None:
        return ABSENT
    growth = "" if row.spacing_growth is None else f", then {row.spacing_growth:.1f} times that"
    chance = {True: ", with jitter", False: ", no jitter", None: ""}[row.jitter]
    return f"{milliseconds(row.spacing_ms)} apart{growth}{chance}"
