"""Starts a run's watchdog, notices its death, and lets it go when everything is undone."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

import anyio
from anyio.abc import Process

import harness
from harness.errors import RigError
from harness.rig.watchdog.words import CLOSING_WORD

END_S = 5.0  # how long it may take to go once it has been told the closing word
LOG = "watchdog.log"


class Watchdog:
    """A watchdog on duty."""

    def __init__(self, process: Process) -> None:
        """Wrap the running process."""
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def lost(self) -> str:
        """Return once it has ended before it was told to, with a sentence that says so."""
        status = await self._process.wait()
        return f"the watchdog ended (status {status}); nobody would undo what a killed squall left"


@asynccontextmanager
async def watched(folder: Path, log_dir: Path) -> AsyncIterator[Watchdog]:
    """A watchdog over a run's folder for as long as the block lasts.

    However the block ends, the watchdog ends with it: with squall alive there is somebody who
    undoes what the record says, or who tells people that it could not.

    Raises:
        RigError: it cannot be started.
    """
    process = await _start(folder, log_dir)
    try:
        yield Watchdog(process)
    finally:
        with anyio.CancelScope(shield=True):
            await _dismiss(process)


async def _start(folder: Path, log_dir: Path) -> Process:
    # -S and -P: nothing but the standard library and ourselves, so that it is up at once.
    argv = (sys.executable, "-P", "-S", "-m", "harness.rig.watchdog", str(folder))
    env = {**os.environ, "PYTHONPATH": str(Path(harness.__file__).parents[1])}
    try:
        with (log_dir / LOG).open("ab") as log:
            # A session of its own: what ends squall's process group does not reach it.
            return await anyio.open_process(
                argv,
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=log,
                env=env,
                start_new_session=True,
            )
    except OSError as error:
        raise RigError(f"cannot start the watchdog: {error.strerror or error}") from error


async def _dismiss(process: Process) -> None:
    assert process.stdin is not None
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError), anyio.move_on_after(END_S):
        await process.stdin.send(CLOSING_WORD)
        await process.stdin.aclose()
    with anyio.move_on_after(END_S):
        await process.wait()
    if process.returncode is None:
        process.kill()
    with anyio.move_on_after(END_S):
        await process.aclose()
