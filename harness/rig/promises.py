"""What one lever has promised to undo: written down before each effect, ticked off after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anyio.to_thread import run_sync

from harness.wal import Wal


class Promises:
    """The open promises of one lever, each known by its way of undoing and by what is undone."""

    def __init__(self, wal: Wal | None, where: Mapping[str, Any]) -> None:
        """Write to `wal`, None outside a run; `where` is written down with every promise."""
        self._wal = wal
        self._where = dict(where)
        self._numbers: dict[tuple[str, ...], int] = {}

    async def give(self, undo: str, **what: str) -> None:
        """Write down how to undo what is about to be done; `undo` is one of the ways in `undo.py`.

        Raises:
            RigError: it cannot be written; then the thing must not be done.
        """
        wal = self._wal
        if wal is not None:
            # Not to be abandoned: whoever is cancelled meanwhile must know the number all the same.
            number = await run_sync(lambda: wal.intend(undo, **self._where, **what))
            self._numbers[undo, *what.values()] = number

    def kept(self, undo: str, *what: str) -> None:
        """Write down that it was undone, or never done; nothing where nothing was promised."""
        number = self._numbers.pop((undo, *what), None)
        if self._wal is not None and number is not None:
            self._wal.done(number)

    def all_kept(self) -> None:
        """Write down that everything was undone."""
        for undo, *what in tuple(self._numbers):
            self.kept(undo, *what)
