"""Asks for the audit's count between a day's faults, whose times are known only as they come."""

from __future__ import annotations

from itertools import count
from typing import Final, Protocol

from harness.gameday.game import Game
from harness.gameday.terms import ns
from harness.gameday.windows import Struck
from harness.journal import AuditEntry
from harness.running.audit import AHEAD_NS, Edge

ASKED: Final = "the target is being asked how many effects it counts"


class Asking(Protocol):
    """Whoever asks the target for its count."""

    async def ask(self, edge: Edge, window: int = 0) -> AuditEntry:
        """Give the count, or why there is none; in bounded time."""
        ...


async def watch(asking: Asking | None, game: Game) -> None:
    """Ask at the end of the baseline and of each fault's recovery; no fault starts meanwhile.

    What the target counted before the load and after it is asked by the storm, as in every run.
    """
    if asking is None:
        return
    await _ask(asking, game, game.plan.baseline_end_ns, "baseline")
    for number in count(1):
        one = await _over(game, number)
        if one.start_ns is None or one.end_ns is None:  # it could not be applied
            continue
        recovered_ns = one.end_ns + ns(game.scenario.phases.recovery_s)
        await _ask(asking, game, recovered_ns, "recovery", one.number)


async def _over(game: Game, number: int) -> Struck:
    """Wait for a fault to be ordered, and to be over."""
    while len(game.faults) < number:
        await game.changed.wait()
    one = game.faults[number - 1]
    await one.done.wait()
    return one


async def _ask(asking: Asking, game: Game, at_ns: int, edge: Edge, window: int = 0) -> None:
    """Ask shortly before a moment from which a fault may be started, and hold faults off until."""
    game.held_by = ASKED
    try:
        await game.clock.sleep_until(at_ns - AHEAD_NS)
        game.writer.append(await asking.ask(edge, window))
    finally:
        game.held_by = ""
        game.tell()
