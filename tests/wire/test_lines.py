from __future__ import annotations

import sys

import pytest

from harness.wire.lines import HEAD_BYTES, Lines, Oversized

TEXT = b'{"a":1}\r\n\n{"b":2}\n'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_lines_are_the_same_in_whatever_pieces_they_come(size: int) -> None:
    """CR LF and LF end a line, and an empty one is one."""
    lines = Lines(100)
    found = [line for at in range(0, len(TEXT), size) for line in lines.feed(TEXT[at : at + size])]
    assert found == [b'{"a":1}', b"", b'{"b":2}']
    assert not lines.begun


def test_a_line_beyond_the_limit_is_told_by_its_head_and_length() -> None:
    """No more of it is kept, and the next line is a line again."""
    lines = Lines(1000)
    for _ in range(50):
        assert lines.feed(b"x" * 100) == []
    assert lines.begun
    assert sum(map(len, lines._pieces)) <= 1000
    assert lines.feed(b"\nnext\n") == [Oversized(b"x" * HEAD_BYTES, 5000), b"next"]


def test_what_has_begun_is_known_by_its_head() -> None:
    """So that whoever waits for it can be told that it was coming."""
    lines = Lines(1000)
    assert lines.feed(b'first\n{"id": 7') == [b"first"]
    assert (lines.begun, lines.head, lines.size_bytes) == (True, b'{"id": 7', 8)


def test_a_line_that_comes_in_crumbs_takes_little_more_than_its_length() -> None:
    """Each piece by itself would cost thirty bytes to keep two."""
    lines = Lines(1_000_000)
    for _ in range(50_000):
        lines.feed(b"xy")
    kept_bytes = sum(map(sys.getsizeof, lines._pieces)) + sys.getsizeof(lines._pieces)
    assert kept_bytes < 150_000
    assert lines.feed(b"\n") == [b"xy" * 50_000]
