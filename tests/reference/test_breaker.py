"""The breaker before a dependency: it opens, asks again by one attempt, and closes."""

from __future__ import annotations

import pytest

from harness.reference.breaker import FAILURES_MAX, PAUSE_MAX_S, Breaker, OpenError


class _Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _opened(clock: _Hand) -> Breaker:
    breaker = Breaker(clock=clock)
    for _ in range(FAILURES_MAX):
        assert breaker.enter() is False
        breaker.fail(probe=False)
    return breaker


def test_it_opens_after_failures_in_a_row_and_after_no_others() -> None:
    """One success between them, and nothing is amiss."""
    breaker = Breaker(clock=_Hand())
    for _ in range(3 * FAILURES_MAX):
        breaker.enter()
        breaker.fail(probe=False)
        breaker.enter()
        breaker.succeed()
    breaker = _opened(_Hand())
    with pytest.raises(OpenError) as refused:
        breaker.enter()
    assert refused.value.left_s > 0


def test_one_attempt_at_a_time_asks_whether_it_is_over() -> None:
    """Half open lets one through; its success closes the breaker for all."""
    clock = _Hand()
    breaker = _opened(clock)
    clock.now_s += PAUSE_MAX_S
    assert breaker.enter() is True
    with pytest.raises(OpenError):
        breaker.enter()
    breaker.succeed()
    assert breaker.enter() is False


def test_a_probe_whose_caller_left_makes_room_for_another() -> None:
    """Nobody knows how it went, and the breaker must not wait for it for ever."""
    clock = _Hand()
    breaker = _opened(clock)
    clock.now_s += PAUSE_MAX_S
    breaker.enter()
    breaker.leave(probe=True)
    assert breaker.enter() is True


def test_pauses_grow_up_to_a_bound_while_nothing_comes_of_it() -> None:
    """A dependency that is gone is asked ever more rarely, and still soon enough to be found."""
    clock = _Hand()
    breaker = _opened(clock)
    waits = []
    for _ in range(6):
        began_s = clock.now_s
        while True:
            try:
                breaker.enter()
                break
            except OpenError as error:
                clock.now_s += error.left_s + 1e-6
        waits.append(clock.now_s - began_s)
        breaker.fail(probe=True)
    assert waits[0] < waits[2]
    assert max(waits) <= 1.3 * PAUSE_MAX_S + 0.1


def test_late_failures_of_earlier_attempts_do_not_keep_it_open() -> None:
    """Calls that were under way when it opened fail one by one; the pause stays what it was."""
    clock = _Hand()
    breaker = _opened(clock)
    for _ in range(50):
        clock.now_s += PAUSE_MAX_S / 50
        breaker.fail(probe=False)
    assert breaker.enter() is True
