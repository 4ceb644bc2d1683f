"""The stages that hold data back, one at a time, with the test as both sides of the link."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from itertools import pairwise

import pytest
from anyio import fail_after
from hypothesis import given
from hypothesis import strategies as st

from faults.toxiproxy.alarm import Alarm, Wake
from faults.toxiproxy.delays import SLICES_MAX, Bandwidth, Latency, Slicer
from faults.toxiproxy.stage import Budget, Toxic

MIB = 1024 * 1024


class Bell(Alarm):
    """An alarm that the test rings."""

    def __init__(self) -> None:
        self.grain_s = 0.0
        self.set: list[tuple[float, Wake]] = []

    def at(self, due_s: float, then: Callable[[], None]) -> Wake:
        """Only note it."""
        self.set.append((due_s, Wake(self, then)))
        return self.set[-1][1]

    def forget(self) -> None:
        """A cancelled wake does nothing when its turn comes."""

    def ring(self) -> None:
        """Call the one that was set first."""
        then = self.set.pop(0)[1].then
        if then is not None:
            then()


class Bench:
    """A link without sockets: what comes through a stage lies in `got`."""

    def __init__(self, alarm: Alarm | None = None, limit_bytes: int = MIB) -> None:
        self.bell = Bell()
        self.alarm = alarm or self.bell
        self.budget = Budget(limit_bytes=limit_bytes)
        self.stalled = False
        self.stalls_after = -1  # how many pieces fit; negative for any number
        self.got: list[bytes] = []
        self.got_s: list[float] = []
        self.ended = asyncio.Event()
        self.held = 0
        self.views = 0  # how many pieces were views of a room

    def hold(self) -> None:
        """Nothing more is to come in."""
        self.held += 1

    def unhold(self) -> None:
        """More may come in."""
        self.held -= 1

    def reset(self) -> None:
        """Nothing is open."""

    def abort(self) -> None:
        """Nothing is open."""

    def feed(self, piece: bytes | memoryview, at_s: float) -> None:  # noqa: ARG002 - who comes counts
        """Take a piece."""
        self.views += isinstance(piece, memoryview)
        self.got.append(bytes(piece))
        self.got_s.append(time.monotonic())
        self.stalled = len(self.got) == self.stalls_after

    def end(self) -> None:
        """Take the end."""
        self.ended.set()


def toxic(kind: str, **attributes: int) -> Toxic:
    """A toxic that hits everything."""
    return Toxic(
        name="t",
        type=kind,
        stream="upstream",
        upstream=True,
        toxicity=1.0,
        attributes=attributes,
    )


def slicer(bench: Bench, average: int, variation: int = 0, delay: int = 0, seed: int = 0) -> Slicer:
    """A slicer on a bench."""
    sizes = {"average_size": average, "size_variation": variation, "delay": delay}
    return Slicer(toxic("slicer", **sizes), bench, bench, lambda: random.Random(seed))


def latency(bench: Bench, latency_ms: int, jitter_ms: int = 0) -> Latency:
    """A latency on a bench."""
    made = toxic("latency", latency=latency_ms, jitter=jitter_ms)
    return Latency(made, bench, bench, lambda: random.Random(0))


def bandwidth(bench: Bench, rate: int) -> Bandwidth:
    """A bandwidth on a bench."""
    return Bandwidth(toxic("bandwidth", rate=rate), bench, bench, lambda: random.Random(0))


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


@pytest.mark.anyio
async def test_latency_is_never_short_and_keeps_the_order() -> None:
    """Whatever the jitter, each piece has waited its least time and follows the one before."""
    alarm = Alarm(asyncio.get_running_loop())
    bench = Bench(alarm)
    stage = latency(bench, 20, 10)
    fed_s = []
    with fail_after(5):
        for number in range(50):
            fed_s.append(time.monotonic())
            stage.feed(bytes([number]), fed_s[-1])
            await asyncio.sleep(0.001)
        stage.end()
        await bench.ended.wait()
    alarm.close()
    assert b"".join(bench.got) == bytes(range(50))
    assert all(got - fed >= 0.01 for got, fed in zip(bench.got_s, fed_s, strict=True))
    assert bench.budget.held_bytes == 0


def test_latency_without_a_wait_passes_at_once() -> None:
    """Zero, and less than zero, is no wait."""
    bench = Bench()
    for wait_ms in (0, -5):
        latency(bench, wait_ms).feed(b"x", time.monotonic())
    assert bench.got == [b"x", b"x"]
    assert bench.bell.set == []


def test_latency_passes_a_room_to_the_end_of_the_link_alone() -> None:
    """Whoever comes after it may keep or cut a piece, which a room cannot stand."""
    bench, far = Bench(), Bench()
    stage = latency(bench, 0)
    stage.feed(memoryview(b"room"), time.monotonic())
    assert (bench.got, bench.views) == ([b"room"], 1)
    stage.after = slicer(far, 2)
    stage.feed(memoryview(b"room"), time.monotonic())
    assert (far.got, far.views) == ([b"ro", b"om"], 0)


def test_latency_that_holds_too_much_stops_reading_until_there_is_room_again() -> None:
    """It goes on before the queue is empty: at half of what all links may hold."""
    bench, piece = Bench(limit_bytes=4 * MIB), bytes(MIB)
    stage = latency(bench, 1)
    for _ in range(4):
        assert bench.held == 0
        stage.feed(piece, time.monotonic() - 1)
    assert bench.held == 1
    bench.stalled, bench.stalls_after = True, 2
    bench.bell.ring()
    assert bench.got == []
    bench.stalled = False
    stage.resume()
    assert bench.held == 0
    assert bench.budget.held_bytes == 2 * MIB


def test_a_dropped_latency_gives_back_what_it_held() -> None:
    """The budget is everybody's."""
    bench = Bench()
    stage = latency(bench, 60_000)
    stage.feed(bytes(1000), time.monotonic())
    assert bench.budget.held_bytes == 1000
    stage.drop()
    assert bench.budget.held_bytes == 0
    assert [wake.then for _, wake in bench.bell.set] == [None]


def test_a_bandwidth_that_is_wide_enough_leaves_pieces_whole() -> None:
    """What costs less than a wait is worth is not cut up."""
    bench = Bench()
    stage = bandwidth(bench, 10_000_000)
    for _ in range(3):
        stage.feed(bytes(256 * 1024), time.monotonic())
    assert [len(piece) for piece in bench.got] == [256 * 1024] * 3


def test_silence_earns_no_bandwidth() -> None:
    """After a pause a piece takes as long as before it; one that follows at once pays for both."""
    bench = Bench()
    stage = bandwidth(bench, 100)
    now_s = time.monotonic()
    stage.feed(bytes(5000), now_s)
    (due_s, _), *_ = bench.bell.set
    assert due_s == pytest.approx(now_s + 0.05)
    stage.feed(bytes(5000), now_s)
    bench.bell.ring()
    assert [due_s for due_s, _ in bench.bell.set] == [pytest.approx(now_s + 0.1)]
    bench.bell.ring()
    assert [len(piece) for piece in bench.got] == [5000, 5000]
    assert bench.held == 0
    stage.feed(bytes(5000), now_s + 60)
    assert [due_s for due_s, _ in bench.bell.set] == [pytest.approx(now_s + 60.05)]


def test_a_slow_bandwidth_lets_a_part_through_every_tenth_of_a_second() -> None:
    """A second's worth goes in ten parts, the last at its end."""
    bench, now_s = Bench(), time.monotonic()
    stage = bandwidth(bench, 10)
    stage.feed(bytes(10_000), now_s)
    stage.end()
    dues_s = []
    while bench.bell.set:
        dues_s.append(bench.bell.set[0][0])
        bench.bell.ring()
    assert [len(piece) for piece in bench.got] == [1000] * 10
    assert dues_s[0] == pytest.approx(now_s + 0.1)
    assert dues_s[-1] == pytest.approx(now_s + 1.0)
    assert [later - sooner for sooner, later in pairwise(dues_s)] == [pytest.approx(0.1)] * 9
    assert bench.ended.is_set()
