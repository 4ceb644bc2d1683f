"""Serves the desk beside the storm, on the same loop, for as long as the block lasts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio
import uvicorn
from starlette.types import ASGIApp

from harness.gameday.doors import Doors

PARTING_S: Final = 3.0  # for pages that still listen
STARTS_S: Final = 10.0


class _Server(uvicorn.Server):
    """One that leaves signals to the run around it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def served(app: ASGIApp, doors: Doors) -> AsyncIterator[None]:
    """Answer at the doors for the block; afterwards nobody listens there.

    What goes wrong in the block is raised as it is, and in no group.
    """
    config = uvicorn.Config(
        app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
        limit_concurrency=128,
        h11_max_incomplete_event_size=32 * 1024,
    )
    server = _Server(config)
    ended = anyio.Event()
    # Whatever cancels the block, the server lets go of its socket itself; else the loop keeps it.
    serving = anyio.CancelScope(shield=True)

    async def run() -> None:
        try:
            with serving:
                await server.serve([doors.listener])
        finally:
            ended.set()

    failure: Exception | None = None
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        try:
            with anyio.fail_after(STARTS_S):
                while not server.started:  # noqa: ASYNC110  it sets a flag, and no event
                    await anyio.sleep(0.01)
            yield
        except Exception as error:  # noqa: BLE001 - raised again below, unchanged
            failure = error
        finally:
            server.should_exit = True
            with anyio.CancelScope(shield=True), anyio.move_on_after(PARTING_S):
                await ended.wait()
            serving.cancel()
            doors.listener.close()
    if failure is not None:
        raise failure
