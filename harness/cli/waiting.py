"""Says on standard error that long work is under way: at a terminal once it lasts a second."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, TextIO

PATIENCE_S: Final = 1.0  # shorter work is over before anybody wonders
LOG_PATIENCE_S: Final = 5.0  # nobody sits before a log
_REDRAW_S: Final = 0.5
_LINE_S: Final = 10.0
_ERASE: Final = "\r\x1b[2K"


@contextmanager
def under_way(
    what: str,
    *,
    stream: TextIO | None = None,
    environment: Mapping[str, str] = os.environ,
    quiet: bool = False,
    patience_s: float | None = None,
) -> Iterator[None]:
    """Tell of the work in the block: on a terminal in one line, which goes again; else in lines."""
    out = sys.stderr if stream is None else stream
    if quiet:
        yield
        return
    over = threading.Event()
    redrawn = out.isatty() and environment.get("TERM") != "dumb"
    if patience_s is None:
        patience_s = PATIENCE_S if redrawn else LOG_PATIENCE_S
    teller = threading.Thread(
        target=_tell, args=(what, out, over, patience_s), kwargs={"redrawn": redrawn}, daemon=True
    )
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _tell(
    what: str, out: TextIO, over: threading.Event, patience_s: float, *, redrawn: bool
) -> None:
    began_s = time.monotonic()
    told = False
    wait_s = patience_s
    with suppress(OSError, ValueError):  # a stream that has gone away ends no work
        while not over.wait(wait_s):
            lasted_s = time.monotonic() - began_s
            line = f"{what}, {lasted_s:.0f} s"
            out.write(f"{_ERASE}{line}" if redrawn else f"{line}\n")
            out.flush()
            told, wait_s = True, _REDRAW_S if redrawn else _LINE_S
        if told and redrawn:
            out.write(_ERASE)
            out.flush()
