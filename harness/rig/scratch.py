"""A folder outside the run's own, for what another user has to own; it goes with the block."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from harness import wal as wals
from harness.errors import NotHealedError, RigError
from harness.rig.promises import Promises

GONE_S = 5.0  # how long what wrote there may take to stop
PAUSE_S = 0.05


@asynccontextmanager
async def scratch() -> AsyncIterator[Path]:
    """An empty folder that only we can enter; nothing is left of it, whatever becomes of us.

    Raises:
        RigError: it cannot be made.
        NotHealedError: at the end it cannot be removed.
    """
    wal = wals.CURRENT.get()
    run = wal.run_id if wal is not None else "outside"
    folder = Path(tempfile.gettempdir()) / f"squall-{run}-{secrets.token_hex(8)}"
    promises = Promises(wal, {})
    await promises.give("remove_folder", folder=str(folder))
    try:
        await run_sync(_make, folder)
        yield folder
    finally:
        with anyio.CancelScope(shield=True):
            await _remove(folder)
    promises.all_kept()


def _make(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise RigError(f"cannot make the folder {folder}: {error.strerror or error}") from error


def _is_gone(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


async def _remove(folder: Path) -> None:
    with anyio.move_on_after(GONE_S):
        while True:
            if await run_sync(_is_gone, folder):
                return
            await anyio.sleep(PAUSE_S)  # what wrote there is ending: nothing tells us when
    raise NotHealedError(f"{folder} cannot be removed; remove it with: rm -r {folder}")
