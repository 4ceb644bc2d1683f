"""The search for the smallest candidate that still reproduces a failure; pure, it runs nothing.

First the faults, by delta debugging (ddmin; Zeller and Hildebrandt, 2002), then how long everything
takes, then the sessions. It moves only to what has reproduced the failure, so whoever ends it early
has in the last such candidate the smallest so far.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from harness.shrinking.candidate import (
    Candidate,
    Dimension,
    Resize,
    sessions,
    times,
    to_half,
    to_least,
)

Reproduces = Callable[[Candidate], bool]


def smallest(
    start: Candidate, reproduces: Reproduces, *, suspect: int, sessions_min: int
) -> Candidate | None:
    """Give the smallest candidate found; None when not even the whole one reproduces the failure.

    `suspect` is the window that the failure was found under, 0 for none: it is tried alone first.
    Whatever `reproduces` raises ends the search.
    """
    guess = start.keeping(frozenset({suspect}))
    if guess != start and reproduces(guess):
        found = guess
    elif reproduces(start):
        found = start
    else:
        return None
    windows = fewest(found.windows, lambda kept: reproduces(found.keeping(frozenset(kept))))
    return _shortest(found.keeping(frozenset(windows)), reproduces, sessions(sessions_min))


def fewest(items: Sequence[int], fails: Callable[[Sequence[int]], bool]) -> tuple[int, ...]:
    """Give a part of the items that fails, of which no single one can be left out.

    All of them together are known to fail.
    """
    kept, parts = tuple(items), 2
    while kept:
        if len(kept) == 1:
            return () if fails(()) else kept
        found = next((one for one in _parts_and_rests(kept, parts) if fails(one)), None)
        if found is not None:
            parts = 2 if len(found) <= -(-len(kept) // parts) else max(parts - 1, 2)
            kept = found
        elif parts < len(kept):
            parts = min(2 * parts, len(kept))
        else:
            break
    return kept


def _parts_and_rests(items: tuple[int, ...], parts: int) -> Iterator[tuple[int, ...]]:
    """Cut into parts: each alone, then everything but each."""
    size = len(items)
    edges = [size * number // parts for number in range(parts + 1)]
    cuts = list(pairwise(edges))
    for start, end in cuts:
        yield items[start:end]
    for start, end in cuts if parts > 2 else ():  # noqa: PLR2004  of two parts each is the other's rest
        yield items[:start] + items[end:]


def _shortest(candidate: Candidate, reproduces: Reproduces, count: Dimension) -> Candidate:
    """Make everything the least at once, or else the times, or else one thing after the other."""
    lengths = tuple(times(candidate))
    for bold in ((*lengths, count), lengths):
        smaller = _resized(candidate, bold, to_least)
        if smaller != candidate and reproduces(smaller):
            candidate = smaller
            break
    for dimension in (*lengths, count):
        least = dimension(candidate, to_least)
        if least == candidate:
            continue
        if reproduces(least):
            candidate = least
            continue
        while True:
            half = dimension(candidate, to_half)
            if half in {candidate, least} or not reproduces(half):
                break
            candidate = half
    return candidate


def _resized(candidate: Candidate, by: Sequence[Dimension], resize: Resize) -> Candidate:
    for dimension in by:
        candidate = dimension(candidate, resize)
    return candidate
