"""Quantities written the way a scenario's author writes them; `faults.quantities` reads them."""

from __future__ import annotations

from typing import Final

from faults.quantities import SIZE_UNITS_BYTES

_DURATIONS: Final = (("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3), ("us", 1e-6))
_SIZES: Final = ("GiB", "GB", "MiB", "MB", "KiB", "KB")


def _number(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Write 0.25 as `250ms`: the largest unit that leaves a whole number, minutes from 2m on."""
    if seconds == 0:
        return "0s"
    for unit, unit_s in _DURATIONS:
        count = seconds / unit_s
        large_enough = count >= (2 if unit_s > 1 else 1)
        if large_enough and abs(count - round(count)) < 1e-9 * count:
            return f"{round(count)}{unit}"
    return f"{_number(seconds)}s"


def size(size_bytes: int) -> str:
    """Write 65536 as `64KiB`: the largest unit that leaves a whole number."""
    for unit in _SIZES:
        if size_bytes and size_bytes % SIZE_UNITS_BYTES[unit] == 0:
            return f"{size_bytes // SIZE_UNITS_BYTES[unit]}{unit}"
    return f"{size_bytes}B"


def share(part: float) -> str:
    """Write 0.2 as `20%`."""
    return f"{_number(part * 100)}%"


def pace(seconds: float) -> str:
    """Write 0.2 as `5/s` and 2.0 as `1/2s`."""
    rate = 1 / seconds
    if abs(rate - round(rate)) < 1e-9 * rate:
        return f"{round(rate)}/s"
    return f"1/{duration(seconds)}"


def bandwidth(bytes_per_s: int) -> str:
    """Write 32000 as `32KB/s`."""
    return f"{size(bytes_per_s)}/s"
