"""Requests under equal ids: in one session, where only the client is wrong, and in several."""

from __future__ import annotations

from functools import partial
from typing import Final

import anyio

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.journal import Carried
from harness.outcome import EndedBy, Outcome, Reason
from harness.scenario.expectations import carries_nonce
from harness.session.mischief.scene import Scene
from harness.wire.client import WireClient
from harness.wire.reply import Reply

OPEN_S: Final = 5.0
CLOSE_S: Final = 1.0
PATIENCE_S: Final = 2.0  # in one session, where a server may leave all but one unanswered
SHARED_ID: Final = 7  # far enough from where sessions begin to count that none is there by chance


async def collide(scene: Scene, behaviour: Behaviour) -> None:
    """Send the step's call several times at once under one id, beside the session's own calls."""
    if scene.calls_tool() and isinstance(scene.client, WireClient):
        scene.beside(behaviour, partial(_collide, scene, behaviour))


async def _collide(scene: Scene, behaviour: Behaviour) -> None:
    """In a session of its own, which it may spoil, or in as many as there are requests."""
    legacy = scene.client.era == "legacy"
    draw = scene.stage.plan.draw("collide-within", scene.session.session, scene.planned.index)
    within = legacy and bool(scene.client.session_id) and draw < 0.5  # noqa: PLR2004
    made = (scene.another() for _ in range(1 if within else behaviour.count))
    clients = [client for client in made if client is not None]
    try:
        opened = [client for client in clients if await _opened(scene, client)]
        if len(opened) < len(clients):
            return
        async with anyio.create_task_group() as group:
            for turn in range(behaviour.count):
                speaker = clients[turn % len(clients)]
                ask = _ask_within if within else _ask_across
                group.start_soon(ask, scene, behaviour, speaker, turn)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S):
            for client in clients:
                await client.close(deadline_ns=scene.deadline_ns(CLOSE_S))
        for client in clients:
            client.drop_connections()


async def _opened(scene: Scene, client: WireClient) -> bool:
    reply = await client.open(deadline_ns=scene.deadline_ns(OPEN_S))
    return reply.outcome is Outcome.OK


async def _ask_across(scene: Scene, behaviour: Behaviour, client: WireClient, turn: int) -> None:
    """One request of several sessions; nothing may keep its answer from it."""
    values = scene.own_values(turn)
    reply = await _request(scene, client, values)
    _note(scene, behaviour, reply, values=values, variant="across")


async def _ask_within(scene: Scene, behaviour: Behaviour, client: WireClient, turn: int) -> None:
    """One request of several in one session, which may be refused, or never answered."""
    values = scene.own_values(turn)
    reply = Reply(Outcome.ABANDONED, Reason.CANCELLED, ended_by=EndedBy.CLIENT)
    reply.sent_ns = scene.stage.clock.now_ns()
    reply.done_ns = reply.sent_ns + round(PATIENCE_S * NS_PER_S)
    with anyio.move_on_after(PATIENCE_S):
        reply = await _request(scene, client, values)
    _note(scene, behaviour, reply, values=values, variant="within")


async def _request(scene: Scene, client: WireClient, values: dict[str, object]) -> Reply:
    return await client.request(
        "tools/call",
        scene.step.params.render_json(values),
        name=scene.step.name,
        deadline_ns=scene.deadline_ns(),
        call_id=SHARED_ID,
    )


def _note(
    scene: Scene, behaviour: Behaviour, reply: Reply, *, values: dict[str, object], variant: str
) -> None:
    """Record an answer, and whose it was."""
    carried: Carried = ""
    if reply.outcome is Outcome.OK and isinstance(reply.result, dict):
        reason = carries_nonce(reply.result, str(values["nonce"]))
        carried = "own" if reason is None else "none"
        if reason is Reason.FOREIGN_NONCE:
            carried = "foreign"
            reply.outcome, reply.reason = Outcome.WRONG, Reason.FOREIGN_NONCE
    scene.record(behaviour, reply)
    scene.tell(behaviour, reply, variant=variant, nonce=str(values["nonce"]), carried=carried)
