"""Streams that hardly anybody reads, opened in floods and held until the fault ends."""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import Final

import anyio
from pydantic_core import to_json

from faults.levers import Behaviour
from harness.clock import NS_PER_S
from harness.outcome import EndedBy, Outcome, Reason
from harness.session.mischief.scene import Scene
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.reply import Reply

FLOODS: Final = 3  # as many as tell a leak from memory that is merely kept
STREAMS: Final = 2  # of one session in one flood
PIECE_BYTES: Final = 1024
EVERY_S: Final = 0.25
OPEN_S: Final = 5.0
LEAVE_NS: Final = NS_PER_S // 10  # before the window ends
RECEIVE_BYTES: Final = 16 * 1024  # what the kernel may hold for each


async def read_slowly(scene: Scene, behaviour: Behaviour) -> None:
    """Let the session have slow streams, if it is among those that were drawn; once a window."""
    if not scene.among(behaviour) or not isinstance(scene.client, WireClient):
        return
    if scene.stage.backstage.first(("read_slowly", behaviour.window, scene.session.session)):
        scene.beside(behaviour, partial(_floods, scene, behaviour))


async def _floods(scene: Scene, behaviour: Behaviour) -> None:
    """Open so many streams in each third of the window, and hold them all while it lasts."""
    clock = scene.stage.clock
    window = scene.stage.window(behaviour.window)
    third_ns = (window.end_ns - window.start_ns) // FLOODS
    async with anyio.create_task_group() as group:
        for flood in range(FLOODS):
            while clock.now_ns() < window.start_ns + flood * third_ns:
                if not _lasts(scene, behaviour):
                    return
                await _a_while(scene)
            for _ in range(STREAMS):
                group.start_soon(_stream, scene, behaviour)


def _lasts(scene: Scene, behaviour: Behaviour) -> bool:
    """Whether the streams are to be held: it may be stopped, and it may be given more time."""
    stage = scene.stage
    engaged = stage.conduct.get(behaviour.kind) is not None
    return engaged and stage.clock.now_ns() < stage.window(behaviour.window).end_ns - LEAVE_NS


async def _a_while(scene: Scene) -> None:
    clock = scene.stage.clock
    await clock.sleep_until(clock.now_ns() + round(EVERY_S * NS_PER_S))


async def _stream(scene: Scene, behaviour: Behaviour) -> None:
    """Open a session for one stream, and close it when the time is over."""
    client = scene.another()
    if client is None:
        return
    opened = await client.open(deadline_ns=scene.deadline_ns(OPEN_S))
    if opened.outcome is not Outcome.OK:
        return
    try:
        await _hold(scene, behaviour, client)
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await client.close(deadline_ns=scene.deadline_ns(1))
        client.drop_connections()


async def _hold(scene: Scene, behaviour: Behaviour, client: WireClient) -> None:
    """Ask for much progress, and read it at the given rate until the time is over."""
    clock = scene.stage.clock
    asked = {
        "name": behaviour.tool,
        "arguments": {behaviour.argument: behaviour.size_bytes},
        "_meta": {"progressToken": f"slow-{clock.now_ns()}"},
    }
    request = client.render("tools/call", to_json(asked), name=behaviour.tool)
    reply = Reply(Outcome.ABANDONED, Reason.CANCELLED, ended_by=EndedBy.CLIENT)
    reply.request_bytes, reply.sent_ns = len(request), clock.now_ns()
    try:
        reader, writer = await _connect(client.endpoint)
    except OSError:  # a timeout too
        return
    try:
        writer.write(request)
        while _lasts(scene, behaviour):
            if behaviour.bytes_per_s:
                with anyio.move_on_after(EVERY_S):
                    data = await reader.read(max(1, round(behaviour.bytes_per_s * EVERY_S)))
                    reply.reply_bytes += len(data)
                    if not data:
                        break
            await _a_while(scene)
    except ConnectionError:
        reply.reason = Reason.RESET
    finally:
        writer.transport.abort()
    reply.done_ns = clock.now_ns()
    scene.record(behaviour, reply)


async def _connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection of which the kernel holds no more than a little.

    Raises:
        OSError: nobody is there.
    """
    async with asyncio.timeout(OPEN_S):
        reader, writer = await asyncio.open_connection(
            endpoint.connect_host,
            endpoint.connect_port,
            ssl=endpoint.context,
            server_hostname=endpoint.server_name,
            limit=PIECE_BYTES,
        )
    raw = writer.transport.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
    return reader, writer
