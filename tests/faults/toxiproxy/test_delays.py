"""The stages that hold data back, one at a time, with the test as both sides of the link."""

from __future__ import annotations

import asyncio
import random
import time
from itertools import pairwise

import pytest
from anyio import fail_after

from faults.toxiproxy.path.alarm import Alarm
from faults.toxiproxy.path.delays import Bandwidth, Latency
from tests.faults.toxiproxy.bench import MIB, Bench, slicer, toxic


def latency(bench: Bench, latency_ms: int, jitter_ms: int = 0) -> Latency:
    """A latency on a bench."""
    made = toxic("latency", latency=latency_ms, jitter=jitter_ms)
    return Latency(made, bench, bench, lambda: random.Random(0))


def bandwidth(bench: Bench, rate: int) -> Bandwidth:
    """A bandwidth on a bench."""
    return Bandwidth(toxic("bandwidth", rate=rate), bench, bench, lambda: random.Random(0))


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
