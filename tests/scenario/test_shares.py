from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.scenario.shares import apportion, is_treated, treated_count

SHARES = st.lists(st.integers(1, 1000), min_size=1, max_size=8).map(
    lambda weights: [weight / sum(weights) for weight in weights]
)


@given(st.integers(1, 20_000), SHARES)
def test_every_session_goes_to_one_agent_near_its_share(sessions: int, shares: list[float]) -> None:
    """None is lost, and nobody is off by a whole session more than rounding takes."""
    counts = apportion(sessions, shares)
    assert sum(counts) == sessions
    for count, share in zip(counts, shares, strict=True):
        assert abs(count - sessions * share) < 1 + sessions * 1e-5


@given(st.integers(0, 500), st.integers(0, 500), st.integers(0, 100))
def test_any_stretch_of_the_line_has_its_share_of_treated(
    start: int, length: int, percent: int
) -> None:
    """So each agent, which is a stretch, is exact to one session."""
    treated = sum(is_treated(place, percent / 100) for place in range(start, start + length))
    assert abs(treated - length * percent / 100) < 1


@given(st.integers(0, 2000), st.integers(0, 100))
def test_the_treated_are_counted_without_being_drawn_up(sessions: int, percent: int) -> None:
    """The count that the scenario is checked with is the one that the plan gives."""
    treated = sum(is_treated(place, percent / 100) for place in range(sessions))
    assert treated == treated_count(sessions, percent / 100)
