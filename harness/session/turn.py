"""One at a time, at the price of one pointer while nobody is at it.

A run holds thousands of sessions, each with two such locks that are seldom taken; AnyIO's own
keeps a queue of 760 bytes from the start.
"""

from __future__ import annotations

from typing import Self

import anyio


class Turn:
    """A lock, as an async context manager; whoever waits goes on in the order of coming."""

    __slots__ = ("_over",)

    def __init__(self) -> None:
        self._over: anyio.Event | None = None

    async def __aenter__(self) -> Self:
        while self._over is not None:
            await self._over.wait()
        self._over = anyio.Event()
        return self

    async def __aexit__(self, *failure: object) -> None:
        over, self._over = self._over, None
        assert over is not None
        over.set()
