"""One run's promise to leave nothing behind: its record, its watchdog, and the last look at all."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
from anyio.to_thread import run_sync

from harness import wal as wals
from harness.errors import NotHealedError
from harness.rig import births
from harness.rig.undo import undo_recorded
from harness.rig.watchdog.control import Watchdog, watched
from harness.wal import Wal

PATIENCE_S = 5.0  # for what the parts of the rig have not undone by themselves


@dataclass(frozen=True, kw_only=True)
class Safety:
    """What stands behind a run."""

    wal: Wal
    watchdog: Watchdog


@asynccontextmanager
async def kept_whole(folder: Path, run_id: str, log_dir: Path) -> AsyncIterator[Safety]:
    """A record and a watchdog for the block; afterwards everything is undone, or it is said.

    Whatever the block starts and breaks finds the record in `harness.wal.CURRENT`.

    Raises:
        RigError: the record or the watchdog cannot be had.
        NotHealedError: at the end, when something is not proven undone.
    """
    born = await run_sync(births.born, os.getpid()) or ""
    # First the watchdog, then the record: there is never one that nobody watches.
    async with watched(folder, log_dir) as watchdog:
        with Wal.begin(folder, run_id, born=born) as wal:
            token = wals.CURRENT.set(wal)
            try:
                yield Safety(wal=wal, watchdog=watchdog)
            finally:
                wals.CURRENT.reset(token)
                with anyio.CancelScope(shield=True):
                    await _settle(wal)


async def _settle(wal: Wal) -> None:
    """Undo what is left, and close the record.

    Raises:
        NotHealedError: naming what may still stand, and the mend.
    """
    if wal.left:
        undo = partial(undo_recorded, wal, patience_s=PATIENCE_S)
        stands = [one for one in await run_sync(undo) if not one.whole]
        if stands:
            words = "; ".join(one.words for one in stands)
            raise NotHealedError(f"not proven undone: {words}; squall recover {wal.file.parent}")
    wal.close(wals.BY_THE_RUN)
