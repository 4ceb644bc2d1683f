"""How often each call took effect: the ledger's keys matched to calls by the nonces they carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.scenario.marks import Marks

_NONCE_BYTES: Final = 17  # `n`, three digits of the run, thirteen of the call
_RUN_DIGITS: Final = 3
_NO_DIGIT: Final = 255
_DIGITS: Final = np.full(256, _NO_DIGIT, dtype=np.uint8)
_DIGITS[np.frombuffer(b"0123456789abcdef", dtype=np.uint8)] = np.arange(16)

Whole = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Executions:
    """The ledger beside the calls that it was asked for."""

    times: Whole  # how often each call took effect
    strangers: int  # executions that none of these calls accounts for


def match(
    keys: Iterable[str], *, marks: Marks, session: NDArray[np.uint32], index: NDArray[np.uint32]
) -> Executions:
    """Match executions to calls by the first nonce of theirs that a key carries.

    Only equal keys are added up: an oversized variant that a prelude sent is a request of its own.
    """
    times = np.zeros(len(session), dtype=np.int64)
    counted = Counter(keys)
    counts = np.fromiter(counted.values(), dtype=np.int64, count=len(counted))
    owner = owners(tuple(counted), marks=marks, session=session, index=index)
    known = owner >= 0
    np.maximum.at(times, owner[known], counts[known])
    return Executions(times=times, strangers=int(counts[~known].sum()))


def owners(
    keys: Sequence[str], *, marks: Marks, session: NDArray[np.uint32], index: NDArray[np.uint32]
) -> Whole:
    """Give for each key the call whose nonce it carries first; -1 where it carries nobody's."""
    owner = np.full(len(keys), -1, dtype=np.int64)
    if not len(keys) or not len(session):
        return owner
    numbers = marks.numbers(session, index)
    order = np.argsort(numbers, kind="stable")
    key, seen = _nonces(keys, marks.run)
    place = np.searchsorted(numbers, seen, side="right", sorter=order) - 1
    at = order[np.maximum(place, 0)]
    known = (place >= 0) & (numbers[at] == seen)
    key, first = np.unique(key[known], return_index=True)
    owner[key] = at[known][first]
    return owner


def _nonces(keys: Sequence[str], run: str) -> tuple[Whole, NDArray[np.uint64]]:
    """Find every nonce of a run in some texts: which text it is in, and its number, in order."""
    encoded = [key.encode(errors="surrogatepass") for key in keys]
    starts = np.cumsum([0, *(len(key) + 1 for key in encoded)])[:-1]
    text = np.frombuffer(b"\n".join(encoded) + b"\n" * _NONCE_BYTES, dtype=np.uint8)
    at = np.flatnonzero(text[: -_NONCE_BYTES + 1] == ord("n"))
    for place, wanted in enumerate(run.encode(), start=1):
        at = at[text[at + place] == wanted]
    number = np.zeros(len(at), dtype=np.uint64)
    for place in range(1 + _RUN_DIGITS, _NONCE_BYTES):
        digit = _DIGITS[text[at + place]]
        whole = digit != _NO_DIGIT
        at, number = at[whole], number[whole] << np.uint64(4) | digit[whole]
    return np.searchsorted(starts, at, side="right") - 1, number
