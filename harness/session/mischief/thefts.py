"""Other people's sessions, and sessions that are no more: whose id opens what."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Any

from pydantic_core import from_json

from harness.clock import NS_PER_S
from harness.journal import Carried
from harness.session.mischief.outsider import AGENT, ASK_S, Outsider, Pass, Session, put_in
from harness.session.steps import Step
from harness.wire import legacy
from harness.wire.raw import Heard

RESUME_S = 1.0  # how long a resumed stream is listened to
NO_CALL = "no step calls a tool that only reads, with ${nonce} in its arguments"
NEVER_GIVEN = "squall-never-was"
_TRIAL = "squall-trial-nonce"


async def hijack(outsider: Outsider) -> None:
    """Use one user's session, or what he left in it, with another user's token; again and again."""
    ground, behaviour = outsider.ground, outsider.behaviour
    own, other = await ground.own(), await ground.other()
    if not own.token or own.holder == other.holder:
        outsider.note("one-user", "nothing: there is no second user to be", Heard())
        return
    asked = from_json(behaviour.argument) if behaviour.argument else []
    while True:
        began_ns = ground.clock.now_ns()
        session = await outsider.greet(own)
        thief = None if session is None else await outsider.greet(other)
        if session is None or thief is None:
            outsider.note("not-let-in", "a session by each of two users", Heard())
        else:
            await _steal(outsider, session, thief, other)
            if asked:
                await _read_foreign(outsider, session, thief, (own, other), asked)
            await outsider.end(session, own)
            await outsider.end(thief, other)
        await ground.clock.sleep_until(began_ns + round(behaviour.every_s * NS_PER_S))


async def _steal(outsider: Outsider, session: Session, thief: Session, other: Pass) -> None:
    if session.session_id:
        heard = await outsider.ask(session, other, "tools/list")
        outsider.note("foreign-token", "tools/list in another user's session", heard)
    else:
        lines: dict[str, str | None] = {"mcp-session-id": secrets.token_hex(16)}
        heard = await outsider.ask(thief, other, "tools/list", headers=lines)
        outsider.note("no-session", "tools/list with a session id, where there are none", heard)


async def _read_foreign(
    outsider: Outsider,
    session: Session,
    thief: Session,
    passes: tuple[Pass, Pass],
    asked: list[dict[str, Any]],
) -> None:
    own, other = passes
    nonce = outsider.nonce()
    plant, read = put_in(asked[0], nonce), asked[1]
    left = await outsider.ask(session, own, "tools/call", _call(plant))
    if not left.served:
        outsider.note("plant", f"{plant['tool']} by the owner", left, tool=plant["tool"])
        return
    inside = session if session.session_id else thief
    heard = await outsider.ask(inside, other, "tools/call", _call(read))
    outsider.note(
        "foreign-read",
        f"{read['tool']} of what another user had left with {plant['tool']}",
        heard,
        carried="foreign" if _carries(heard, nonce) else "none",
        tool=read["tool"],
    )


def _call(asked: dict[str, Any]) -> dict[str, Any]:
    return {"name": asked["tool"], "arguments": asked["arguments"]}


async def begin_with_stale_id(outsider: Outsider) -> None:
    """Open a session under an id that nobody gave out; where that is refused, one without."""
    own = await outsider.ground.own()
    greeted = await outsider.greet(own)
    if greeted is None:
        outsider.note("not-let-in", "a session of its own", Heard())
        return
    await outsider.end(greeted, own)
    stale: dict[str, str | None] = {"mcp-session-id": secrets.token_hex(16)}
    if greeted.era == "modern":
        heard = await outsider.ask(greeted, own, "server/discover", headers=stale)
        outsider.note("stale-discover", "server/discover with the id of an old session", heard)
        return
    heard = await _initialize(outsider, own, stale)
    outsider.note("stale-id", "initialize with the id of an old session", heard)
    if not heard.served:
        heard = await _initialize(outsider, own, {})
        outsider.note("without-id", "initialize without an id, after that was refused", heard)
    if heard.session_id:
        await outsider.end(replace(greeted, session_id=heard.session_id), own)


async def _initialize(outsider: Outsider, own: Pass, lines: dict[str, str | None]) -> Heard:
    params = legacy.initialize_params(AGENT, {})
    headers = {**own.header, **lines}
    return await outsider.mouth.post(legacy.INITIALIZE, params, headers=headers, limit_s=ASK_S)


async def come_back_late(outsider: Outsider) -> None:
    """Use ids that were never given out, have been ended, or belong to who idled for a while."""
    clock, own = outsider.ground.clock, await outsider.ground.own()
    session = await outsider.greet(own)
    if session is None:
        outsider.note("not-let-in", "a session of its own", Heard())
        return
    unknown = replace(session, session_id=secrets.token_hex(16))
    heard = await outsider.ask(unknown, own, "tools/list")
    if not session.session_id:  # it keeps no sessions, so that any id is as good as none
        outsider.note("no-session", "tools/list with a session id, where there are none", heard)
        return
    outsider.note("unknown-id", "tools/list with a session id that was never given out", heard)
    await clock.sleep_until(clock.now_ns() + round(outsider.behaviour.after_s * NS_PER_S))
    heard = await outsider.ask(session, own, "tools/list")
    words = f"tools/list in a session that was left alone for {outsider.behaviour.after_s:g} s"
    outsider.note("idle-id", words, heard)
    ended = await outsider.end(session, own)
    if 200 <= ended.status < 300:  # noqa: PLR2004 - it agreed
        heard = await outsider.ask(session, own, "tools/list")
        outsider.note("ended-id", f"tools/list after DELETE was answered {ended.status}", heard)


async def resume(outsider: Outsider) -> None:
    """Resume streams by ids of one's own, of another session, and of none."""
    own, other = await outsider.ground.own(), await outsider.ground.other()
    step = a_call(outsider.ground.steps, outsider.behaviour.tool)
    if step is None:
        outsider.note("no-call", NO_CALL, Heard())
        return
    session = await outsider.greet(own)
    if session is None:
        outsider.note("not-let-in", "a session of its own", Heard())
        return
    if session.era == "modern":
        await _resume(outsider, session, own, variant="no-streams", last_id="1")
        return
    nonces = (outsider.nonce(), outsider.nonce())
    replies = [await outsider.ask(session, own, step.method, render(step, n)) for n in nonces]
    last_id = replies[0].last_event_id
    if not last_id:
        outsider.note("no-ids", f"{step.name}, whose reply gave no event id", replies[0])
    else:
        ids: dict[str, Any] = {"last_id": last_id, "nonces": nonces}
        await _resume(outsider, session, own, variant="own-id", **ids)
        thief = await outsider.greet(other)
        if thief is not None:
            await _resume(
                outsider, thief, other, variant="foreign-id", last_id=last_id, nonces=nonces
            )
            await outsider.end(thief, other)
        await _resume(
            outsider, session, own, variant="expired-id", last_id=NEVER_GIVEN, nonces=nonces
        )
    await outsider.end(session, own)


async def _resume(
    outsider: Outsider,
    session: Session,
    holder: Pass,
    *,
    variant: str,
    last_id: str,
    nonces: tuple[str, ...] = (),
) -> None:
    lines = {**session.headers, **holder.header, "last-event-id": last_id}
    heard = await outsider.mouth.ask("GET", headers=lines, limit_s=RESUME_S)
    theirs: Carried = "foreign" if variant == "foreign-id" else "own"
    came = any(_carries(heard, nonce) for nonce in nonces)
    words = {
        "own-id": "a GET with an event id of its own",
        "foreign-id": "a GET with an event id of another session",
        "expired-id": "a GET with an event id that never was",
        "no-streams": "a GET with an event id, in an era that resumes nothing",
    }
    outsider.note(variant, words[variant], heard, carried=theirs if came else "none")


def _carries(heard: Heard, nonce: str) -> bool:
    return nonce in repr(heard.result) or any(nonce.encode() in event for event in heard.events)


def a_call(steps: tuple[tuple[Step, ...], ...], tool: str) -> Step | None:
    """Give the first call of a tool that changes nothing, needs nothing, and carries its nonce."""
    fit = (
        step
        for agent in steps
        for step in agent
        if step.method == "tools/call" and not step.kept_needs and not step.effect
    )
    return next((step for step in fit if tool in {"", step.name} and _marked(step)), None)


def _marked(step: Step) -> bool:
    return _TRIAL in str(render(step, _TRIAL))


def render(step: Step, nonce: str) -> dict[str, Any]:
    """Give the parameters of a step as an outsider sends them."""
    values = {"nonce": nonce, "session": AGENT, "agent": AGENT, "index": 0}
    params: dict[str, Any] = from_json(step.params.render_json(values))
    return params
