"""Misbehaviours with credentials: a call is first made with a token that does not fit it."""

from __future__ import annotations

from faults.levers import Behaviour
from harness.journal import ROWS_UNKNOWN
from harness.outcome import Auth
from harness.session.mischief.scene import Scene
from harness.session.misfits import Misfit
from harness.session.steps import measure


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


async def skew(scene: Scene, behaviour: Behaviour) -> None:
    """Make the call with a token of one of the clocks that are off, each in its turn."""
    shifts = behaviour.variant.split()
    turn = scene.planned.index % len(shifts)
    wanted = Misfit(window=behaviour.window, oddity=f"shift={shifts[turn]}")
    tolerated = turn < len(shifts) // 2
    await _present(scene, behaviour, wanted, Auth.VALID if tolerated else Auth.SKEWED)


async def _present(scene: Scene, behaviour: Behaviour, wanted: Misfit, auth: Auth) -> None:
    """Make the call with such a token, where one can be had, as its attempt 0."""
    credential = scene.identity.credential
    if credential is None:
        return
    token = await credential.misfit(wanted)
    if not token:
        return
    step, values = scene.step, scene.own_values()
    reply = await scene.client.request(
        step.method,
        step.params.render_json(values),
        name=step.name if step.named is None else step.named.render_text(values),
        deadline_ns=scene.deadline_ns(),
        authorization=b"Bearer " + token.encode(),
    )
    if isinstance(reply.result, dict):
        measure(reply, step, values)
    # What a refusal in the tool's words holds is no list of rows.
    scene.record(behaviour, reply, auth=auth, rows=ROWS_UNKNOWN)
