"""The promise that every server which a run starts to speak to over pipes will end."""

from __future__ import annotations

from pathlib import Path

from anyio.to_thread import run_sync

from harness import wal as wals


async def promised(run_id: str, folder: Path) -> None:
    """Write down, once for all of them, that they must be ended and how they are known.

    One line a run, not one a process: they come and go by the hundred while faults last, in the
    workers too, and each line costs a write through to the disk. Outside a run nothing is written.

    Raises:
        RigError: it cannot be written down.
    """
    wal = wals.CURRENT.get()
    if wal is not None:
        await run_sync(lambda: wal.intend("end_servers", run=run_id, folder=str(folder)))
