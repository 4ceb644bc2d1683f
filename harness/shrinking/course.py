"""The course of a search: shrink, then see how often the smallest reproduces the failure."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import Exit
from harness.shrinking.candidate import Candidate
from harness.shrinking.search import smallest
from harness.shrinking.tries import Ended, Tries


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """What came of a search."""

    candidate: Candidate | None  # None: nothing has reproduced the failure
    reproduced: int  # of the runs that were made to confirm it
    confirming: int  # how many those were
    tries: int
    took_s: float
    ended: str = ""  # why it ended early
    code: Exit = Exit.PASS


@dataclass(kw_only=True)
class _Standing:
    """Which candidate is being confirmed, and how that goes."""

    candidate: Candidate | None = None
    reproduced: int = 0
    confirming: int = 0


def shrink(
    tries: Tries, start: Candidate, *, suspect: int, sessions_min: int, confirm: int
) -> Shrunk:
    """Search for the smallest candidate, and confirm it; Ctrl-C ends it with what there is."""
    ended, code = "", Exit.PASS
    standing = _Standing()
    try:
        try:
            smallest(start, tries.reproduces, suspect=suspect, sessions_min=sessions_min)
        except Ended as early:  # what is left is enough to confirm what there is
            ended, code = str(early), early.code
        standing.candidate = next(reversed(tries.reproduced), None)
        if code is Exit.PASS:
            _confirm(tries, confirm, standing)
    except Ended as early:
        ended, code = str(early), early.code
    except KeyboardInterrupt:
        ended, code = "it was interrupted", Exit.INTERRUPTED
    found = standing.candidate or next(reversed(tries.reproduced), None)
    if code is Exit.PASS and (found is None or (standing.confirming and not standing.reproduced)):
        code = Exit.FAIL
    return Shrunk(
        candidate=found,
        reproduced=standing.reproduced,
        confirming=standing.confirming,
        tries=tries.count,
        took_s=tries.took_s,
        ended=ended,
        code=code,
    )


def _confirm(tries: Tries, count: int, standing: _Standing) -> None:
    """Try the smallest again; one that was mere chance gives way to the one before it."""
    for candidate in reversed(tries.reproduced if count else ()):
        standing.candidate, standing.reproduced, standing.confirming = candidate, 0, 0
        for _ in range(count):
            standing.reproduced += tries.again(candidate)
            standing.confirming += 1
        if standing.reproduced:
            return
