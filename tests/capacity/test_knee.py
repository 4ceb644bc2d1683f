from __future__ import annotations

import numpy as np
import pytest

from harness.capacity import knee
from tests.capacity.climbs import Server, bars, cliff, climb, course, queue


def noisy(capacity_per_s: float, slots: int = 8) -> Server:
    """Make a queue whose service times vary by half either way."""
    mean_s = slots / capacity_per_s
    return queue(slots, lambda random: mean_s * random.uniform(0.5, 1.5))


@pytest.mark.parametrize(
    ("server", "truth", "spacing"),
    [
        (queue(8, lambda _: 0.04), 200, "even"),
        (queue(8, lambda _: 0.04), 200, "poisson"),
        (queue(1, lambda _: 0.2), 5, "even"),
        (noisy(730, slots=20), 730, "poisson"),
        (cliff(470), 470, "even"),
    ],
    ids=[
        "a hard cap",
        "a hard cap, poisson",
        "slower than the first step",
        "noise",
        "an error cliff",
    ],
)
def test_the_knee_of_a_known_server_lies_in_its_interval(
    server: Server, truth: float, spacing: str
) -> None:
    """Slots by service time is the truth, to the last call a second."""
    of = course(spacing=spacing, limits=("latency_p99 <= 1s",))
    found = knee.find(climb(server, of), bars(of), seed=1)
    assert found is not None
    assert found.high is not None
    assert found.low <= truth <= found.high
    assert found.high / found.low < 1.5
    assert found.estimate == pytest.approx(truth, rel=0.15)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of 30 climbs of a noisy queue under random arrivals, no more than 3 may miss it."""
    of = course(spacing="poisson")
    server, hits = noisy(197), 0
    for seed in range(30):
        found = knee.find(climb(server, of, seed=seed), bars(of), seed=seed)
        assert found is not None
        hits += found.low <= 197 <= (found.high or np.inf)
    assert hits >= 27


def test_a_limit_on_latency_puts_the_knee_below_the_capacity() -> None:
    """A queue that takes calls one by one is slow long before it is full."""
    of = course(spacing="poisson", limits=("latency_p99 <= 50ms",))
    server = queue(1, lambda random: float(random.exponential(1 / 300)))
    found = knee.find(climb(server, of), bars(of), seed=1)
    assert found is not None
    assert found.high is not None
    assert found.low < 240
    assert found.high < 300


def test_without_an_overload_the_knee_has_no_upper_end() -> None:
    """A climb that ends below the knee says at least, and no more."""
    of = course(last_per_s=100.0)
    found = knee.find(climb(queue(8, lambda _: 0.04), of), bars(of), seed=1)
    assert found is not None
    assert (found.estimate, found.high) == (100, None)
    assert found.low == pytest.approx(100, rel=0.02)
    assert not found.bounded


def test_without_a_step_that_was_kept_there_is_no_estimate() -> None:
    """A server that never answers in time has no knee; it is below what was tried."""
    of = course(first_per_s=8.0)
    found = knee.find(climb(queue(1, lambda _: 5.0), of), bars(of), seed=1)
    assert found is not None
    assert (found.estimate, found.low) == (None, 0)
    assert found.high is not None
    assert found.high <= 8


def test_one_hiccup_does_not_move_the_knee() -> None:
    """A no below many yeses is outvoted, and widens the interval at most."""
    of = course()
    server = queue(8, lambda _: 0.04)

    def stall(number: int, calls: object) -> None:
        if number == 2:  # the first step of 100/s
            calls["done_ns"] += 900_000_000  # type: ignore[index]

    steps = climb(server, of, spoil=stall)
    assert [step.verdict for step in steps[:3]] == ["kept", "slow", "kept"]
    found = knee.find(steps, bars(of), seed=1)
    assert found is not None
    assert found.high is not None
    assert found.low <= 200 <= found.high


def test_the_same_steps_give_the_same_knee() -> None:
    """Whoever judges a climb again gets the same interval to the last digit."""
    of = course(spacing="poisson")
    steps = climb(noisy(300), of)
    one, two = (knee.find(steps, bars(of), seed=4) for _ in range(2))
    assert one is not None
    assert two is not None
    assert (one.low, one.high, one.estimate) == (two.low, two.high, two.estimate)


def test_the_ratio_of_two_knees_covers_what_is_left() -> None:
    """Half the slots are half the capacity."""
    of = course(spacing="poisson")
    bare, under = (
        knee.find(climb(queue(slots, lambda _: 0.04), of, seed=slots), bars(of), seed=1)
        for slots in (8, 4)
    )
    assert bare is not None
    assert under is not None
    estimate, low, high = knee.ratio(under, bare)
    assert estimate is not None
    assert high is not None
    assert low <= 0.5 <= high
    assert low <= estimate <= high
    assert high - low < 0.4


def test_a_ratio_with_an_open_end_says_so() -> None:
    """Under a knee that is only known from below, nothing bounds what is left from above."""
    of = course(last_per_s=100.0)
    bounded = knee.find(climb(queue(8, lambda _: 0.04), course()), bars(of), seed=1)
    unbounded = knee.find(climb(queue(8, lambda _: 0.04), of), bars(of), seed=1)
    assert bounded is not None
    assert unbounded is not None
    estimate, low, high = knee.ratio(unbounded, bounded)
    assert high is None
    assert 0.4 < low < 0.6
    assert estimate is None
    estimate, low, high = knee.ratio(bounded, unbounded)
    assert (estimate, low) == (None, 0)
    assert high is not None
    assert high < 2.3
