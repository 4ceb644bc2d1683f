"""Floods: three equal ones, with a rest after each, to tell what stays from what goes."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

import anyio

from harness.clock import NS_PER_S
from harness.session.mischief.outsider import AGENT, ASK_S, Headers, Outsider, Pass, Session
from harness.wire import legacy
from harness.wire.raw import Heard

FLOODS: Final = 3
AT_ONCE: Final = 16
SAMPLED: Final = 5  # sessions of a flood that are asked after
SETTLE_S: Final = 1.5  # after DELETE, so that the target's memory is looked at once more
CLEAN_UP_S: Final = 3.0
_REFUSED: Final = 400

Send = Callable[[int], Awaitable[Heard]]


async def flood_sessions(outsider: Outsider) -> None:
    """Open sessions and leave them; end them after each rest, to see whether that frees them."""
    own = await outsider.ground.own()
    session = await outsider.greet(own)
    if session is None:
        outsider.note("not-let-in", "a session of its own", Heard())
        return
    await outsider.end(session, own)
    opened: list[Session] = []

    async def send(_: int) -> Heard:
        if session.era == "modern":
            return await outsider.ask(session, own, "server/discover")
        return await _open(outsider, session, own, opened)

    try:
        for flood in range(1, FLOODS + 1):
            counts = await _pour(outsider, flood, send)
            await _rest(outsider, outsider.behaviour.after_s)
            if opened:
                await _ask_after(outsider, own, opened)
                await _rest(outsider, SETTLE_S)
            outsider.count(flood, "rested", counts)
    finally:
        with anyio.move_on_after(CLEAN_UP_S, shield=True):
            await _end_all(outsider, own, opened)


async def _open(outsider: Outsider, like: Session, own: Pass, opened: list[Session]) -> Heard:
    params = legacy.initialize_params(AGENT, {})
    heard = await outsider.mouth.post(legacy.INITIALIZE, params, headers=own.header, limit_s=ASK_S)
    if heard.session_id:
        session = replace(like, session_id=heard.session_id)
        opened.append(session)
        headers = {**session.headers, **own.header}
        await outsider.mouth.post(
            legacy.INITIALIZED, headers=headers, limit_s=ASK_S, notification=True
        )
    return heard


async def _ask_after(outsider: Outsider, own: Pass, opened: list[Session]) -> None:
    """See whether abandoned sessions live; end them all, and see whether those live on."""
    sample = opened[-SAMPLED:]
    for session in sample:
        heard = await outsider.ask(session, own, "tools/list")
        outsider.note("abandoned", "tools/list in a session that was left behind", heard)
    agreed = await _end_all(outsider, own, opened)
    unknown = replace(sample[0], session_id=secrets.token_hex(16))
    heard = await outsider.ask(unknown, own, "tools/list")
    outsider.note("unknown", "tools/list with a session id that was never given out", heard)
    for session in sample:
        heard = await outsider.ask(session, own, "tools/list")
        if session.session_id in agreed:
            outsider.note("ended", "tools/list in a session that DELETE has ended", heard)
        else:
            outsider.note("unended", "tools/list in a session that DELETE does not end", heard)


async def _end_all(outsider: Outsider, own: Pass, opened: list[Session]) -> set[str]:
    """End all that is still open; the ids of those whose end the server has agreed to."""
    agreed: set[str] = set()
    limit = anyio.CapacityLimiter(AT_ONCE)

    async def end(session: Session) -> None:
        async with limit:
            heard = await outsider.end(session, own)
            if 200 <= heard.status < 300:  # noqa: PLR2004 - it agreed
                agreed.add(session.session_id)

    async with anyio.create_task_group() as group:
        for session in opened:
            group.start_soon(end, session)
    opened.clear()
    return agreed


async def flood_with_rejects(outsider: Outsider) -> None:
    """Send what must be refused, in four ways."""
    own = await outsider.ground.own()
    session = await outsider.greet(own)
    if session is None:
        outsider.note("not-let-in", "a session of its own", Heard())
        return
    await outsider.end(session, own)
    nobody = {**replace(session, session_id="").headers, **own.header}
    odd: list[tuple[str, Headers, bytes]] = [
        ("POST", {**nobody, "accept": "text/plain"}, b'{"jsonrpc":"2.0","id":1,"method":"ping"}'),
        ("GET", nobody, b""),
        ("DELETE", nobody, b""),
        ("POST", nobody, b'{"jsonrpc":'),
    ]

    async def send(number: int) -> Heard:
        method, headers, body = odd[number % len(odd)]
        heard = await outsider.mouth.ask(method, headers=headers, body=body, limit_s=ASK_S)
        if method == "GET" and heard.status and heard.status < _REFUSED:
            # It serves a stream to whoever asks; to hold hundreds of those is another fault.
            odd[number % len(odd)] = odd[0]
        return heard

    for flood in range(1, FLOODS + 1):
        counts = await _pour(outsider, flood, send)
        await _rest(outsider, outsider.behaviour.after_s)
        outsider.count(flood, "rested", counts)


async def _pour(outsider: Outsider, flood: int, send: Send) -> Counter[str]:
    """Send one flood at its rate; count what became of it."""
    clock, behaviour = outsider.ground.clock, outsider.behaviour
    counts: Counter[str] = Counter(sent=0, accepted=0, refused=0, failed=0)
    limit = anyio.Semaphore(AT_ONCE)
    outsider.count(flood, "began", counts)
    began_ns = clock.now_ns()

    async def one(number: int) -> None:
        try:
            heard = await send(number)
        finally:
            limit.release()
        became = "refused" if heard.status >= _REFUSED else "accepted" if heard.status else "failed"
        counts[became] += 1

    async with anyio.create_task_group() as group:
        for number in range(behaviour.count):
            await clock.sleep_until(began_ns + round(number * behaviour.every_s * NS_PER_S))
            await limit.acquire()
            counts["sent"] += 1
            group.start_soon(one, number)
    outsider.count(flood, "ended", counts)
    return counts


async def _rest(outsider: Outsider, seconds: float) -> None:
    clock = outsider.ground.clock
    await clock.sleep_until(clock.now_ns() + round(seconds * NS_PER_S))
