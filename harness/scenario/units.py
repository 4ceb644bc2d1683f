"""Quantities written the way a scenario's author writes them; `faults.quantities` reads them.

And counts of things, as sentences have them.
"""

from __future__ import annotations

from typing import Final

from faults.quantities import SIZE_UNITS_BYTES

_DURATIONS_US: Final = (("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000))
_SIZES: Final = ("GiB", "GB", "MiB", "MB", "KiB", "KB")


_MOUTHFULS: Final = ("sses", "shes", "ches", "xes")  # of which one has no e: processes


def counted(number: int, what: str) -> str:
    """Write `1 connection` and `1,200 connections`: a number, and what there is so many of.

    `what` is in the plural; the first of its words that ends in s is what is counted.
    """
    if number == 1:
        words = what.split(" ")
        place = next((at for at, each in enumerate(words) if each.endswith("s")), None)
        if place is not None:
            words[place] = _one(words[place])
        what = " ".join(words)
    return f"{number:,} {what}"


def _one(plural: str) -> str:
    if plural.endswith("ies"):
        return f"{plural[:-3]}y"
    return plural[:-2] if plural.endswith(_MOUTHFULS) else plural[:-1]


def _number(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")


def duration(seconds: float) -> str:
    """Write 0.25 as `250ms`: the largest unit that leaves a whole number, minutes from 2m on."""
    whole_us = round(seconds * 1e6)
    if abs(seconds * 1e6 - whole_us) > 1e-2:  # noqa: PLR2004  finer than a file can say
        return f"{_number(seconds)}s"
    for unit, unit_us in _DURATIONS_US:
        least = 2 if unit in {"h", "m"} else 1
        if whole_us >= least * unit_us and whole_us % unit_us == 0:
            return f"{whole_us // unit_us}{unit}"
    return f"{whole_us}us" if whole_us else "0s"


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
