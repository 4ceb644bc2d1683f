from __future__ import annotations

from typing import get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.levers import Exposure
from faults.quantities import (
    parse_bytes_per_s,
    parse_duration_s,
    parse_pace_s,
    parse_share,
    parse_size_bytes,
)
from harness.scenario import units
from harness.scenario.units import counted


@given(st.integers(1, 10**11))
def test_a_duration_is_read_back(microseconds: int) -> None:
    """To the microsecond, up to a day and more."""
    seconds = microseconds / 1e6
    assert parse_duration_s(units.duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(0, 2**50))
def test_a_size_is_read_back_exactly(size_bytes: int) -> None:
    """Bytes are whole."""
    assert parse_size_bytes(units.size(size_bytes)) == size_bytes
    assert parse_bytes_per_s(units.bandwidth(size_bytes)) == size_bytes


@given(st.integers(0, 10_000))
def test_a_share_is_read_back(parts: int) -> None:
    """To a hundredth of a percent."""
    assert parse_share(units.share(parts / 10_000)) == pytest.approx(parts / 10_000)


@given(st.integers(1, 10_000) | st.integers(1, 600).map(lambda seconds: 1 / seconds))
def test_a_pace_is_read_back(rate: float) -> None:
    """Many a second, or one in many seconds."""
    assert parse_pace_s(units.pace(1 / rate)) == pytest.approx(1 / rate)


def test_quantities_are_written_as_people_write_them() -> None:
    """The largest unit that leaves a whole number."""
    seconds = (0, 0.25, 10.0, 90.0, 120.0, 1.5, 7200.0)
    written = ["0s", "250ms", "10s", "90s", "2m", "1500ms", "2h"]
    assert [units.duration(each) for each in seconds] == written
    assert [units.size(each) for each in (512, 65536, 32000)] == ["512B", "64KiB", "32KB"]
    assert (units.share(0.335), units.pace(0.2), units.pace(2.0)) == ("33.5%", "5/s", "1/2s")


@pytest.mark.parametrize(
    ("number", "what", "told"),
    [
        (0, "connections", "0 connections"),
        (1, "connections", "1 connection"),
        (2, "connections", "2 connections"),
        (1200, "calls", "1,200 calls"),
        (1, "processes", "1 process"),
        (1, "bytes", "1 byte"),
        (1, "retries", "1 retry"),
        (1, "tokens replaced", "1 token replaced"),
        (1, "odd requests", "1 odd request"),
        (1, "", "1 "),
    ],
)
def test_one_thing_is_not_written_as_many(number: int, what: str, told: str) -> None:
    """Neither in a verdict nor in a table."""
    assert counted(number, what) == told


@pytest.mark.parametrize("unit", get_args(get_type_hints(Exposure)["unit"]))
def test_every_unit_of_an_exposure_has_its_singular(unit: str) -> None:
    """A fault may hit a single one of anything that is counted."""
    assert f"{counted(1, unit)}{'es' if unit == 'processes' else 's'}" == f"1 {unit}"
