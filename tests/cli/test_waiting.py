from __future__ import annotations

import io
import re
import time

import pytest

from harness.cli.waiting import under_way

PATIENCE_S = 0.01
LONG_S = 10.0


class Terminal(io.StringIO):
    """Where a line can be drawn anew."""

    def isatty(self) -> bool:
        """Say that it is one."""
        return True


class Gone(Terminal):
    """A terminal that has been closed."""

    def write(self, text: str) -> int:
        """Refuse."""
        raise OSError(5, text)


def await_text(stream: io.StringIO) -> str:
    """What has been written, once something is."""
    until = time.monotonic() + LONG_S
    while not stream.getvalue() and time.monotonic() < until:
        time.sleep(0.001)
    return stream.getvalue()


def test_work_that_is_soon_over_says_nothing() -> None:
    """Nobody has begun to wonder."""
    for stream in (io.StringIO(), Terminal()):
        with under_way("judging", stream=stream, environment={}, patience_s=LONG_S):
            pass
        assert stream.getvalue() == ""


def test_long_work_says_how_long_it_lasts_in_lines_for_a_log() -> None:
    """What it is, and since when."""
    stream = io.StringIO()
    with under_way("judging", stream=stream, environment={}, patience_s=PATIENCE_S):
        assert re.fullmatch(r"judging, \d+ s\n", await_text(stream))


def test_a_terminal_gets_one_line_that_goes_again() -> None:
    """So that the result stands where it was."""
    stream = Terminal()
    with under_way("judging", stream=stream, environment={}, patience_s=PATIENCE_S):
        assert "judging, " in await_text(stream)
    assert stream.getvalue().endswith("\r\x1b[2K")
    dumb = Terminal()
    with under_way("judging", stream=dumb, environment={"TERM": "dumb"}, patience_s=PATIENCE_S):
        assert "\x1b" not in await_text(dumb)


def test_quiet_work_says_nothing_however_long() -> None:
    """Nothing at all is written, and no thread is started."""
    stream = Terminal()
    with under_way("judging", stream=stream, environment={}, quiet=True, patience_s=0):
        pass
    assert stream.getvalue() == ""


def test_an_error_of_the_work_is_its_own() -> None:
    """It comes through, and so does the work's result when the terminal has gone."""
    with (
        pytest.raises(ValueError, match="of the work"),
        under_way("judging", stream=Terminal(), environment={}, patience_s=PATIENCE_S),
    ):
        raise ValueError("of the work")
    with under_way("judging", stream=Gone(), environment={}, patience_s=0):
        time.sleep(PATIENCE_S)
