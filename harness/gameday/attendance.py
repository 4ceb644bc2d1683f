"""Who is there: leases are renewed while an operator's page is, and only then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.clock import Clock
from harness.gameday.book import Book
from harness.gameday.crowd import Crowd, Page, Role
from harness.gameday.leases import Leases
from harness.gameday.wish import RefusedError


@dataclass(kw_only=True)
class Attendance:
    """One day's."""

    leases: Leases
    book: Book
    clock: Clock
    tell: Callable[[], None]  # that something has changed
    crowd: Crowd = field(default_factory=Crowd)

    @property
    def has_operator(self) -> bool:
        """Whether an operator's page is connected and was heard of lately."""
        return bool(self.crowd.operators(now_ns=self.clock.now_ns()))

    def come(self, page: Page) -> None:
        """Take a page in.

        Raises:
            RefusedError: when there are too many.
        """
        self.crowd.come(page)
        if page.role == "operator":
            self._renew()
        self.book.deed(page.who, "came", words=page.role)
        self.tell()

    def go(self, page: Page) -> None:
        """See a page off."""
        if self.crowd.go(page):
            self.book.deed(page.who, "left", words=page.role)
        self.look()
        self.tell()

    def beat(self, page_id: str, role: Role) -> None:
        """Hear that a page is there; an operator's renews the leases.

        Raises:
            RefusedError: when it is not connected, or not with this right.
        """
        now_ns = self.clock.now_ns()
        page = self.crowd.pages.get(page_id)
        if page is None or page.role != role:
            raise RefusedError("this page is not connected; load it again", status=409)
        page.heard_ns = now_ns
        if role == "operator":
            self._renew()

    def look(self) -> tuple[tuple[int, str], ...]:
        """See whether an operator is there; give the faults whose time is up, and why."""
        now_ns = self.clock.now_ns()
        if not self.has_operator and self.leases.shorten(now_ns=now_ns):
            for lease in self.leases.held.values():
                self.book.lease(lease, "cut")
            self.tell()
        return self.leases.over(now_ns=now_ns)

    def _renew(self) -> None:
        if self.leases.renew(now_ns=self.clock.now_ns()):
            for lease in self.leases.held.values():
                self.book.lease(lease, "restored")
