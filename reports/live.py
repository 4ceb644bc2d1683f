"""Progress while a run lasts: a few lines redrawn on a terminal, a line a second elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console, Group
from rich.control import Control
from rich.live import Live as Redrawn
from rich.segment import ControlType
from rich.text import Text

from reports.picture import WIDTH, picture
from reports.snapshot import LiveSnapshot
from reports.words import clean, cut, milliseconds

_LINE_EVERY_S: Final = 1.0
_REDRAW_EVERY_S: Final = 0.2
_COURSE_S: Final = 120  # how far back a course reaches; the terminal's width shows less
_WIDEST: Final = 100  # wider than that, figures stand too far from their names


class Live:
    """Shows snapshots on a stream; entering shows the first line at once, leaving the last state.

    On a terminal a few lines are redrawn in place, and make room for the result in the end;
    elsewhere a plain line a second is written.
    """

    def __init__(
        self,
        title: str,
        stream: TextIO,
        *,
        environment: Mapping[str, str],
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare to show; `clock` gives seconds and decides when the next line is due."""
        self._title = clean(title)
        self._stream = stream
        self._quiet = quiet
        self._clock = clock
        self._shown_at_s: float | None = None
        self._latest: LiveSnapshot | None = None
        self._courses: dict[str, deque[float | None]] = {}
        self._second = -1
        self._redrawn: Redrawn | None = None
        if not quiet and stream.isatty() and environment.get("TERM") != "dumb":
            console = Console(file=stream, _environ=dict(environment), legacy_windows=False)
            self._redrawn = Redrawn(
                console=console,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
                transient=True,
            )
            self._size = console.size

    def __enter__(self) -> Self:
        if self._quiet:
            return self
        if self._redrawn is not None:
            self._redrawn.start()
            self._redrawn.update(Text(f"{self._title}  starting"), refresh=True)
        else:
            self._write(cut(f"{self._title}: starting; p99 is control | treated", WIDTH))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):  # a terminal that has gone away ends no run
            if self._latest is not None:
                self._show(self._latest)
            if self._redrawn is not None:
                self._redrawn.stop()

    def update(self, snapshot: LiveSnapshot) -> None:
        """Take a snapshot; it is shown when the next line or redraw is due."""
        if self._quiet:
            return
        self._remember(snapshot)
        now_s = self._clock()
        every_s = _LINE_EVERY_S if self._redrawn is None else _REDRAW_EVERY_S
        self._latest = snapshot
        if self._shown_at_s is None or now_s - self._shown_at_s >= every_s:
            # On the grid of the first line, so that lateness does not add up.
            late_s = 0.0 if self._shown_at_s is None else (now_s - self._shown_at_s) % every_s
            self._shown_at_s = now_s - late_s
            self._show(snapshot)

    def _show(self, snapshot: LiveSnapshot) -> None:
        self._latest = None
        if self._redrawn is None:
            self._write(plain(snapshot))
        else:
            self._redraw(self._redrawn, snapshot)

    def _redraw(self, redrawn: Redrawn, snapshot: LiveSnapshot) -> None:
        """Draw for the terminal as wide as it is now."""
        size = redrawn.console.size
        if size != self._size:
            # A terminal breaks long lines anew when it gets narrower: what was drawn before is
            # no longer where it was, and would be left standing.
            self._size = size
            redrawn.console.control(Control.clear(), Control((ControlType.HOME,)))
        lines = picture(self._title, snapshot, self._courses, min(size.width, _WIDEST))
        redrawn.update(Group(*lines), refresh=True)

    def _remember(self, snapshot: LiveSnapshot) -> None:
        """Keep what each second was like, for the courses."""
        if int(snapshot.run_s) == self._second:
            return
        self._second = int(snapshot.run_s)
        for arm in snapshot.arms:
            course = self._courses.setdefault(arm.arm, deque(maxlen=_COURSE_S))
            course.append(arm.last_p99_ms)

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


def plain(snapshot: LiveSnapshot) -> str:
    """Put a snapshot on one line of at most 80 columns, for logs."""
    where = snapshot.fault or snapshot.phase
    latencies = " | ".join(milliseconds(arm.p99_ms) for arm in snapshot.arms)
    line = (
        f"[{snapshot.run_s:3.0f}/{snapshot.total_s:.0f} s] {cut(clean(where), 18)} "
        f"{snapshot.calls:,} calls {snapshot.rate_per_s:,.0f}/s err {snapshot.errors:,}"
        f"{f' p99 {latencies}' if latencies else ''}"
    )
    hit = f" hit {clean(snapshot.exposure)}" if snapshot.fault and snapshot.exposure else ""
    return cut(line + hit if len(line + hit) <= WIDTH else line, WIDTH)
