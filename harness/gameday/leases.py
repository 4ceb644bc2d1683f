"""Until when each fault that was started by hand may be in force, should nobody say otherwise.

Pure: who calls says what time it is. A lease is short and renewed only while an operator's page is
connected, so a page, a laptop or a network that has gone takes its faults with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

LEASE_MAX_S: Final = 120.0
LEASE_S: Final = 30.0
GRACE_S: Final = 10.0  # from the last page's leaving to the end: a reload takes a second or two


@dataclass(kw_only=True)
class Lease:
    """One fault's: both ends in nanoseconds of the run."""

    window: int
    wanted_ns: int  # when it was to end anyway
    until_ns: int  # when it ends unless renewed before

    @property
    def end_ns(self) -> int:
        """When it ends as things stand."""
        return min(self.wanted_ns, self.until_ns)


@dataclass(kw_only=True)
class Leases:
    """Those of all faults in force."""

    length_ns: int
    grace_ns: int
    held: dict[int, Lease] = field(default_factory=dict)
    cut: bool = False  # nobody is there to renew them

    def grant(self, window: int, *, now_ns: int, for_ns: int) -> Lease:
        """Begin one; it lasts no longer than its fault was wanted."""
        lease = Lease(window=window, wanted_ns=now_ns + for_ns, until_ns=now_ns + self.length_ns)
        self.held[window] = lease
        return lease

    def renew(self, *, now_ns: int) -> bool:
        """Renew all of them: an operator is there. Whether they had been cut short."""
        for lease in self.held.values():
            lease.until_ns = now_ns + self.length_ns
        was, self.cut = self.cut, False
        return was

    def shorten(self, *, now_ns: int) -> bool:
        """Cut all of them short: no operator is there any more. Whether that is news."""
        if self.cut:
            return False
        for lease in self.held.values():
            lease.until_ns = min(lease.until_ns, now_ns + self.grace_ns)
        self.cut = True
        return True

    def extend(self, window: int, *, now_ns: int, for_ns: int) -> Lease:
        """Let one last until so long from now; its lease has to be renewed all the same.

        Raises:
            KeyError: when it is not in force.
        """
        lease = self.held[window]
        lease.wanted_ns = now_ns + for_ns
        return lease

    def end(self, window: int) -> None:
        """Forget one: its fault is over."""
        self.held.pop(window, None)

    def over(self, *, now_ns: int) -> tuple[tuple[int, str], ...]:
        """Give the windows whose time is up, and why."""
        return tuple(
            (
                lease.window,
                "its time was up"
                if lease.wanted_ns <= now_ns
                else "its lease ran out: no operator's page is connected",
            )
            for lease in self.held.values()
            if lease.end_ns <= now_ns
        )
