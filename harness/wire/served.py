"""What clients over pipes ask of whoever has the server processes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from harness.wire.pipe import Pipe
from harness.wire.speaker import Era


@dataclass(frozen=True, kw_only=True, slots=True)
class Greeting:
    """What the opening of a process has come to, for all who speak to it."""

    era: Era
    version: str


class Served(Protocol):
    """One server process, as its clients see it."""

    pipe: Pipe
    greeting: Greeting | None  # None until somebody has opened it

    def leave(self) -> None:
        """Begin to end the process: its input first, then by signals; returns at once."""
        ...

    async def end(self) -> None:
        """The same, and wait until it has ended."""
        ...


class Source(Protocol):
    """Where a client's server processes come from."""

    shared: bool  # whether others speak to the same process
    opening: asyncio.Lock  # held while a process is started and opened
    known_era: Era  # what a process of the same program was found to speak; auto: nobody knows

    async def take(self) -> Served:
        """The process to speak to, started if there is none.

        Raises:
            OSError: it cannot be started.
        """
        ...
