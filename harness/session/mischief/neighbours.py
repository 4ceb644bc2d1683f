"""Sessions that keep calling a slow tool, and look whether anything is answered meanwhile."""

from __future__ import annotations

from functools import partial
from typing import Final

import anyio
from pydantic_core import to_json

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.outcome import EndedBy, Outcome, Reason
from harness.session.mischief.scene import Scene
from harness.wire.reply import Reply

PROBE_EVERY_S: Final = 0.25
PROBE_S: Final = 2.0  # how long one may take before nothing more is learnt from it
SLOW: Final = "slow"
PROBE: Final = "probe"


async def neighbour(scene: Scene, behaviour: Behaviour) -> None:
    """Let the session be a slow one, if it is among those that were drawn."""
    if scene.among(behaviour):
        scene.beside(behaviour, partial(_neighbour, scene, behaviour))


async def _neighbour(scene: Scene, behaviour: Behaviour) -> None:
    """One slow call, with questions beside it that no tool has to answer; then a rest as long."""
    arguments = {behaviour.argument: behaviour.after_s}
    asked = to_json({"name": behaviour.tool, "arguments": arguments})
    own_s = scene.step.deadline_ns / NS_PER_S
    over = anyio.Event()
    async with anyio.create_task_group() as group:
        group.start_soon(_probe, scene, behaviour, over)
        reply = await scene.client.request(
            "tools/call",
            asked,
            name=behaviour.tool,
            deadline_ns=scene.deadline_ns(behaviour.after_s + own_s),
        )
        over.set()
    scene.record(behaviour, reply)
    scene.tell(behaviour, reply, variant=SLOW)
    await anyio.sleep(behaviour.after_s)


async def _probe(scene: Scene, behaviour: Behaviour, over: anyio.Event) -> None:
    """Ask for what costs a server nothing: its loop turns if it answers."""
    method = "ping" if scene.client.era == "legacy" else "server/discover"
    while True:
        with anyio.move_on_after(PROBE_EVERY_S):
            await over.wait()
            return
        reply = Reply(Outcome.ABANDONED, Reason.DEADLINE, ended_by=EndedBy.CLIENT)
        reply.sent_ns = scene.stage.clock.now_ns()
        with anyio.move_on_after(PROBE_S):
            reply = await scene.client.request(
                method, b"{}", deadline_ns=scene.deadline_ns(PROBE_S)
            )
        scene.tell(behaviour, reply, variant=PROBE, sent=method)
