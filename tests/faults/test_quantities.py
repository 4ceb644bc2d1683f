from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from faults.quantities import (
    parse_bytes_per_s,
    parse_duration_s,
    parse_pace_s,
    parse_share,
    parse_size_bytes,
)

PARSERS: tuple[Callable[[object], float], ...] = (
    parse_duration_s, parse_size_bytes, parse_share, parse_pace_s, parse_bytes_per_s,
)  # fmt: skip
HUGE = "9" * 400


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_duration_s, "250ms", 0.25),
        (parse_duration_s, "10s", 10.0),
        (parse_duration_s, " 2m ", 120.0),
        (parse_duration_s, "1.5h", 5400.0),
        (parse_duration_s, "500us", 0.0005),
        (parse_duration_s, "0s", 0.0),
        (parse_size_bytes, "512B", 512),
        (parse_size_bytes, "64KiB", 65_536),
        (parse_size_bytes, "16MiB", 16_777_216),
        (parse_size_bytes, "1.5KB", 1500),
        (parse_size_bytes, "1GB", 10**9),
        (parse_share, "20%", 0.2),
        (parse_share, "0%", 0.0),
        (parse_share, "100 %", 1.0),
        (parse_share, "99.5%", 0.995),
        (parse_pace_s, "1/s", 1.0),
        (parse_pace_s, "5/s", 0.2),
        (parse_pace_s, "1/2s", 2.0),
        (parse_pace_s, "3 / 100ms", 0.1 / 3),
        (parse_bytes_per_s, "32KB/s", 32_000),
        (parse_bytes_per_s, "1 MiB / s".replace(" M", "M"), 1_048_576),
    ],
)
def test_a_quantity_is_read_in_its_unit(
    parse: Callable[[object], float], text: str, value: float
) -> None:
    """What people write comes out in seconds, bytes, shares and seconds from step to step."""
    assert parse(text) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "value",
    [250, 0.5, True, None, [], {}, "", "250", "ms", "-1s", "-5%", "1e3s", "1,5s", "1 0s", "s1",
     "5x", "1.s", ".5s", "NaN s", "inf", "10s 5s", "1//s", "5/"],
)  # fmt: skip
def test_a_quantity_without_a_sound_unit_is_refused(
    parse: Callable[[object], float], value: object
) -> None:
    """A bare number is refused wherever a unit could be meant, and so is every slip of the pen."""
    with pytest.raises(PydanticCustomError, match="write for example"):
        parse(value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_duration_s, f"{HUGE}s"),
        (parse_size_bytes, f"{HUGE}GiB"),
        (parse_share, f"{HUGE}%"),
        (parse_share, "100.01%"),
        (parse_pace_s, f"{HUGE}/s"),
        (parse_pace_s, f"1/{HUGE}s"),
        (parse_pace_s, "0/s"),
        (parse_pace_s, "1/0s"),
        (parse_pace_s, f"0.{'0' * 400}1/s"),
        (parse_bytes_per_s, f"{HUGE}MB/s"),
    ],
)
def test_a_quantity_beyond_all_measure_is_refused_as_one(
    parse: Callable[[object], float], text: str
) -> None:
    """Four hundred digits are a mistake in the file, and no failure of arithmetic."""
    with pytest.raises(PydanticCustomError):
        parse(text)


@given(text=st.from_regex(r"\d{1,400}(\.\d{1,400})?\s?(us|ms|s|m|h|B|KiB|GB|%|/s|/\d{1,9}ms|KB/s)"))
def test_whatever_is_read_is_finite_and_not_below_zero(text: str) -> None:
    """A number in any digits at all is either refused or one that the plan can compute with."""
    for parse in PARSERS:
        try:
            value = parse(text)
        except PydanticCustomError:
            continue
        assert math.isfinite(value)
        assert value >= 0
        assert parse is not parse_pace_s or value > 0
