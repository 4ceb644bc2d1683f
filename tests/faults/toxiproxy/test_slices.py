"""The slicer, with the test as both sides of the link."""

from __future__ import annotations

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from faults.toxiproxy.path.slices import SLICES_MAX
from tests.faults.toxiproxy.bench import Bench, slicer


@given(
    size_bytes=st.integers(0, 40_000),
    average=st.integers(1, 5_000),
    share=st.floats(0, 0.99),
    seed=st.integers(0, 100),
)
def test_slices_are_about_the_average_and_make_the_whole(
    size_bytes: int, average: int, share: float, seed: int
) -> None:
    """No slice is longer than average and variation together, and none is empty."""
    bench, variation = Bench(), int(average * share)
    piece = random.Random(seed).randbytes(size_bytes)
    slicer(bench, average, variation, seed=seed).feed(piece, 0.0)
    while bench.bell.set:
        bench.bell.ring()
    assert b"".join(bench.got) == piece
    assert all(len(part) <= average + variation for part in bench.got)
    assert all(bench.got) or size_bytes == 0
    assert bench.held == 0


def test_a_slicer_gives_way_after_so_many_slices() -> None:
    """A piece of many slices takes more than one turn, and nothing is read in between."""
    bench, piece = Bench(), random.Random(1).randbytes(SLICES_MAX + 1)
    stage = slicer(bench, 1)
    stage.feed(piece, 0.0)
    assert len(bench.got) == SLICES_MAX
    assert bench.held == 1
    stage.end()
    assert not bench.ended.is_set()
    bench.bell.ring()
    assert b"".join(bench.got) == piece
    assert bench.ended.is_set()
    assert bench.held == 0


def test_a_slicer_waits_for_a_far_side_that_takes_no_more() -> None:
    """What is left stays cut as it was, and goes out where it had stopped."""
    bench, piece = Bench(), bytes(range(16))
    bench.stalls_after = 3
    stage = slicer(bench, 2)
    stage.feed(piece, 0.0)
    stage.feed(b"next", 0.0)
    stage.end()
    assert bench.got == [b"\0\1", b"\2\3", b"\4\5"]
    bench.stalled = False
    stage.resume()
    assert b"".join(bench.got) == piece + b"next"
    assert len(bench.got) == 10
    assert bench.ended.is_set()


def test_a_slicer_that_goes_away_in_the_middle_passes_the_rest_uncut() -> None:
    """No byte twice, none missing."""
    bench = Bench()
    bench.stalls_after = 1
    stage = slicer(bench, 2)
    stage.feed(b"abcdef", 0.0)
    stage.feed(b"ghij", 0.0)
    stage.removed()
    assert b"".join(bench.got) == b"abcdefghij"
    assert len(bench.got) == 3


def test_a_delayed_slicer_waits_after_each_slice() -> None:
    """One slice at a time, each with a wait of its own."""
    bench = Bench()
    slicer(bench, 2, delay=3_000_000).feed(b"abcdefgh", 0.0)
    assert bench.got == [b"ab"]
    assert [due_s > time.monotonic() for due_s, _ in bench.bell.set] == [True]
