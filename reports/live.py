"""Progress while a run lasts: a few lines redrawn on a terminal, a line a second elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, TextIO

from rich.console import Console, Group
from rich.live import Live as Redrawn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reports.words import ABSENT, clean, cut, milliseconds, share

WIDTH: Final = 80
_LINE_EVERY_S: Final = 1.0
_REDRAW_EVERY_S: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class ArmSnapshot:
    """The last seconds of one arm; None when no call ended in them."""

    arm: str
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, kw_only=True)
class LiveSnapshot:
    """Where a run stands, cheap enough to be made several times a second."""

    run_s: float
    total_s: float
    phase: str
    fault: str = ""  # the window's id; "" when none is in force
    exposure: str = ""  # "412 connections"
    calls: int = 0
    errors: int = 0
    rate_per_s: float = 0.0
    sessions: int = 0
    lag_ms: float | None = None
    arms: tuple[ArmSnapshot, ...] = ()


class Live:
    """Shows snapshots on a stream; entering shows the first line at once, leaving the last state.

    On a terminal a few lines are redrawn in place; elsewhere a plain line a second is written.
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
        self._redrawn: Redrawn | None = None
        if not quiet and stream.isatty() and environment.get("TERM") != "dumb":
            console = Console(file=stream, _environ=dict(environment), legacy_windows=False)
            self._redrawn = Redrawn(
                console=console,
                auto_refresh=False,
                redirect_stdout=False,
                redirect_stderr=False,
                vertical_overflow="crop",
            )

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
            self._redrawn.update(picture(self._title, snapshot), refresh=True)

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


def picture(title: str, snapshot: LiveSnapshot) -> Group:
    """Draw a snapshot as a few lines for a terminal."""
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(clean(title), style="bold"),
        ProgressBar(
            total=max(snapshot.total_s, 1e-9),
            completed=min(snapshot.run_s, snapshot.total_s),
            width=28,
        ),
        Text(f"{snapshot.run_s:.1f} of {snapshot.total_s:.0f} s"),
    )
    lines = [
        _labelled("phase", snapshot.phase),
        _labelled("fault", _fault(snapshot), "bold magenta" if snapshot.fault else ""),
        _labelled("calls", _calls(snapshot), "bold red" if snapshot.errors else ""),
        *(
            _labelled(
                arm.arm, f"p50 {milliseconds(arm.p50_ms):>8}   p99 {milliseconds(arm.p99_ms):>8}"
            )
            for arm in snapshot.arms
        ),
        _labelled("generator", _generator(snapshot)),
    ]
    return Group(head, *lines)


def _labelled(label: str, text: str, style: str = "") -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{label:<10} ", style="dim")
    return line.append(clean(text), style=style or None)


def _fault(snapshot: LiveSnapshot) -> str:
    if not snapshot.fault:
        return "none in force"
    return f"{snapshot.fault}, hit {snapshot.exposure or 'nothing yet'}"


def _calls(snapshot: LiveSnapshot) -> str:
    lost = share(snapshot.errors / snapshot.calls) if snapshot.calls else ABSENT
    return (
        f"{snapshot.calls:,}   {snapshot.rate_per_s:,.1f}/s   errors {snapshot.errors:,} ({lost})"
    )


def _generator(snapshot: LiveSnapshot) -> str:
    return f"{snapshot.sessions:,} sessions alive, lag {milliseconds(snapshot.lag_ms)}"
