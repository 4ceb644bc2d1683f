"""Looks whether anything that a fault has done still stands, past whoever undid it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from anyio.to_thread import run_sync

from harness import wal
from harness.rig.undo import look

# What only faults do. Proxies, processes and folders of the rig stand until the run ends.
OF_FAULTS: Final = ("remove_toxic", "enable_proxy")


async def standing(folder: Path) -> tuple[str, ...]:
    """Say what of a run's faults still stands, in words; nothing when all is undone.

    Asks the proxies themselves about everything that was ever written down as to be undone,
    whether or not it was ticked off since.
    """
    return await run_sync(_standing, folder)


def _standing(folder: Path) -> tuple[str, ...]:
    try:
        record = wal.read(folder)
    except OSError as error:
        return (f"the record of what was broken cannot be read: {error.strerror or error}",)
    asked = {str(sorted(one.what.items())): one for one in record.intents if one.undo in OF_FAULTS}
    return tuple(told.words for told in look(tuple(asked.values())) if not told.whole)
