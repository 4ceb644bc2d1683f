"""The figures of a comparison in words: values, effects, intervals and places."""

from __future__ import annotations

from typing import Final

from harness.comparison.ruling import Change, Verdict
from reports.words import ABSENT, clean, milliseconds, share

SIGNS: Final[dict[Verdict, str]] = {"worse": "✗", "better": "✓", "same": "=", "cannot": "?"}
SAID: Final[dict[Verdict, str]] = {
    "worse": "worse",
    "better": "better",
    "same": "same",
    "cannot": "not compared",
}
_LARGE: Final = 10.0
_MOST: Final = 999.0


def place(change: Change) -> str:
    """Name where a figure was taken: `baseline, both arms`, `1:tcp-latency, treated, search`."""
    if not change.phase:
        return "whole run"
    arm = "both arms" if change.arm == "both" else f"{change.arm} arm"
    return clean(", ".join(part for part in (change.phase, arm, change.tool) if part))


def value(change: Change, figure: float | None) -> str:
    """Write one side's figure with its unit."""
    if figure is None:
        return ABSENT
    match change.unit:
        case "ms":
            return milliseconds(figure)
        case "share":
            return share(figure)
        case "s":
            return f"{figure:.1f} s"
        case _:
            return f"{figure:.1f}"


def effect(change: Change) -> str:
    """Write how head stands beside base: `×1.21`, `+1.9 points`, `+3.0 s`."""
    if change.effect is None:
        return ""
    figure = amount(change, change.effect)
    return figure if change.unit in ("ms", "s") else f"{figure} points"


def interval(change: Change) -> str:
    """Write the interval of the effect, without its unit."""
    if change.low is None or change.high is None:
        return ""
    return f"{_plain(change, change.low)} to {_plain(change, change.high)}"


def smallest(change: Change) -> str:
    """Write the smallest worsening that would have been found."""
    return "" if change.smallest is None else amount(change, change.smallest)


def amount(change: Change, figure: float) -> str:
    """Write an effect with its sign and the unit of seconds."""
    sign = "×" if change.unit == "ms" else ""
    return f"{sign}{_plain(change, figure)}{' s' if change.unit == 's' else ''}"


def _plain(change: Change, figure: float) -> str:
    if change.unit == "ms":
        if figure >= _MOST:
            return f">{_MOST:.0f}"
        return f"{figure:.2f}" if figure < _LARGE else f"{figure:.0f}"
    scaled = figure * 100 if change.unit == "share" else figure
    decimals = 2 if change.unit == "share" and abs(scaled) < 1 else 1
    return f"{scaled:+.{decimals}f}"
