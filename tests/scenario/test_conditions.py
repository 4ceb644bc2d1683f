from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scenario.conditions import (
    LIMITS,
    ConditionError,
    limits,
    parse_abort,
    parse_limit,
    parse_rows,
)
from harness.scenario.records import Limits


def test_a_limit_is_held_in_its_own_unit() -> None:
    """Shares lie in [0, 1], durations are seconds, points are points."""
    answered = parse_limit("answered", ">= 99.5%")
    assert (answered.comparison, answered.limit, answered.unit) == (">=", 0.995, "share")
    assert parse_limit("latency_p99", "<=800ms").limit == pytest.approx(0.8)
    assert parse_limit("score", "> 80").limit == 80


@pytest.mark.parametrize(
    ("name", "text", "value", "holds"),
    [
        ("answered", ">= 99%", 0.99, True),
        ("answered", "> 99%", 0.99, False),
        ("recovery", "<= 5s", 5.0, True),
        ("recovery", "< 5s", 5.0, False),
    ],
)
def test_a_limit_holds_at_its_edge_only_when_the_edge_is_included(
    name: str, text: str, value: float, *, holds: bool
) -> None:
    """The sign decides about equality."""
    assert parse_limit(name, text).holds(value) is holds


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("text", ["", "99", ">=", ">= ", "== 5", ">= -1", "<= five", ">= 1/s"])
def test_a_condition_that_means_nothing_is_refused_with_an_example(name: str, text: str) -> None:
    """The mend can be copied."""
    with pytest.raises(ConditionError) as caught:
        parse_limit(name, text)
    assert LIMITS[name].example in caught.value.mend


@pytest.mark.parametrize("name", LIMITS)
def test_each_limits_example_is_one(name: str) -> None:
    """What a message tells people to write is accepted."""
    assert parse_limit(name, LIMITS[name].example).text == LIMITS[name].example


def test_all_limits_of_a_scenario_come_by_name() -> None:
    """What is not gated is not there."""
    found = limits(Limits(answered=">= 99%", recovery="<= 3s"))
    assert {name: each.limit for name, each in found.items()} == {"answered": 0.99, "recovery": 3}


def test_a_stop_condition_may_have_to_last() -> None:
    """`for` says how long without a break."""
    stop = parse_abort("> 20% for 5s")
    assert (stop.limit, stop.for_s) == (0.2, 5.0)
    assert parse_abort(">= 5%").for_s == 0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(-1, 10**6))
def test_a_range_of_rows_includes_both_ends(low: int, more: int, rows: int) -> None:
    """And an unknown count, -1, is in no range."""
    assert parse_rows(f"{low}..{low + more}").holds(rows) is (low <= rows <= low + more)
    assert parse_rows(f">= {low}").holds(rows) is (rows >= low)
    assert parse_rows(f"== {low}").holds(rows) is (rows == low)
    assert parse_rows(f"< {low + 1}").holds(rows) is (0 <= rows <= low)


@pytest.mark.parametrize("text", ["< 0", "5..1", "1...2", "many", ">= 1.5", "-1..3"])
def test_rows_that_cannot_be_are_refused(text: str) -> None:
    """A count that no result could have would fail every run."""
    with pytest.raises(ConditionError):
        parse_rows(text)
