"""Who is there: the pages that are connected, with what right, and when each was last heard."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from harness.gameday.wish import RefusedError

Role = Literal["operator", "viewer"]
PAGES_MAX: Final = 32
HEARD_S: Final = 15.0  # a page says every few seconds that it is there


@dataclass(kw_only=True)
class Page:
    """One open page."""

    id: str
    who: str
    role: Role
    heard_ns: int


@dataclass(kw_only=True)
class Crowd:
    """All of them."""

    pages: dict[str, Page] = field(default_factory=dict)

    def come(self, page: Page) -> None:
        """Take a page in.

        Raises:
            RefusedError: when there are too many.
        """
        if page.id not in self.pages and len(self.pages) >= PAGES_MAX:
            raise RefusedError(f"{PAGES_MAX} pages are open already; close one of them", status=503)
        self.pages[page.id] = page

    def go(self, page: Page) -> bool:
        """Let a page go, unless it has come back meanwhile; whether it was there."""
        if self.pages.get(page.id) is page:
            del self.pages[page.id]
            return True
        return False

    def operators(self, *, now_ns: int) -> tuple[Page, ...]:
        """Give the operators' pages that were heard of lately."""
        late_ns = now_ns - round(HEARD_S * 1e9)
        return tuple(
            page
            for page in self.pages.values()
            if page.role == "operator" and page.heard_ns >= late_ns
        )
