"""A game day as it is called for: how long, on what terms, and through which doors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from anyio.to_thread import run_sync

from harness.gameday.desk import Desk
from harness.gameday.doors import Doors
from harness.gameday.game import Game
from harness.gameday.lobby import Lobby
from harness.gameday.panel import schema
from harness.gameday.porch import plotly_text
from harness.gameday.serving import served
from harness.gameday.terms import Terms


@dataclass(frozen=True, kw_only=True, eq=False)
class Day:
    """One that is to be held."""

    terms: Terms
    doors: Doors
    lobby: Lobby = field(init=False)

    def __post_init__(self) -> None:
        """Have a lobby behind the doors."""
        object.__setattr__(self, "lobby", Lobby(self.doors))

    def wait_for(self, words: str) -> None:
        """Say on the page what is waited for."""
        self.lobby.waits_for = words


@asynccontextmanager
async def awaited(day: Day | None) -> AsyncIterator[None]:
    """Have the day's page there for the block, whatever there is behind it yet."""
    if day is None:
        yield
        return
    async with served(day.lobby, day.doors):
        await run_sync(_prepare)
        yield


@asynccontextmanager
async def held(day: Day | None, game: Game | None) -> AsyncIterator[None]:
    """Have the day's desk open for the block; nothing where there is no day."""
    if day is None or game is None:
        yield
        return
    day.lobby.open(Desk(game=game, doors=day.doors).app())
    try:
        yield
    finally:
        await day.lobby.close()


def _prepare() -> None:
    """Make what is slow to make before there is any load to disturb."""
    schema()
    plotly_text()
