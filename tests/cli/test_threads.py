"""How many threads numpy has in a command, and what its children see of that."""

from __future__ import annotations

import os

import pytest

from harness.cli import _numpy_alone

OURS = "OPENBLAS_NUM_THREADS"
THEIRS = "OMP_NUM_THREADS"


@pytest.fixture(autouse=True)
def _nothing_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (OURS, THEIRS):
        monkeypatch.delenv(name, raising=False)


def test_numpy_is_loaded_for_one_thread_and_children_see_nothing_of_it() -> None:
    """A target that squall launches has the environment that the user gave it."""
    with _numpy_alone():
        assert os.environ[OURS] == "1"
    assert OURS not in os.environ


@pytest.mark.parametrize("name", [OURS, THEIRS])
def test_what_the_user_says_stands(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either of the two names by which OpenBLAS is told."""
    monkeypatch.setenv(name, "2")
    with _numpy_alone():
        assert os.environ.get(OURS) == ("2" if name == OURS else None)
    assert os.environ[name] == "2"
