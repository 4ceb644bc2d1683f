"""Misbehaviours with credentials: a call is first made with a token that does not fit it."""

from __future__ import annotations

from typing import Final

import anyio

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.journal import ROWS_UNKNOWN
from harness.outcome import Auth, Outcome
from harness.session.mischief.scene import Scene
from harness.session.misfits import Misfit
from harness.session.steps import measure
from harness.wire.reply import Reply
from harness.wire.speaker import Speaker

LEAVE_S: Final = 2.0  # how long a polite goodbye may take


async def narrow(scene: Scene, behaviour: Behaviour) -> None:
    """Make a call that writes with a token that may only read."""
    step = scene.step
    if step.name == behaviour.tool if behaviour.tool else step.effect:
        wanted = Misfit(window=behaviour.window, scope=behaviour.variant)
        await _present(scene, behaviour, wanted, Auth.NARROW)


async def misdirect(scene: Scene, behaviour: Behaviour) -> None:
    """Make the call with a token for another resource."""
    wanted = Misfit(window=behaviour.window, resource=behaviour.variant)
    await _present(scene, behaviour, wanted, Auth.MISDIRECTED)


async def unsuit(scene: Scene, behaviour: Behaviour) -> None:
    """Make the call with a refresh or id token."""
    wanted = Misfit(window=behaviour.window, oddity=behaviour.variant)
    await _present(scene, behaviour, wanted, Auth.UNSUITED)


async def outlive(scene: Scene, behaviour: Behaviour) -> None:
    """Make the call with a token under a key that has been withdrawn for long enough."""
    since_ns = scene.stage.conduct.since_ns(behaviour.kind)
    if scene.stage.clock.now_ns() >= since_ns + behaviour.after_s * NS_PER_S:
        wanted = Misfit(window=behaviour.window, oddity="withdrawn")
        await _present(scene, behaviour, wanted, Auth.WITHDRAWN)


async def skew(scene: Scene, behaviour: Behaviour) -> None:
    """Make the call with a token of one of the clocks that are off, each in its turn."""
    shifts = behaviour.variant.split()
    turn = scene.planned.index % len(shifts)
    wanted = Misfit(window=behaviour.window, oddity=f"shift={shifts[turn]}")
    tolerated = turn < len(shifts) // 2
    await _present(scene, behaviour, wanted, Auth.VALID if tolerated else Auth.SKEWED)


async def share(scene: Scene, behaviour: Behaviour) -> None:
    """Open other sessions with the token of this one; the first of them makes the call, too."""
    if scene.identity.credential is None:
        return
    standing = scene.identity.standing()
    clients = [scene.stage.connect(scene.session) for _ in range(behaviour.count)]
    try:
        replies = [Reply(Outcome.ABANDONED)] * len(clients)
        async with anyio.create_task_group() as group:
            for place, client in enumerate(clients):
                group.start_soon(_log_in, scene, client, replies, place)
        if replies[0].outcome is Outcome.OK:
            replies[0] = await _ask(scene, clients[0])
        scene.record(behaviour, replies[0], auth=standing.auth, rows=ROWS_UNKNOWN)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(LEAVE_S):
            async with anyio.create_task_group() as group:
                for client in clients:
                    group.start_soon(_leave, scene, client)


async def hop(scene: Scene, behaviour: Behaviour) -> None:
    """Make the call as another user, in a session of their own."""
    credential = scene.identity.credential
    if credential is None:
        return
    wanted = Misfit(window=behaviour.window, oddity=f"subject={behaviour.variant}")
    token = await credential.misfit(wanted)
    if not token:
        return
    client = scene.stage.connect(scene.session)
    client.authorization = b"Bearer " + token.encode()
    try:
        reply = await client.open(deadline_ns=scene.deadline_ns())
        if reply.outcome is Outcome.OK:
            reply = await _ask(scene, client)
        scene.record(behaviour, reply, auth=Auth.VALID, rows=ROWS_UNKNOWN)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(LEAVE_S):
            await _leave(scene, client)


async def race(scene: Scene, behaviour: Behaviour) -> None:
    """Refresh several times at once with one refresh token, and go on with what came of it."""
    await scene.identity.race(behaviour.count)


async def _log_in(scene: Scene, client: Speaker, replies: list[Reply], place: int) -> None:
    client.authorization = scene.client.authorization
    replies[place] = await client.open(deadline_ns=scene.deadline_ns())


async def _leave(scene: Scene, client: Speaker) -> None:
    await client.close(deadline_ns=scene.deadline_ns(LEAVE_S))
    client.drop_connections()


async def _ask(scene: Scene, client: Speaker, authorization: bytes | None = None) -> Reply:
    """Make the call under a nonce of its own, and hold the answer against the step."""
    step, values = scene.step, scene.own_values()
    reply = await client.request(
        step.method,
        step.params.render_json(values),
        name=step.name if step.named is None else step.named.render_text(values),
        deadline_ns=scene.deadline_ns(),
        authorization=authorization,
    )
    if isinstance(reply.result, dict):
        measure(reply, step, values)
    return reply


async def _present(scene: Scene, behaviour: Behaviour, wanted: Misfit, auth: Auth) -> None:
    """Make the call with such a token, where one can be had, as its attempt 0."""
    credential = scene.identity.credential
    if credential is None:
        return
    token = await credential.misfit(wanted)
    if not token:
        return
    reply = await _ask(scene, scene.client, b"Bearer " + token.encode())
    # What a refusal in the tool's words holds is no list of rows.
    scene.record(behaviour, reply, auth=auth, rows=ROWS_UNKNOWN)
