"""A circuit breaker: whoever has failed several times running is left alone for a while."""

from __future__ import annotations

import random
import time
from typing import Final

FAILURES_MAX: Final = 5  # running
PAUSE_S: Final = 0.5  # the first time; doubled as long as nothing comes of it
PAUSE_MAX_S: Final = 2.0
JITTER: Final = 0.3  # of a pause, so that several servers do not come back at once


class OpenError(Exception):
    """Nothing is tried for now; how long that lasts."""

    def __init__(self, left_s: float) -> None:
        """Say how long."""
        super().__init__(f"{left_s:.1f} s")
        self.left_s = left_s


class Breaker:
    """Closed while all is well; open after failures; then half open, for one attempt."""

    def __init__(self) -> None:
        """Begin closed."""
        self._failures = 0
        self._pause_s = PAUSE_S
        self._until_s = 0.0
        self._probing = False

    def enter(self) -> None:
        """Ask to try something; then say how it went.

        Raises:
            OpenError: it is not to be tried.
        """
        if self._failures < FAILURES_MAX:
            return
        left_s = self._until_s - time.monotonic()
        if left_s > 0 or self._probing:
            raise OpenError(max(left_s, 0.1))
        self._probing = True

    def succeed(self) -> None:
        """It went well: all is well again."""
        self._failures, self._pause_s, self._probing = 0, PAUSE_S, False

    def fail(self) -> None:
        """It did not."""
        self._failures += 1
        self._probing = False
        if self._failures >= FAILURES_MAX:
            spread = 1 + JITTER * (2 * random.random() - 1)
            self._until_s = time.monotonic() + self._pause_s * spread
            self._pause_s = min(PAUSE_MAX_S, 2 * self._pause_s)

    def leave(self) -> None:
        """Nobody can say how it went: the caller left. Another may try."""
        self._probing = False
