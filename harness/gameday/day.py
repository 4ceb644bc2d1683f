"""A game day as it is called for: how long, on what terms, and through which doors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anyio.to_thread import run_sync

from harness.gameday.desk import Desk, plotly_text
from harness.gameday.doors import Doors
from harness.gameday.game import Game
from harness.gameday.panel import schema
from harness.gameday.serving import served
from harness.gameday.terms import Terms


@dataclass(frozen=True, kw_only=True, eq=False)
class Day:
    """One that is to be held."""

    terms: Terms
    doors: Doors


@asynccontextmanager
async def held(day: Day | None, game: Game | None) -> AsyncIterator[None]:
    """Have the day's page there for the block; nothing where there is no day."""
    if day is None or game is None:
        yield
        return
    await run_sync(_prepare)
    async with served(Desk(game=game, doors=day.doors).app(), day.doors):
        yield


def _prepare() -> None:
    """Make what is slow to make before there is any load to disturb."""
    schema()
    plotly_text()
