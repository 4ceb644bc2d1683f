from __future__ import annotations

import numpy as np
import pytest

from harness.capacity.ladder import first_rate, next_rate, step_length_s
from harness.journal import Calls
from tests.capacity.climbs import bars, climb, course, queue

SERVER = queue(8, lambda _: 0.04)  # 200 a second


def late(calls: Calls, by_ms: float) -> None:
    """Let every call leave late, as a starved generator does."""
    for stamp in ("sent_ns", "done_ns"):
        calls[stamp] += int(by_ms * 1e6)


def test_a_climb_doubles_to_the_first_overload_and_never_beyond() -> None:
    """What has fallen behind once is not hit harder."""
    steps = climb(SERVER, course())
    rates = [step.rate_per_s for step in steps]
    assert rates[:4] == [50, 100, 200, 400]
    assert max(rates) == 400
    assert rates.count(400) == 1


def test_a_climb_goes_down_where_the_first_step_is_too_much() -> None:
    """A slow server is measured too, in longer steps."""
    steps = climb(queue(1, lambda _: 0.2), course(limits=("latency_p99 <= 1s",)))
    rates = [step.rate_per_s for step in steps]
    assert rates[:3] == [50, 25, 12.5]
    assert min(rates) < 5


def test_a_step_that_is_not_clear_is_tried_again() -> None:
    """One failure by a little may be the machine's; outvoted, it does not end the climb."""

    def hiccup(number: int, calls: Calls) -> None:
        if number == 2:
            slow = np.arange(len(calls)) % 20 == 0  # 5 % of the calls, where 1 % may be slow
            calls["done_ns"][slow] += 800_000_000

    steps = climb(SERVER, course(), spoil=hiccup)
    assert [(s.rate_per_s, s.kept) for s in steps[:5]] == [
        (50, True), (100, False), (100, True), (100, True), (200, True),
    ]  # fmt: skip


def test_the_ceiling_is_tried_and_not_passed() -> None:
    """Whoever says how much at most gets no more."""
    steps = climb(SERVER, course(last_per_s=130.0))
    assert [step.rate_per_s for step in steps] == [50, 100, 130]


def test_what_the_generator_limits_twice_ends_the_climb() -> None:
    """Squall's own end is no knee: it is tried once more, and then left alone."""

    def starve(number: int, calls: Calls) -> None:
        if number >= 3:
            late(calls, 30)

    steps = climb(SERVER, course(), spoil=starve)
    assert [(s.rate_per_s, s.verdict) for s in steps] == [
        (50, "kept"), (100, "kept"), (200, "limited"), (200, "limited"),
    ]  # fmt: skip
    assert not any(step.counts for step in steps[2:])


def test_a_hiccup_of_the_generator_does_not_end_the_climb() -> None:
    """The step that was limited is made again, and counts then."""

    def starve(number: int, calls: Calls) -> None:
        if number == 3:
            late(calls, 30)

    steps = climb(SERVER, course(), spoil=starve)
    assert [(s.rate_per_s, s.verdict) for s in steps[:5]] == [
        (50, "kept"), (100, "kept"), (200, "limited"), (200, "kept"), (400, "slow"),
    ]  # fmt: skip


def test_a_second_curve_begins_below_the_knee_of_the_first() -> None:
    """Under a fault nobody starts from nothing again."""
    bare = climb(SERVER, course())
    assert first_rate(course(), bare) == 50
    assert first_rate(course(first_per_s=7.0), ()) == 7


@pytest.mark.parametrize(("rate_per_s", "length_s"), [(1000.0, 5.0), (50.0, 8.543), (5.0, 15.0)])
def test_a_slow_step_lasts_longer(rate_per_s: float, length_s: float) -> None:
    """A p99 takes 299 calls, so few a second take longer; within reason."""
    assert step_length_s(course(), rate_per_s) == pytest.approx(length_s, rel=1e-3)


def test_a_climb_is_bounded_whatever_the_verdicts() -> None:
    """A target that answers by the toss of a coin ends the climb too."""
    of = course(step_s=2.0)

    def toss(number: int, calls: Calls) -> None:
        if number % 3 == 0:
            calls["done_ns"] += 900_000_000

    steps = climb(SERVER, of, spoil=toss)
    assert len(steps) <= 24
    assert next_rate(steps, of, 50.0, bars(of)) is None
