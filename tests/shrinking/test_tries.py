from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat

import pytest

from harness.errors import Exit
from harness.shrinking.candidate import Candidate, Slot
from harness.shrinking.course import Shrunk, shrink
from harness.shrinking.tries import Ended, Outcome, Told, Tries

YES = Outcome(reproduced=True)
NO = Outcome(reproduced=False)
DOUBTFUL = Outcome(reproduced=False, doubt="the evidence was not sound: generator")
REFUSED = Outcome(reproduced=False, refused="nothing answers at the target")
START = Candidate(
    slots=tuple(Slot(window=number, duration_s=4) for number in (1, 2, 3)),
    ramp_s=1,
    warmup_s=1,
    baseline_s=4,
    recovery_s=2,
    sessions=8,
)
ONE = START.keeping(frozenset({1}))
NONE = START.keeping(frozenset())


class Stage:
    """Plays what it is told to, on a clock of its own."""

    def __init__(self, play: Callable[[Candidate], Outcome] | Iterator[Outcome]) -> None:
        self._play = play if callable(play) else lambda _: next(play)
        self.now_s = 0.0
        self.told: list[Told] = []

    def play(self, candidate: Candidate) -> Outcome:
        """Take as long as the run would, and four seconds more."""
        outcome = self._play(candidate)
        if not outcome.senseless:
            self.now_s += candidate.length_s + 4
        return outcome

    def tries(self, *, budget_s: float = 1e6, most: int = 1000, reserved: int = 0) -> Tries:
        """The tries on this stage."""
        return Tries(
            self.play,
            budget_s=budget_s,
            most=most,
            reserved=reserved,
            tell=self.told.append,
            clock=lambda: self.now_s,
        )


def shrunk(stage: Stage, *, confirm: int = 2, budget_s: float = 1e6, most: int = 1000) -> Shrunk:
    """Search with window 1 as the suspect."""
    tries = stage.tries(budget_s=budget_s, most=most, reserved=confirm)
    return shrink(tries, START, suspect=1, sessions_min=2, confirm=confirm)


def test_a_candidate_is_tried_once() -> None:
    """What is known is not asked again."""
    stage = Stage(iter([YES]))
    tries = stage.tries()
    assert tries.reproduces(ONE)
    assert tries.reproduces(ONE)
    assert (tries.count, tries.reproduced) == (1, [ONE])


def test_doubtful_evidence_is_looked_for_once_more_and_then_counts_for_nothing() -> None:
    """A sound second look counts."""
    stage = Stage(iter([DOUBTFUL, YES, DOUBTFUL, DOUBTFUL]))
    tries = stage.tries()
    assert tries.reproduces(ONE)
    assert not tries.reproduces(START)
    assert tries.count == len(stage.told) == 4


def test_a_doubt_that_lasts_costs_one_try() -> None:
    """A fault that hit nothing hits nothing the next time."""
    blunt = replace(DOUBTFUL, doubt="the evidence was not sound: fault-bit", lasting=True)
    stage = Stage(iter([blunt, YES]))
    tries = stage.tries()
    assert not tries.reproduces(ONE)
    assert not tries.reproduces(ONE)
    assert tries.reproduces(START)
    assert tries.count == 2


def test_what_makes_no_sense_costs_no_try() -> None:
    """Nothing was run for it."""
    stage = Stage(repeat(Outcome(reproduced=False, senseless="no fault to recover from")))
    tries = stage.tries(most=1)
    assert not tries.reproduces(ONE)
    assert not tries.reproduces(START)
    assert (tries.count, stage.told) == (0, [])


def test_tries_end_in_time_for_those_that_confirm() -> None:
    """By number and by time; what is reserved is there for `again` alone."""
    tries = Stage(repeat(YES)).tries(most=3, reserved=2)
    assert tries.reproduces(START)
    with pytest.raises(Ended, match="--tries 3 are spent"):
        tries.reproduces(ONE)
    assert tries.again(START)
    assert tries.again(START)
    with pytest.raises(Ended):
        tries.again(START)
    one_s, start_s = ONE.length_s + 4, START.length_s + 4
    tries = Stage(repeat(YES)).tries(budget_s=one_s + start_s + 2 * one_s - 1, reserved=2)
    assert tries.reproduces(ONE)
    with pytest.raises(Ended, match="--budget is spent"):
        tries.reproduces(START)
    assert tries.again(ONE)


def test_a_search_is_confirmed_and_its_rate_is_said() -> None:
    """The smallest is run again, as often as was asked."""
    stage = Stage(lambda one: Outcome(reproduced=1 in one.windows))
    result = shrunk(stage, confirm=3)
    assert result.candidate is not None
    assert result.candidate.windows == (1,)
    assert (result.reproduced, result.confirming, result.code) == (3, 3, Exit.PASS)
    assert [told.candidate for told in stage.told[-3:]] == [result.candidate] * 3
    assert result.tries == len(stage.told)


def test_a_smallest_that_was_mere_chance_gives_way_to_the_one_before() -> None:
    """It failed once and never again."""
    fluke = iter([True])

    def play(one: Candidate) -> Outcome:
        if one.sessions == 2:
            return Outcome(reproduced=1 in one.windows and next(fluke, False))
        return Outcome(reproduced=1 in one.windows)

    result = shrunk(Stage(play))
    assert result.candidate == ONE
    assert (result.reproduced, result.confirming, result.code) == (2, 2, Exit.PASS)


def test_what_never_fails_again_is_no_success() -> None:
    """Exit 1, whether it never failed or only once."""
    never = shrunk(Stage(repeat(NO)))
    assert (never.candidate, never.code, never.tries) == (None, Exit.FAIL, 2)
    first = iter([YES])
    once = shrunk(Stage(lambda _: next(first, NO)))
    assert (once.candidate, once.code) == (ONE, Exit.FAIL)
    assert (once.reproduced, once.confirming) == (0, 2)


def test_a_spent_budget_leaves_the_smallest_so_far_confirmed() -> None:
    """It says why it ended, and is no failure."""
    result = shrunk(Stage(lambda one: Outcome(reproduced=1 in one.windows)), most=4)
    assert result.candidate == ONE
    assert (result.reproduced, result.confirming, result.code) == (2, 2, Exit.PASS)
    assert result.ended == "--tries 4 are spent"


def test_an_interruption_leaves_the_smallest_so_far() -> None:
    """Without another run."""

    def play(one: Candidate) -> Outcome:
        if one == NONE:
            raise KeyboardInterrupt
        return YES

    result = shrunk(Stage(play))
    assert (result.candidate, result.code, result.confirming) == (ONE, Exit.INTERRUPTED, 0)


def test_a_target_that_refuses_from_the_start_is_no_search() -> None:
    """Exit 2, with what was said."""
    result = shrunk(Stage(repeat(REFUSED)))
    assert (result.candidate, result.code, result.tries) == (None, Exit.NOT_RUN, 1)
    assert result.ended == REFUSED.refused


def test_a_target_that_is_gone_ends_the_search_with_what_there_is() -> None:
    """One refusal may be a candidate's own; two in a row are the target's."""
    result = shrunk(Stage(iter([YES, REFUSED, REFUSED])))
    assert (result.candidate, result.code, result.tries) == (ONE, Exit.NOT_RUN, 3)
    lucky = shrunk(Stage(iter([YES, REFUSED, YES, *repeat(YES, 20)])))
    assert lucky.code is Exit.PASS


def test_a_try_that_is_not_healed_ends_everything() -> None:
    """Its exit code outranks what was found."""
    broken = Outcome(reproduced=False, stop=Exit.NOT_HEALED, why="not proven healed")
    result = shrunk(Stage(iter([YES, broken])))
    assert (result.candidate, result.code) == (ONE, Exit.NOT_HEALED)
    assert result.ended == "not proven healed"
