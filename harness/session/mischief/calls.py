"""Calls that are called off, or made again though they may have been done already."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Final

import anyio
from pydantic_core import to_json

from faults.agent_calls import ODD_IDS
from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.outcome import EndedBy, Outcome, Reason
from harness.session.mischief.scene import Scene
from harness.wire.client import WireClient
from harness.wire.jsonrpc import CallId
from harness.wire.reply import Reply

TOLD_S: Final = 2.0  # how long the notification itself may take
WATCHED_S: Final = 1.8  # how long a late answer is listened for
WORKED_ON_NS: Final = NS_PER_S  # a result that is later than this after the cancel was worked for
STATELESS: Final = "no session"  # what a cancel that nobody need understand is told by


async def cancel(scene: Scene, behaviour: Behaviour) -> None:
    """Send a call of the step's own kind beside it, and call it off when it takes a while."""
    step = scene.step
    if (
        step.method != "tools/call"
        or step.talk is not None
        or behaviour.tool not in ("", step.name)
    ):
        return
    scene.beside(behaviour, partial(_cancel, scene, behaviour))


@dataclass(kw_only=True)
class _Called:
    """A call under way, and what has come of it."""

    call_id: CallId
    sent_ns: int
    replies: list[Reply] = field(default_factory=list)
    done: anyio.Event = field(default_factory=anyio.Event)


async def _cancel(scene: Scene, behaviour: Behaviour) -> None:
    client, clock = scene.client, scene.stage.clock
    values = scene.own_values()
    params = scene.step.params.render_json(values)
    chosen, variant = _id(scene, odd=behaviour.variant == ODD_IDS)
    called = _Called(call_id=client.next_id if chosen is None else chosen, sent_ns=clock.now_ns())

    async def call() -> None:
        deadline_ns = scene.deadline_ns()
        if isinstance(client, WireClient):
            reply = await client.request(
                "tools/call", params, name=scene.step.name, deadline_ns=deadline_ns, call_id=chosen
            )
        else:
            reply = await client.request(
                "tools/call", params, name=scene.step.name, deadline_ns=deadline_ns
            )
        called.replies.append(reply)
        called.done.set()

    ended_ns = 0
    async with anyio.create_task_group() as group:
        group.start_soon(call)
        with anyio.move_on_after(behaviour.after_s):
            await called.done.wait()
        if not called.done.is_set():
            ended_ns = await _call_off(scene, called)
        group.cancel_scope.cancel()
    answer = called.replies[0] if called.replies else None
    early = answer is not None and not ended_ns
    reply = answer if early and answer else _abandoned(called.sent_ns, ended_ns)
    worked_on = not early and answer is not None and answer.done_ns > ended_ns + WORKED_ON_NS
    scene.record(behaviour, reply)
    scene.tell(
        behaviour,
        reply,
        variant=variant,
        sent=f"cancelled {'by closing' if client.cancels_by_close else 'in words'}"
        + ("" if client.cancels_by_close or client.session_id else f", {STATELESS}"),
        nonce=str(values["nonce"]),
        carried="own" if worked_on and answer and answer.outcome is Outcome.OK else "",
    )


async def _call_off(scene: Scene, called: _Called) -> int:
    """Tell the server; give when it was told. Where closing tells it, whoever called closes."""
    client, clock = scene.client, scene.stage.clock
    if client.cancels_by_close:
        return clock.now_ns()
    told = to_json({"requestId": called.call_id, "reason": "the agent needs it no longer"})
    limit_ns = clock.now_ns() + round(TOLD_S * NS_PER_S)
    await client.notify("notifications/cancelled", told, deadline_ns=limit_ns)
    told_ns = clock.now_ns()
    with anyio.move_on_after(WATCHED_S):  # to close at once might stop what the words did not
        await called.done.wait()
    return told_ns


def _id(scene: Scene, *, odd: bool) -> tuple[CallId | None, str]:
    """The id of the next call to be cancelled: its own, but for the odd ones once in a session."""
    client = scene.client
    if odd and isinstance(client, WireClient):
        for call_id, variant in ((0, "id-0"), ("", "id-empty")):
            if scene.stage.backstage.first((variant, scene.session.session, client.session_id)):
                return call_id, variant
    return None, "id"


def _abandoned(sent_ns: int, ended_ns: int) -> Reply:
    reply = Reply(Outcome.ABANDONED, Reason.CANCELLED, ended_by=EndedBy.CLIENT)
    reply.sent_ns, reply.done_ns = sent_ns, ended_ns
    return reply


async def repeat(scene: Scene, behaviour: Behaviour) -> None:
    """Make the call once before, under the same key, and lose its reply."""
    step = scene.step
    if not step.effect or step.talk is not None:
        return
    reply = await scene.client.request(
        step.method,
        step.params.render_json(scene.values),
        name=step.name,
        deadline_ns=scene.deadline_ns(),
        lose_reply=True,
    )
    scene.record(behaviour, reply)
