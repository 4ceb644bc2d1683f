"""Waits for squall's end; unless that comes with the closing word, undoes what is written down.

Standard input is a pipe whose other end only squall has: it ends when squall does, however that
dies. Signals do not end this process, for whoever ends squall may well send them to all.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from harness import wal as wals
from harness.rig.undo import undo_recorded
from harness.rig.watchdog.words import CLOSING_WORD
from harness.wal import HeldError, Wal

PATIENCE_S: Final = 60.0  # how long a server that does not answer is tried
HELD_S: Final = 60.0
PAUSE_S: Final = 0.05
NAME: Final = "watchdog"


def main() -> int:
    """Watch one run; 0 when nothing is left of it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    folder = Path(sys.argv[1])
    if _last_words() == CLOSING_WORD:
        return 0
    try:
        with _taken_over(folder) as wal:
            return 0 if _undo(wal) else 1
    except FileNotFoundError:  # nothing was begun yet, or somebody has removed the run
        return 0
    except TimeoutError:
        return 1


def _last_words() -> bytes:
    """What squall says before it ends; blocks until then."""
    said = b""
    while True:
        piece = os.read(0, 64)
        if not piece:
            return said
        said = (said + piece)[-64:]


def _taken_over(folder: Path) -> Wal:
    """The dead run's record, as soon as its lock is free.

    Raises:
        TimeoutError: somebody holds it and does not let go.
        FileNotFoundError: the folder is gone.
    """
    until_s = time.monotonic() + HELD_S
    while time.monotonic() < until_s:
        try:
            return Wal.resume(folder)
        except HeldError:
            time.sleep(PAUSE_S)
    raise TimeoutError(f"{folder / wals.FILE} is held by another process")


def _undo(wal: Wal) -> bool:
    """Undo what is left and close the record; False when something may still stand."""
    if wal.closed_by:
        return True
    told = undo_recorded(wal, patience_s=PATIENCE_S)
    for one in told:
        if not one.whole:
            wal.tell(one.intent.number, one.words)
    if all(one.whole for one in told):
        wal.close(NAME)
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
