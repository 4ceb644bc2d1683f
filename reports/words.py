"""Figures in words: one way of writing a duration, a share or a measured value, everywhere."""

from __future__ import annotations

import re
from typing import Final

from harness.verdict import FaultVerdict, Ruling

ABSENT: Final = "n/a"
_BYTES_A_KIB: Final = 1024
_LAG_FACTOR: Final = 10.0
_SECOND_MS: Final = 999.5  # from here on a duration reads better in seconds
_MARKS: Final[dict[Ruling, str]] = {"pass": "✓", "fail": "✗", "unknown": "?"}
_ESCAPES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC
    r"|\x1b[PX^_][^\x1b]*(?:\x1b\\)?"  # DCS, SOS, PM, APC
    r"|\x1b[@-Z\\-_]"
)
# C0, DEL, C1; zero-width and bidirectional marks, which can make text read as what it is not.
_CONTROLS: Final = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ud800-\\udfff]"
)


def clean(text: str) -> str:
    """Make text from outside safe to show: no escape sequence, control or direction mark."""
    return _CONTROLS.sub(lambda hit: " " if hit[0] in "\t\n\r" else "", _ESCAPES.sub("", text))


def cut(text: str, width: int) -> str:
    """Shorten text to a width in characters, with an ellipsis where something is missing."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"


def mark(ruling: Ruling) -> str:
    """Give the sign of a ruling."""
    return _MARKS[ruling]


def milliseconds(value: float | None) -> str:
    """Write a duration given in milliseconds, with its unit: `0.42 ms`, `18.3 ms`, `1.25 s`."""
    if value is None:
        return ABSENT
    return f"{_three(value)} ms" if abs(value) < _SECOND_MS else f"{_three(value / 1000)} s"


def near_lag(value_ms: float | None, lag_ms: float | None) -> bool:
    """Say whether a latency is so small that squall's own lag must be told beside it."""
    return value_ms is not None and lag_ms is not None and value_ms < _LAG_FACTOR * lag_ms


def _three(value: float) -> str:
    """Write three significant digits, never an exponent."""
    decimals = next((digits for digits, top in ((2, 10), (1, 100)) if abs(value) < top), 0)
    return f"{value:,.{decimals}f}"


def share(value: float | None) -> str:
    """Write a share in [0, 1] as a percentage that never rounds a loss, or a trace, away."""
    if value is None:
        return ABSENT
    if value in {0.0, 1.0}:
        return f"{value:.0%}"
    return next(
        (
            text
            for decimals in range(1, 10)
            if 0 < float((text := f"{value * 100:.{decimals}f}%")[:-1]) < 100  # noqa: PLR2004
        ),
        f"{value * 100:g}%",
    )


def measured(value: float | None, unit: str) -> str:
    """Write a measured value with its unit."""
    if value is None:
        return "not measured"
    match unit:
        case "ms":
            return milliseconds(value)
        case "s" if 0 < abs(value) < 1:
            return milliseconds(value * 1000)
        case "share" | "%":
            return share(value if unit == "share" else value / 100)
        case "":
            return f"{value:,.4g}"
        case _:
            number = f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"
            return f"{number} {unit.removesuffix('s') if value == 1 and len(unit) > 1 else unit}"


def size(value: int | None) -> str:
    """Write a number of bytes."""
    if value is None:
        return ABSENT
    amount = float(value)
    for unit in ("B", "KiB", "MiB"):
        if amount < _BYTES_A_KIB:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _BYTES_A_KIB
    return f"{amount:.1f} GiB"


def clock(seconds: float) -> str:
    """Write a moment of a long run: `12:05`, `1:02:07`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"


def recovery(verdict: FaultVerdict) -> str:
    """Say how long it took until all was well again after a fault."""
    if verdict.recovery_s is None:
        return "not measured"
    return "never" if verdict.recovery_s < 0 else f"{verdict.recovery_s:.1f} s"
