"""Quantities as people write them in a scenario: `250ms`, `5/s`, `16MiB`, `20%`.

A bare number is refused wherever a unit could be meant: `delay: 250` has burned everyone once.
Durations become float seconds, sizes integer bytes, shares floats in [0, 1], and a pace the
float seconds between two steps.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

DURATION_UNITS_S: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
SIZE_UNITS_BYTES: Final = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_NUMBER: Final = r"(\d{1,18}(?:\.\d{1,18})?)"  # more digits are a slip, and overflow a float
_DURATION: Final = _NUMBER + r"(us|ms|s|m|h)"
_SIZE: Final = _NUMBER + r"(B|KB|MB|GB|KiB|MiB|GiB)"
_SHARE: Final = _NUMBER + r"\s*%"
_PACE: Final = _NUMBER + r"\s*/\s*" + _NUMBER + r"?(us|ms|s|m|h)"
_BANDWIDTH: Final = _SIZE + r"\s*/\s*s"


def refuse(expected: str, mend: str) -> PydanticCustomError:
    """Build the refusal that the scenario loader turns into a `Mistake`."""
    return PydanticCustomError(
        "quantity", "expected {expected}; {mend}", {"expected": expected, "mend": mend}
    )


def parse_duration_s(value: object) -> float:
    """Read `250ms` as 0.25.

    Raises:
        PydanticCustomError: when it is not a number with one of us, ms, s, m, h behind it.
    """
    match = re.fullmatch(_DURATION, value.strip()) if isinstance(value, str) else None
    if match is None and isinstance(value, str) and value.strip().startswith("-"):
        raise refuse("a duration that is not negative", "write for example 250ms, 10s or 2m")
    if match is None:
        raise refuse("a duration with its unit", "write for example 250ms, 10s or 2m")
    return float(match[1]) * DURATION_UNITS_S[match[2]]


def parse_size_bytes(value: object) -> int:
    """Read `64KiB` as 65536.

    Raises:
        PydanticCustomError: when it is not a number with one of B, KB, MB, GB, KiB, MiB, GiB.
    """
    match = re.fullmatch(_SIZE, value.strip()) if isinstance(value, str) else None
    if match is None:
        raise refuse("a size with its unit", "write for example 512B, 64KiB or 16MiB")
    return round(float(match[1]) * SIZE_UNITS_BYTES[match[2]])


def parse_share(value: object) -> float:
    """Read `20%` as 0.2.

    Raises:
        PydanticCustomError: when it is not a percentage from 0% to 100%.
    """
    match = re.fullmatch(_SHARE, value.strip()) if isinstance(value, str) else None
    if match is None or not 0 <= float(match[1]) <= 100:  # noqa: PLR2004
        raise refuse("a percentage from 0% to 100%", "write for example 20%")
    return float(match[1]) / 100


def parse_pace_s(value: object) -> float:
    """Read `5/s` as 0.2 and `1/2s` as 2.0: seconds from one step to the next.

    Raises:
        PydanticCustomError: when it is not COUNT/DURATION with a count above zero.
    """
    match = re.fullmatch(_PACE, value.strip()) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0 or float(match[2] or 1) <= 0:
        raise refuse("a pace in steps per time", "write for example 1/s, 5/s or 1/2s")
    return float(match[2] or 1) * DURATION_UNITS_S[match[3]] / float(match[1])


def parse_bytes_per_s(value: object) -> int:
    """Read `32KB/s` as 32000.

    Raises:
        PydanticCustomError: when it is not a size over a second.
    """
    match = re.fullmatch(_BANDWIDTH, value.strip()) if isinstance(value, str) else None
    if match is None:
        raise refuse("a bandwidth in bytes per second", "write for example 32KB/s or 1MB/s")
    return round(float(match[1]) * SIZE_UNITS_BYTES[match[2]])


def _schema(pattern: str, *examples: str) -> WithJsonSchema:
    """Describe a quantity to an editor."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", "examples": list(examples)})


Duration = Annotated[float, BeforeValidator(parse_duration_s), _schema(_DURATION, "250ms", "10s")]
Size = Annotated[int, BeforeValidator(parse_size_bytes), _schema(_SIZE, "64KiB", "16MiB")]
Share = Annotated[float, BeforeValidator(parse_share), _schema(_SHARE, "20%")]
Pace = Annotated[float, BeforeValidator(parse_pace_s), _schema(_PACE, "1/s", "1/2s")]
Bandwidth = Annotated[int, BeforeValidator(parse_bytes_per_s), _schema(_BANDWIDTH, "32KB/s")]
