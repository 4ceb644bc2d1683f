"""One seed of the self-test: each flaw is found by its name, and sound servers are clean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from harness.selftest import suite
from harness.selftest.cases import ERAS, Trial
from harness.selftest.play import Result, play_all
from harness.selftest.table import row

TRIALS: Final = {str(trial): trial for trial in suite.of(eras=ERAS, seeds=(1,))}
LIMIT_S: Final = 1800

pytestmark = [pytest.mark.slow, pytest.mark.timeout(LIMIT_S)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Result]:
    """Every trial's result; several runs at a time, since most of a run is waiting."""
    made = play_all(
        list(TRIALS.values()),
        out=tmp_path_factory.mktemp("selftest"),
        jobs=3,
        tell=lambda result: print(row(result), flush=True),  # noqa: T201  half an hour is long
    )
    return dict(zip(TRIALS, made, strict=True))


@pytest.mark.parametrize("name", TRIALS)
def test_a_trial_comes_to_what_it_must(results: Mapping[str, Result], name: str) -> None:
    """A flaw's own verdict with evidence and nothing unrelated, or nothing at all."""
    assert results[name].against == (), row(results[name])


def test_no_two_trials_have_one_name() -> None:
    """Or one would hide the other's result."""
    every: list[Trial] = list(suite.of(eras=ERAS, seeds=(1,)))
    assert len(every) == len(TRIALS)
