"""All sessions that were cut off come back, at once or spread over a while: in new sessions."""

from __future__ import annotations

from functools import partial
from typing import Final

from faults.levers import Behaviour
from harness.clock import NS_PER_MS, NS_PER_S
from harness.session.mischief.scene import Scene

LOOK_NS: Final = 10 * NS_PER_MS  # between two looks whether the way is free again
LATE_NS: Final = 5 * NS_PER_S  # after the window's planned end nobody waits any longer


async def rejoin(scene: Scene, behaviour: Behaviour) -> None:
    """Have the session come back once the way is free; once a window, beside its own calls."""
    if scene.stage.backstage.first(("rejoin", behaviour.window, scene.session.session)):
        scene.beside(behaviour, partial(_come_back, scene, behaviour))


async def _come_back(scene: Scene, behaviour: Behaviour) -> None:
    """Wait for the end of the cut and, where it is spread, for the session's own turn after it."""
    stage, clock = scene.stage, scene.stage.clock
    while stage.conduct.get("rejoin") is not None:
        if clock.now_ns() >= stage.window(behaviour.window).end_ns + LATE_NS:
            return
        await clock.sleep_until(clock.now_ns() + LOOK_NS)
    turn = stage.plan.draw("rejoin", scene.session.session, behaviour.window)
    await clock.sleep_until(clock.now_ns() + round(turn * behaviour.every_s * NS_PER_S))
    if clock.now_ns() < scene.session.end_ns:
        await scene.begin_again()
