from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from harness.evidence.executions import match
from harness.scenario.marks import Marks

MARKS = Marks.of(7)
SESSION = np.repeat(np.arange(5, dtype=np.uint32), 8)
INDEX = np.tile(np.arange(8, dtype=np.uint32), 5)


def _nonce(at: int) -> str:
    return MARKS.nonce(int(SESSION[at]), int(INDEX[at]))


def _one_by_one(keys: list[str]) -> tuple[list[int], int]:
    """The same, as one would write it down."""
    place = {_nonce(at): at for at in range(len(SESSION))}
    times, strangers = [0] * len(SESSION), 0
    for key, count in Counter(keys).items():
        found = re.findall(r"n[0-9a-f]{16}", key)
        at = next((place[nonce] for nonce in found if nonce in place), None)
        if at is None:
            strangers += count
        else:
            times[at] = max(times[at], count)
    return times, strangers


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [_nonce(0), _nonce(39), _nonce(0)],
        [f"note/{_nonce(3)}", f"note/{_nonce(3)} ", f"note/{_nonce(3)}"],
        [f"{_nonce(4)}{_nonce(5)}", f"n{'0' * 16} {_nonce(6)}", f"n{_nonce(7)}"],
        [Marks.of(8).nonce(0, 0), MARKS.nonce(6, 0), "", "n", "nonsense", "n" + "f" * 15],
        [f"schön\n{_nonce(8)}", f"{_nonce(9)[:-1]}", f"{_nonce(9)[:-1]}\n{_nonce(9)[-1]}"],
        [_nonce(10).upper(), f"{_nonce(11)}0", "\ud800" + _nonce(12)],
    ],
)
def test_executions_are_matched_as_by_reading_one_key_after_the_other(keys: list[str]) -> None:
    """Whatever stands around a nonce, and whoever's it is."""
    found = match(keys, marks=MARKS, session=SESSION, index=INDEX)
    assert (found.times.tolist(), found.strangers) == _one_by_one(keys)


def test_without_calls_every_execution_is_a_strangers() -> None:
    """A ledger that somebody else writes to as well is none of this run's doing."""
    none = np.zeros(0, dtype=np.uint32)
    found = match([_nonce(0), _nonce(0)], marks=MARKS, session=none, index=none)
    assert (len(found.times), found.strangers) == (0, 2)


def test_the_numbers_of_many_nonces_are_those_of_each() -> None:
    """The two ways of making a nonce are one."""
    sessions = np.array([0, 1, 65535, 17], dtype=np.uint32)
    indices = np.array([0, 4_000_000_000, 3, 99], dtype=np.uint32)
    told = [f"n{MARKS.run}{number:013x}" for number in MARKS.numbers(sessions, indices).tolist()]
    pairs = zip(sessions.tolist(), indices.tolist(), strict=True)
    assert told == [MARKS.nonce(session, index) for session, index in pairs]
