"""One seed of the self-test: each flaw is found by its name, and sound servers are clean."""

from __future__ import annotations

from typing import Final

import pytest

from harness.selftest import suite
from harness.selftest.cases import ERAS
from tests.flaws.conftest import LIMIT_S, Matrix

TRIALS: Final = [str(trial) for trial in suite.of(eras=ERAS, seeds=(1,))]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S + 60)]


@pytest.mark.parametrize("name", TRIALS)
def test_a_trial_comes_to_what_it_must(matrix: Matrix, name: str) -> None:
    """A flaw's own verdict with evidence and nothing unrelated, or nothing at all."""
    result = matrix.result(name)
    assert result["right"], "\n".join([name, result["headline"], *result["against"]])


def test_no_two_trials_have_one_name() -> None:
    """Or one would hide the other's result."""
    assert len(set(TRIALS)) == len(TRIALS)
