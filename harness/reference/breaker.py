"""A circuit breaker: whoever has failed several times running is left alone for a while."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

FAILURES_MAX: Final = 5  # running
PAUSE_S: Final = 0.25  # the first time; doubled as long as nothing comes of it
PAUSE_MAX_S: Final = 1.0
JITTER: Final = 0.3  # of a pause, so that several servers do not come back at once


class OpenError(Exception):
    """Nothing is tried for now; how long that lasts."""

    def __init__(self, left_s: float) -> None:
        """Say how long."""
        super().__init__(f"{left_s:.1f} s")
        self.left_s = left_s


class Breaker:
    """Closed while all is well; open after failures; then half open, for one attempt at a time.

    Only that attempt's end says anything then: those that began before the breaker opened, and
    fail one after the other, must not keep it open.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin closed; `clock` gives seconds."""
        self._clock = clock
        self._failures = 0
        self._pause_s = PAUSE_S
        self._until_s = 0.0
        self._probing = False

    @property
    def _is_open(self) -> bool:
        return self._failures >= FAILURES_MAX

    def enter(self) -> bool:
        """Ask to try something; whether it is the one attempt that decides.

        Raises:
            OpenError: it is not to be tried.
        """
        if not self._is_open:
            return False
        left_s = self._until_s - self._clock()
        if left_s > 0 or self._probing:
            raise OpenError(max(left_s, 0.1))
        self._probing = True
        return True

    def succeed(self) -> None:
        """It went well, whichever attempt that was: all is well again."""
        self._failures, self._pause_s, self._probing = 0, PAUSE_S, False

    def fail(self, *, probe: bool) -> None:
        """It did not."""
        if self._is_open and not probe:
            return
        self._failures += 1
        if probe:
            self._probing = False
            self._pause_s = min(PAUSE_MAX_S, 2 * self._pause_s)
        if self._is_open:
            spread = 1 + JITTER * (2 * random.random() - 1)
            self._until_s = self._clock() + self._pause_s * spread

    def leave(self, *, probe: bool) -> None:
        """Nobody can say how it went: the caller left. Another may try."""
        if probe:
            self._probing = False
