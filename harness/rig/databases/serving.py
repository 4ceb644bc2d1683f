"""Starts a database for a block, on a folder and a free port of its own, and ends it after it."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

import anyio
from anyio.to_thread import run_sync

from harness.errors import RigError
from harness.rig.databases import postgres, redis
from harness.rig.databases.database import Database, Kind, Make, Recipe
from harness.rig.process import Child, child, leashed, named
from harness.rig.scratch import scratch

RECIPES: Final[Mapping[Kind, Make]] = {"postgres": postgres.recipe, "redis": redis.recipe}
CONNECTIONS: Final = 100
PREPARE_S: Final = 60.0
UP_S: Final = 30.0
POLL_S: Final = 0.02
TRIES: Final = 3


class _EndedEarlyError(RigError):
    """It ended before it was up; somebody else may have taken the port that was free just now."""


@asynccontextmanager
async def serve(
    kind: Kind, *, log: Path | None = None, connections: int = CONNECTIONS
) -> AsyncIterator[Database]:
    """An empty database that takes connections on loopback for as long as the block lasts.

    What it says goes to `log`. It ends with us, however that happens, and its folder with it.

    Raises:
        RigError: it is not installed, or did not come up.
        NotHealedError: at the end its folder cannot be removed.
    """
    password = secrets.token_hex(16)
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(scratch())
        recipe = await run_sync(RECIPES[kind], folder, password, connections)
        if recipe.prepare:
            await _prepare(recipe, log)
        for left in reversed(range(TRIES)):
            try:
                running = await stack.enter_async_context(_started(recipe, log))
            except _EndedEarlyError:
                if not left:
                    raise
            else:
                yield running
                return


async def _prepare(recipe: Recipe, log: Path | None) -> None:
    async with child(leashed(recipe.prepare), env=_environment(), ready=None, log=log) as running:
        with anyio.move_on_after(PREPARE_S):
            await running.wait()
    if running.returncode != 0:
        raise RigError(
            f"{named(recipe.prepare)} did not prepare {recipe.version} within {PREPARE_S:g} s "
            f"(status {running.returncode}){_see(log)}"
        )


@asynccontextmanager
async def _started(recipe: Recipe, log: Path | None) -> AsyncIterator[Database]:
    port = _free_port()
    argv = leashed(recipe.start(port), end=recipe.end)
    async with child(argv, env=_environment(), ready=None, log=log) as running:
        await _await_up(recipe, running, port, log)
        yield Database(
            kind=recipe.kind,
            host="127.0.0.1",
            port=port,
            url=recipe.url(port),
            pid=running.pid,
            origin=running.origin,
            version=recipe.version,
        )


async def _await_up(recipe: Recipe, running: Child, port: int, log: Path | None) -> None:
    with anyio.move_on_after(UP_S):
        # It tells nobody when it is up; asking is the only way.
        while running.returncode is None:
            if await recipe.is_up(port):
                return
            await anyio.sleep(POLL_S)
    if running.returncode is None:
        raise RigError(f"{recipe.version} did not come up within {UP_S:g} s{_see(log)}")
    raise _EndedEarlyError(
        f"{recipe.version} ended with status {running.returncode} when it was started{_see(log)}"
    )


def _environment() -> dict[str, str]:
    """Little: what is set for a database of the user's own must not reach this one."""
    return {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ} | {
        "LC_ALL": "C",
        "TZ": "UTC",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _see(log: Path | None) -> str:
    return f"; what it said is in {log}" if log is not None else ""
