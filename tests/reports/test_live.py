from __future__ import annotations

import contextlib
import fcntl
import io
import os
import re
import struct
import subprocess
import sys
import termios
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
from rich.cells import cell_len

from reports.live import Live, plain
from reports.snapshot import ArmSnapshot, LiveSnapshot, Segment

ROOT = Path(__file__).resolve().parent.parent.parent

SNAPSHOT = LiveSnapshot(
    run_s=34.2,
    total_s=92,
    phase="2:token-expire",
    fault="2:token-expire",
    exposure="412 connections",
    calls=12_345,
    errors=23,
    rate_per_s=80.1,
    sessions=20,
    lag_ms=0.4,
    arms=(
        ArmSnapshot(
            arm="control",
            p50_ms=18.2,
            p99_ms=41.2,
            rate_per_s=40,
            calls=200,
            sessions=10,
            last_p99_ms=39,
        ),
        ArmSnapshot(
            arm="treated",
            p50_ms=18.9,
            p99_ms=1250,
            rate_per_s=40,
            calls=200,
            errors=23,
            sessions=10,
            last_p99_ms=1300,
        ),
    ),
    segments=(
        Segment(start_s=12, end_s=22, label="1"),
        Segment(start_s=30, end_s=42, label="2"),
        Segment(start_s=62, end_s=72, label="3"),
    ),
    fault_left_s=7.8,
)


class Clock:
    """Seconds that pass when told to."""

    now_s = 100.0

    def __call__(self) -> float:
        """Give the moment that was set."""
        return self.now_s


def test_a_log_gets_one_line_a_second_and_the_first_at_once() -> None:
    """Ten updates a second for three seconds are four lines and the opening one."""
    out, clock = io.StringIO(), Clock()
    with Live("storm", out, environment={}, clock=clock) as live:
        assert out.getvalue().startswith("storm: starting")
        for tick in range(31):
            clock.now_s = 100 + tick / 10
            live.update(replace(SNAPSHOT, run_s=tick / 10))
            if tick == 0:
                assert out.getvalue().count("\n") == 2
    lines = out.getvalue().splitlines()
    assert [line[:6] for line in lines[1:]] == ["[  0/9", "[  1/9", "[  2/9", "[  3/9"]


def test_leaving_shows_the_state_that_was_not_yet_shown() -> None:
    """The last figures are never held back."""
    out, clock = io.StringIO(), Clock()
    with Live("storm", out, environment={}, clock=clock) as live:
        live.update(SNAPSHOT)
        live.update(replace(SNAPSHOT, run_s=34.9, calls=99_999))
    assert "99,999 calls" in out.getvalue().splitlines()[-1]
    assert out.getvalue().count("\n") == 3


def test_a_line_holds_what_a_reader_of_a_log_needs() -> None:
    """Fault in force, calls, rate, errors and both arms' p99, in 80 columns."""
    line = plain(SNAPSHOT)
    for part in ("34/92 s", "2:token-expire", "12,345 calls", "80/s", "err 23", "41.2 ms | 1.25 s"):
        assert part in line
    assert len(line) <= 80
    assert len(plain(replace(SNAPSHOT, calls=10**12, errors=10**12, fault="f" * 99))) <= 80


def test_quiet_is_silent() -> None:
    """Nothing at all is written."""
    out = io.StringIO()
    with Live("storm", out, environment={}, quiet=True) as live:
        live.update(SNAPSHOT)
    assert out.getvalue() == ""


def on_a_terminal(environment: dict[str, str], snapshot: LiveSnapshot = SNAPSHOT) -> str:
    """Show one snapshot on a real pseudo-terminal and give what arrived at its other end."""
    near, far = os.openpty()
    arrived: list[bytes] = []

    def drain() -> None:
        with contextlib.suppress(OSError):  # what a terminal raises when its last writer leaves
            while chunk := os.read(near, 65536):
                arrived.append(chunk)

    reader = Thread(target=drain, daemon=True)
    try:
        with os.fdopen(far, "w", encoding="utf-8") as stream:
            reader.start()
            size = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
            with Live("storm", stream, environment=size | environment, clock=Clock()) as live:
                live.update(snapshot)
        reader.join(5)
        assert not reader.is_alive()
    finally:
        os.close(near)
    return b"".join(arrived).decode()


def words(text: str) -> str:
    """Leave out what moves the cursor or styles the text."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def widest(text: str) -> int:
    """Give the columns of the widest line that was drawn."""
    return max(cell_len(line) for line in re.split(r"[\r\n]+", words(text)))


def test_a_narrow_terminal_gets_narrow_lines() -> None:
    """The picture follows the terminal's width instead of wrapping."""
    text = on_a_terminal({"COLUMNS": "44"})
    assert widest(text) <= 44
    assert "12,345" in text


def test_a_terminal_gets_a_picture_that_is_redrawn() -> None:
    """Every figure is there, no line is too wide, and the cursor goes back up to redraw."""
    text = on_a_terminal({})
    assert text.index("storm  starting") < text.index("12,345")
    for part in (
        "2:token-expire, 8 s left, hit 412 connections",
        "12,345",
        "1.25 s",
        "lag 0.40 ms",
        "20 sess",
        "11.5%",
        "p99 39.0ms-1.30s",
    ):
        assert part in words(text)
    assert widest(text) <= 80
    assert "\x1b[?25l" in text
    assert "\x1b[?25h" in text


def test_no_color_leaves_no_colour() -> None:
    """With NO_COLOR set, no sequence chooses a foreground or background."""
    colours = re.compile(r"\x1b\[(?:[0-9]+;)*(?:3[0-8]|4[0-8]|9[0-7])(?:;[0-9]+)*m")
    assert colours.search(on_a_terminal({}))
    assert not colours.search(on_a_terminal({"NO_COLOR": "1"}))


def test_a_dumb_terminal_is_written_to_line_by_line() -> None:
    """Where nothing can be redrawn, nothing is tried."""
    assert "\x1b" not in on_a_terminal({"TERM": "dumb"})


@pytest.mark.parametrize("environment", [{}, {"TERM": "dumb"}])
def test_names_from_outside_cannot_drive_the_terminal(environment: dict[str, str]) -> None:
    """An escape sequence in a phase or an exposure is stripped."""
    attack = replace(SNAPSHOT, phase="\x1b]0;owned\x07x", fault="", exposure="\x1b[2J")
    assert "owned" not in on_a_terminal(environment, attack)
    assert "\x1b[2J" not in on_a_terminal(environment, replace(attack, fault="\x1b[2Jy"))


TAKER = """
import os, sys
from reports.live import Live
from tests.reports.test_live import SNAPSHOT
moments = iter(range(1000))
with Live("storm", sys.stderr, environment=os.environ, clock=lambda: next(moments)) as live:
    for line in sys.stdin:
        live.update(SNAPSHOT)
"""


def test_a_terminal_that_is_made_narrower_is_drawn_anew() -> None:
    """What was drawn for more columns is cleared, for it would have been broken into pieces."""
    near, far = os.openpty()

    def resize(columns: int) -> None:
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def ask() -> str:
        """Have it drawn once more, and give what arrives up to its last line."""
        os.write(near, b"\n")
        arrived = ""
        while "at p99" not in arrived:
            arrived += os.read(near, 65536).decode(errors="replace")
        return arrived

    resize(80)
    known = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    environment = known | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", TAKER], stdin=far, stdout=far, stderr=far, env=environment
    )
    try:
        assert "\x1b[2J" not in ask()
        resize(60)
        redrawn = ask()
        assert "\x1b[2J\x1b[H" in redrawn
        assert widest(redrawn) == 60
        assert "\x1b[2J" not in ask()
    finally:
        child.kill()
        child.wait()
        os.close(near)
        os.close(far)


def test_what_was_drawn_makes_room_for_the_result() -> None:
    """The last thing that happens is that the picture's lines are taken back."""
    text = on_a_terminal({})
    assert words(text).rstrip("\r\n").splitlines()[-1].startswith("generator")
    assert text.count("\x1b[1A\x1b[2K") >= 8
    assert text.rindex("\x1b[1A\x1b[2K") > text.rindex("generator")
