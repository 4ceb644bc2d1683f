from __future__ import annotations

from tests.benchmarks.workers import Done, conclusion


def _done(calls_per_s: float, capacity: float) -> Done:
    return Done(calls_per_s=calls_per_s, capacity=capacity, busy=(0.9,))


def test_where_cores_are_free_the_calls_per_second_count() -> None:
    """Both figures are told; the goal is held to the one that users get."""
    said = conclusion([_done(50_000, 60_000)], [_done(75_000, 120_000)], 8)
    assert "1.50 x the calls per second of one, 2.00 x" in said
    assert said.endswith("under its goal of 1.7")


def test_where_cores_are_not_free_that_is_said_and_capacity_counts() -> None:
    """Two workers on the core of one cannot do more, and are not blamed for it."""
    said = conclusion([_done(50_000, 60_000)], [_done(48_000, 110_000)], 2)
    assert "under its goal" not in said
    assert "cores were not free: 2 of 5" in said


def test_workers_that_do_less_for_their_processor_time_are_under_the_goal() -> None:
    """The sum of what they could do is held to it on any machine."""
    assert "under its goal" in conclusion([_done(50_000, 60_000)], [_done(48_000, 90_000)], 2)
