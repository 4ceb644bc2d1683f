from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.shrinking.candidate import (
    CALM_MIN_S,
    WINDOW_MIN_S,
    Candidate,
    Slot,
    sessions,
    times,
    to_half,
    to_least,
)
from harness.shrinking.search import fewest, smallest

SESSIONS_MIN = 3
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

seconds = st.integers(1, 120).map(lambda halves: halves / 2)
wholes = st.builds(
    Candidate,
    slots=st.lists(st.tuples(seconds, st.sampled_from([0.0, 4.0])), min_size=1, max_size=8).map(
        lambda given: tuple(
            Slot(window=number, duration_s=length_s, pause_s=pause_s)
            for number, (length_s, pause_s) in enumerate(given, start=1)
        )
    ),
    ramp_s=seconds,
    warmup_s=seconds,
    baseline_s=st.integers(3, 60).map(float),
    recovery_s=st.integers(1, 30).map(float),
    sessions=st.integers(SESSIONS_MIN, 200),
)


class Oracle:
    """Says whether a candidate fails, and remembers what it was asked."""

    def __init__(self, fails: Callable[[Candidate], bool]) -> None:
        self._fails = fails
        self.asked: list[Candidate] = []
        self.yes: list[Candidate] = []

    def __call__(self, candidate: Candidate) -> bool:
        """Answer."""
        self.asked.append(candidate)
        failed = self._fails(candidate)
        if failed:
            self.yes.append(candidate)
        return failed


def search(start: Candidate, oracle: Oracle, suspect: int = 0) -> Candidate | None:
    """Search as the command does."""
    return smallest(start, oracle, suspect=suspect, sessions_min=SESSIONS_MIN)


def needs(start: Candidate, share: float, windows: frozenset[int]) -> Callable[[Candidate], bool]:
    """A failure that takes some windows, and a share of everything else; more never hurts."""

    def fails(candidate: Candidate) -> bool:
        lengths = {slot.window: slot.duration_s for slot in candidate.slots}
        return (
            windows <= frozenset(candidate.windows)
            and all(
                lengths[slot.window] >= slot.duration_s * share
                for slot in start.slots
                if slot.window in windows
            )
            and candidate.baseline_s >= start.baseline_s * share
            and candidate.sessions >= start.sessions * share
        )

    return fails


def halves(candidate: Candidate) -> list[Candidate]:
    """Everything that is one step smaller without losing a window."""
    steps = [dimension(candidate, to_half) for dimension in times(candidate)]
    steps.append(sessions(SESSIONS_MIN)(candidate, to_half))
    return [one for one in steps if one != candidate]


@UNHURRIED
@given(wholes, st.floats(0, 1), st.data())
def test_a_monotone_failure_ends_in_what_it_needs_and_no_more(
    start: Candidate, share: float, data: st.DataObject
) -> None:
    """The windows exactly, and of everything else nothing that can still be halved."""
    windows = data.draw(st.frozensets(st.sampled_from(start.windows)))
    suspect = data.draw(st.sampled_from([0, *start.windows]))
    fails = needs(start, share, windows)
    oracle = Oracle(fails)
    found = search(start, oracle, suspect)
    assert found is not None
    assert fails(found)
    assert frozenset(found.windows) == windows
    assert not [one for one in halves(found) if fails(one)]
    assert len(oracle.asked) <= len(start.slots) ** 2 + 60


@UNHURRIED
@given(wholes, st.integers(), st.data())
def test_any_failure_ends_in_one_of_which_no_fault_can_be_left_out(
    start: Candidate, seed: int, data: st.DataObject
) -> None:
    """Also where more faults may hide what fewer show."""

    def fails(candidate: Candidate) -> bool:
        if candidate.windows == start.windows:
            return True
        return random.Random(f"{seed}{candidate.windows}").random() < 0.4

    found = search(start, Oracle(fails), data.draw(st.sampled_from([0, *start.windows])))
    assert found is not None
    assert fails(found)
    for window in found.windows:
        assert not fails(found.keeping(frozenset(found.windows) - {window}))


@UNHURRIED
@given(wholes, st.integers(), st.floats(0, 1))
def test_a_failure_that_comes_and_goes_ends_the_search_all_the_same(
    start: Candidate, seed: int, share: float
) -> None:
    """In the last candidate that failed, and in none where none did."""
    rng = random.Random(seed)
    oracle = Oracle(lambda _: rng.random() < share)
    found = search(start, oracle)
    assert found == (oracle.yes[-1] if oracle.yes else None)
    assert len(oracle.asked) <= 2 * len(start.slots) ** 2 + 60


@UNHURRIED
@given(wholes, st.data())
def test_nothing_grows_and_nothing_goes_below_its_least(
    start: Candidate, data: st.DataObject
) -> None:
    """Whatever fails: each candidate is a part of the first."""
    oracle = Oracle(lambda _: True)
    found = search(start, oracle, data.draw(st.sampled_from([0, *start.windows])))
    assert found is not None
    lengths = {slot.window: slot.duration_s for slot in start.slots}
    for one in oracle.asked:
        assert one.sessions in {start.sessions, max(SESSIONS_MIN, one.sessions)}
        assert one.length_s <= start.length_s + 1e-9
        for slot in one.slots:
            assert min(WINDOW_MIN_S, lengths[slot.window]) <= slot.duration_s
            assert slot.duration_s <= lengths[slot.window]
    assert found.slots == ()
    assert found.ramp_s == min(CALM_MIN_S, start.ramp_s)


def test_what_cannot_be_reproduced_is_given_up_after_two_tries() -> None:
    """The suspect alone, and everything."""
    start = Candidate(
        slots=tuple(Slot(window=number, duration_s=5) for number in (1, 2, 3)),
        ramp_s=1,
        warmup_s=1,
        baseline_s=5,
        recovery_s=5,
        sessions=20,
    )
    oracle = Oracle(lambda _: False)
    assert search(start, oracle, 2) is None
    assert oracle.asked == [start.keeping(frozenset({2})), start]


def test_one_fault_of_six_is_found_in_a_handful_of_tries() -> None:
    """The suspect alone, without it, everything at its least: three."""
    start = Candidate(
        slots=tuple(Slot(window=number, duration_s=6) for number in range(1, 7)),
        ramp_s=1,
        warmup_s=2,
        baseline_s=6,
        recovery_s=4,
        sessions=40,
    )
    oracle = Oracle(lambda one: 3 in one.windows)
    found = search(start, oracle, 3)
    assert found is not None
    assert found.windows == (3,)
    assert found == replace(
        start,
        slots=(Slot(window=3, duration_s=1),),
        ramp_s=0.5,
        warmup_s=0.5,
        baseline_s=3,
        recovery_s=1,
        sessions=SESSIONS_MIN,
    )
    assert len(oracle.asked) == 3


@UNHURRIED
@given(st.sets(st.integers(0, 30), max_size=6), st.integers(1, 31))
def test_delta_debugging_finds_the_only_part_that_fails(wanted: set[int], count: int) -> None:
    """With fewer tries than items squared."""
    wanted = {one for one in wanted if one < count}
    asked: list[tuple[int, ...]] = []

    def fails(kept: tuple[int, ...] | list[int]) -> bool:
        asked.append(tuple(kept))
        return wanted <= set(kept)

    assert set(fewest(range(count), lambda kept: fails(tuple(kept)))) == wanted
    assert len(asked) <= count * count + 10


def test_to_resize_a_candidate_twice_is_no_more_than_once_to_the_least() -> None:
    """So a search that halves ends where one that takes the least at once does."""
    start = Candidate(
        slots=(Slot(window=1, duration_s=7.5),),
        ramp_s=9,
        warmup_s=0.2,
        baseline_s=17,
        recovery_s=3,
        sessions=37,
    )
    for dimension in (*times(start), sessions(SESSIONS_MIN)):
        least, half = dimension(start, to_least), start
        for _ in range(12):
            half = dimension(half, to_half)
        assert half == least
