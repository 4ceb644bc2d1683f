from __future__ import annotations

import numpy as np
import pytest

from harness.comparison.holm import ALPHA, chance_beyond, correct, deviations


def test_one_look_is_held_to_the_whole_allowance() -> None:
    """There is nothing to correct for."""
    assert [one.found for one in correct([0.049], [1.0])] == [True]
    assert [one.found for one in correct([0.051], [1.0])] == [False]


def test_the_more_looks_the_less_each_may_be_by_chance() -> None:
    """A twentieth among twenty is nothing; a thousandth is."""
    assert not any(one.found for one in correct([0.04] + [0.9] * 19, [1.0] * 20))
    held = correct([0.001] + [0.9] * 19, [1.0] * 20)
    assert [one.found for one in held] == [True] + [False] * 19
    assert held[0].level == pytest.approx(ALPHA / 20)
    assert held[1].level == pytest.approx(ALPHA / 19)  # what the first one had is passed on


def test_a_weightier_look_needs_less() -> None:
    """What an arm and phase lost as a whole is found sooner than what one tool lost."""
    chance = 0.01
    heavy, light = correct([chance, 0.9], [0.8, 0.2]), correct([0.9, chance], [0.8, 0.2])
    assert heavy[0].found
    assert light[1].found
    assert heavy[0].level == pytest.approx(0.8 * ALPHA)
    assert light[1].level == pytest.approx(0.2 * ALPHA)
    assert not correct([0.9, 0.02], [0.8, 0.2])[1].found


def test_nothing_behind_the_first_miss_is_found() -> None:
    """However the looks are given: their order is that of their chances."""
    held = correct([0.03, 0.0001, 0.04], [1.0, 1.0, 1.0])
    assert [one.found for one in held] == [False, True, False]


def test_nothing_to_correct_is_no_error() -> None:
    """Two runs without a figure in common have no looks at all."""
    assert correct([], []) == ()


@pytest.mark.parametrize(
    ("freedom", "deviation"), [(5, 2.571), (8, 2.306), (15, 2.131), (1000, 1.962)]
)
def test_few_runs_make_wide_errors(freedom: float, deviation: float) -> None:
    """The two-sided 95 % points of Student's distribution, as tables have them."""
    assert deviations(0.05, freedom) == pytest.approx(deviation, rel=5e-3)
    assert chance_beyond(deviation, freedom) == pytest.approx(0.05, rel=2e-2)


def test_chance_and_deviation_are_each_other_s_inverse() -> None:
    """The interval excludes nothing exactly when the chance is below its level."""
    for freedom in (2.0, 5.5, 60.0):
        for level in (0.5, 0.05, 0.001, 1e-6):
            assert chance_beyond(deviations(level, freedom), freedom) == pytest.approx(level)
    assert chance_beyond(0.0, 5) == 1
    assert deviations(0.0, 5) == np.inf
