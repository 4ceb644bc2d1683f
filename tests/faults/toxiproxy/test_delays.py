"""The slicer's cuts, for any size that it accepts."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from faults.toxiproxy.delays import Slicer
from faults.toxiproxy.stage import Budget, Toxic


class Still:
    """A link that does nothing, for a stage that is only asked to cut."""

    loop: asyncio.AbstractEventLoop
    budget = Budget(limit_bytes=0)
    stalled = False

    def hold(self) -> None:
        """Nothing is read."""

    def unhold(self) -> None:
        """Nothing is read."""

    def reset(self) -> None:
        """Nothing is open."""

    def feed(self, piece: bytes, at_s: float) -> None:
        """Nothing is written."""

    def end(self) -> None:
        """Nothing is open."""


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
    variation = int(average * share)
    toxic = Toxic(
        name="t",
        type="slicer",
        stream="upstream",
        upstream=True,
        toxicity=1.0,
        attributes={"average_size": average, "size_variation": variation, "delay": 0},
    )
    still = Still()
    piece = random.Random(seed).randbytes(size_bytes)
    slicer = Slicer(toxic, still, still, lambda: random.Random(seed))
    slicer._pieces.append((piece, 0.0))
    slices = []
    while slicer._pieces:
        slices.append(slicer.next_slice())
    assert b"".join(slices) == piece
    assert all(len(part) <= average + variation for part in slices)
    assert all(slices) or size_bytes == 0
