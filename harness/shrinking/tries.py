"""The tries of a search: counted, bounded in number and time, each candidate tried only once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harness.errors import Exit
from harness.shrinking.candidate import Candidate

_AGAIN: Final = 2  # how often at most a candidate is tried while its evidence is not sound
_REFUSED_MAX: Final = 2  # runs in a row that would not begin: no candidate is to blame for that
_OVERHEAD_S: Final = 6.0  # what a run takes beside its load, until one has shown it


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one try."""

    reproduced: bool
    doubt: str = ""  # why its evidence was not sound
    lasting: bool = False  # no other run of it would be any sounder
    refused: str = ""  # why it would not begin
    senseless: str = ""  # why it is no scenario; nothing was run
    stop: Exit = Exit.PASS  # what ends the search
    why: str = ""  # it ends


class Ended(Exception):  # noqa: N818  no error: the search has had what it was given
    """The search has to end before it is done; the text says why."""

    def __init__(self, why: str, code: Exit = Exit.PASS) -> None:
        """Keep the reason and the exit code that the command then ends in."""
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, kw_only=True)
class Told:
    """One try, for those who watch."""

    number: int
    candidate: Candidate
    outcome: Outcome
    took_s: float


Play = Callable[[Candidate], Outcome]


class Tries:
    """Tries candidates within a budget, and keeps those that reproduced the failure."""

    def __init__(
        self,
        play: Play,
        *,
        budget_s: float,
        most: int,
        reserved: int,
        tell: Callable[[Told], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep enough of the budget to try the smallest candidate `reserved` times more."""
        self._play, self._tell, self._clock = play, tell, clock
        self._budget_s, self._most, self._reserved = budget_s, most, reserved
        self._began_s = clock()
        self._known: dict[Candidate, bool] = {}
        self._overhead_s = _OVERHEAD_S
        self._refused = 0
        self.count = 0
        self.reproduced: list[Candidate] = []

    @property
    def took_s(self) -> float:
        """Seconds since the first could begin."""
        return self._clock() - self._began_s

    def reproduces(self, candidate: Candidate) -> bool:
        """Try a candidate, unless it was tried before; doubtful evidence is looked for once more.

        Not where the doubt lasts: another run would leave the same open.

        Raises:
            Ended: when there is no time or number left for it, or runs do not go well any more.
        """
        if candidate not in self._known:
            outcome = self._once(candidate, self._reserved)
            for _ in range(_AGAIN - 1):
                if outcome.doubt and not outcome.lasting:
                    outcome = self._once(candidate, self._reserved)
            self._known[candidate] = outcome.reproduced
            if outcome.reproduced:
                self.reproduced.append(candidate)
        return self._known[candidate]

    def again(self, candidate: Candidate) -> bool:
        """Try a candidate whether or not it was tried before; on what was reserved, too.

        Raises:
            Ended: as above.
        """
        return self._once(candidate, 0).reproduced

    def _once(self, candidate: Candidate, reserved: int) -> Outcome:
        self._check(candidate, reserved)
        began_s = self._clock()
        outcome = self._play(candidate)
        if outcome.senseless:
            return outcome
        took_s = self._clock() - began_s
        self.count += 1
        self._tell(Told(number=self.count, candidate=candidate, outcome=outcome, took_s=took_s))
        if outcome.stop is not Exit.PASS:
            raise Ended(outcome.why, outcome.stop)
        self._refused = self._refused + 1 if outcome.refused else 0
        if outcome.refused and (self.count == 1 or self._refused >= _REFUSED_MAX):
            raise Ended(outcome.refused, Exit.NOT_RUN)
        if not outcome.refused:
            self._overhead_s = max(1.0, took_s - candidate.length_s)
        return outcome

    def _check(self, candidate: Candidate, reserved: int) -> None:
        """See that there is room for one more try, and for those that are to come last."""
        if self.count + reserved >= self._most:
            raise Ended(f"--tries {self._most} are spent")
        if not self.count:
            return
        best = min((candidate, *self.reproduced[-1:]), key=lambda one: one.length_s)
        expected_s = candidate.length_s + self._overhead_s
        expected_s += reserved * (best.length_s + self._overhead_s)
        if self.took_s + expected_s > self._budget_s:
            raise Ended(f"--budget is spent: the next try takes about {expected_s:.0f}s")
