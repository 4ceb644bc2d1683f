"""What happens to bytes that are carried or held back: probes by name, with what they must see."""

from __future__ import annotations

import hashlib
import random
import socket
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from tests.faults.toxiproxy.peers import (
    SLACK_S,
    Bench,
    echoed,
    heard_by,
    in_time,
    last_of,
    quiet,
    rest,
    take,
)

Seen = Mapping[str, object]
Probe = tuple[Callable[[Bench], Seen], Seen]  # what to do, and what must be seen

STREAMS: Final = ("upstream", "downstream")


def _identity(bench: Bench, size_bytes: int) -> Seen:
    data = random.Random(size_bytes).randbytes(size_bytes)
    stream = bench.connect(bench.echo())
    got = echoed(stream, data)
    return {"same": hashlib.sha256(got).digest() == hashlib.sha256(data).digest()}


def _nothing(bench: Bench) -> Seen:
    stream = bench.connect(bench.echo())
    stream.shutdown(socket.SHUT_WR)
    return {"end": last_of(stream)}


def _last_words(bench: Bench) -> Seen:
    data = b"x" * 1_000_000 + b"bye"
    stream = bench.connect(bench.echo())
    with ThreadPoolExecutor(1) as pool:
        pool.submit(stream.sendall, data)
        return {"same": rest(stream) == data}


def _speaks_first(bench: Bench, latency_ms: int) -> Seen:
    words = b"hello" * 1000
    address = bench.speaker(words)
    if latency_ms:
        bench.server.toxic("latency", latency=latency_ms)
    heard = {last_of(bench.connect(address)) == (words, "end") for _ in range(5)}
    return {"heard": heard}


def _speaks_and_leaves(bench: Bench) -> Seen:
    address, heard = bench.sink()
    words = random.Random(1).randbytes(300_000)
    with socket.create_connection(address) as stream:
        stream.sendall(words)
    one = heard_by(heard)
    return {"same": bytes(one.data) == words, "end": one.end}


def _half_close(bench: Bench) -> Seen:
    """An upstream that answers only after the end can never be heard: halves do not exist."""
    answered: list[str] = []

    def answer_late(stream: socket.socket) -> None:
        rest(stream)
        time.sleep(0.1)
        try:
            stream.sendall(b"late")
            time.sleep(0.05)
            stream.sendall(b"later")
        except OSError:
            answered.append("refused")

    address = bench.server.proxy(bench.listener(answer_late).address)
    stream = bench.connect(address)
    stream.sendall(b"question")
    stream.shutdown(socket.SHUT_WR)
    return {"client": last_of(stream)}


def _upstream_half_close(bench: Bench) -> Seen:
    def say_and_listen(stream: socket.socket) -> None:
        stream.sendall(b"words")
        stream.shutdown(socket.SHUT_WR)
        rest(stream)

    stream = bench.connect(bench.server.proxy(bench.listener(say_and_listen).address))
    return {"client": last_of(stream)}


def _two_ways_at_once(bench: Bench) -> Seen:
    words = random.Random(2).randbytes(2_000_000)
    got: list[bytes] = []

    def both(stream: socket.socket) -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(stream.sendall, words)
            got.append(take(stream, len(words)))

    stream = bench.connect(bench.server.proxy(bench.listener(both).address))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(stream.sendall, words)
        down = take(stream, len(words))
    rest(stream)
    return {"down": down == words, "up": got == [words]}


def _latency(bench: Bench, direction: str) -> Seen:
    address = bench.echo()
    bench.server.toxic("latency", direction, latency=200)
    stream = bench.connect(address)
    began = time.monotonic()
    for number in range(10):
        stream.sendall(bytes([number]))
        time.sleep(0.002)
    first = take(stream, 1)
    delayed = in_time(began, 0.2)
    return {
        "delayed": delayed,
        "in order": first + take(stream, 9) == bytes(range(10)),
        "not cumulative": in_time(began, 0.2),
    }


def _jitter(bench: Bench, latency_ms: int, jitter_ms: int) -> Seen:
    address = bench.echo()
    bench.server.toxic("latency", latency=latency_ms, jitter=jitter_ms)
    stream = bench.connect(address)
    least_s = max(latency_ms - jitter_ms, 0) / 1000
    seen = set()
    took = []
    for _ in range(15):
        began = time.monotonic()
        assert echoed(stream, b"x") == b"x"
        took.append(time.monotonic() - began)
        seen.add(in_time(began, least_s, (latency_ms + jitter_ms) / 1000))
    return {"bounds": seen, "varied": max(took) - min(took) > jitter_ms / 4000}


def _jitter_order(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("latency", latency=5, jitter=5)
    stream = bench.connect(address)
    data = random.Random(3).randbytes(300)
    for byte in data:
        stream.sendall(bytes([byte]))
    return {"in order": take(stream, len(data)) == data}


def _latency_throughput(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("latency", latency=100)
    data = random.Random(4).randbytes(1 << 20)
    stream = bench.connect(address)
    began = time.monotonic()
    return {"same": echoed(stream, data) == data, "took": in_time(began, 0.1, 0.5)}


def _latency_end(bench: Bench) -> Seen:
    address = bench.speaker(b"words")
    bench.server.toxic("latency", latency=200)
    began = time.monotonic()
    stream = bench.connect(address)
    words = take(stream, 5)
    delayed = in_time(began, 0.2)
    began = time.monotonic()
    return {"words": words, "delayed": delayed, "end": last_of(stream), "soon": in_time(began, 0)}


def _latency_below_zero(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("latency", latency=-500, jitter=-5)
    stream = bench.connect(address)
    began = time.monotonic()
    return {"same": echoed(stream, b"words") == b"words", "took": in_time(began, 0)}


def _latency_update(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("latency", latency=60_000)
    stream = bench.connect(address)
    stream.sendall(b"held")
    held = quiet(stream, 0.15)
    bench.change("latency_downstream", latency=150)
    let_go = take(stream, 4)
    began = time.monotonic()
    return {
        "held": held,
        "let go": let_go,
        "then": echoed(stream, b"more"),
        "delayed": in_time(began, 0.15),
    }


def _removed(bench: Bench, kind: str, direction: str, attributes: dict[str, int]) -> Seen:
    """Whatever a toxic holds goes out when it is taken away."""
    address = bench.echo()
    stream = bench.live(address)
    bench.server.toxic(kind, direction, 1.0, **attributes)
    data = random.Random(5).randbytes(2000)
    for start in range(0, len(data), 200):
        stream.sendall(data[start : start + 200])
        time.sleep(0.005)
    held = quiet(stream, 0.15)
    bench.server.remove(f"{kind}_{direction}")
    return {"held": held, "same": take(stream, len(data)) == data, "after": echoed(stream, b"ok")}


def _bandwidth(bench: Bench, direction: str, rate: int, size_bytes: int) -> Seen:
    address = bench.echo()
    bench.server.toxic("bandwidth", direction, rate=rate)
    stream = bench.connect(address)
    data = random.Random(rate).randbytes(size_bytes)
    began = time.monotonic()
    same = echoed(stream, data) == data
    took_s = time.monotonic() - began
    due_s = size_bytes / rate / 1000
    held = 0.9 * due_s <= took_s <= 1.1 * due_s + 0.35
    return {"same": same, "rate": "held" if held else f"{took_s:.3f} s for {due_s:.3f} s"}


def _bandwidth_is_per_connection(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("bandwidth", rate=50)
    streams = [bench.connect(address) for _ in range(3)]
    data = b"x" * 20_000
    began = time.monotonic()
    with ThreadPoolExecutor(3) as pool:
        same = {got == data for got in pool.map(lambda stream: echoed(stream, data), streams)}
    return {"same": same, "took": in_time(began, 0.36, 0.4)}


def _no_bandwidth(bench: Bench, direction: str) -> Seen:
    address = bench.echo()
    bench.server.toxic("bandwidth", direction, rate=0)
    stream = bench.connect(address)
    # The original looks at the rate every 100 ms, twice, and dies of an index out of range when it
    # grows in between: the change comes half-way, and what is held is longer than a piece is then.
    stream.sendall(b"h" * 150)
    held = quiet(stream, 0.25)
    bench.change(f"bandwidth_{direction}", rate=1)
    let_go = len(take(stream, 150))
    return {"held": held, "let go": let_go, "then": echoed(stream, b"more")}


def _bandwidth_end(bench: Bench) -> Seen:
    address = bench.speaker(b"x" * 10_000)
    bench.server.toxic("bandwidth", rate=50)
    began = time.monotonic()
    words, end = last_of(bench.connect(address))
    return {"bytes": len(words), "end": end, "took": in_time(began, 0.18, 0.2)}


def _slices(bench: Bench, size_bytes: int, average: int, variation: int, delay_us: int) -> Seen:
    address = bench.echo()
    bench.server.toxic("slicer", average_size=average, size_variation=variation, delay=delay_us)
    stream = bench.connect(address)
    data = random.Random(6).randbytes(size_bytes)
    return {"same": echoed(stream, data) == data}


def _slice_sizes(bench: Bench) -> Seen:
    """Each slice comes by itself, 8 ms apart; a busy machine may join a few."""
    address = bench.echo()
    bench.server.toxic("slicer", average_size=100, size_variation=20, delay=8000)
    stream = bench.connect(address)
    data = random.Random(7).randbytes(3000)
    began = time.monotonic()
    stream.sendall(data)
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < len(data):
        pieces.append(stream.recv(65536))
    whole = [piece for piece in pieces if len(piece) <= 120]
    return {
        "same": b"".join(pieces) == data,
        "sizes": len(whole) >= 0.7 * len(pieces) and min(map(len, pieces)) >= 35,
        "enough": len(pieces) >= 20,
        "apart": in_time(began, 0.15, 0.6),
    }


def _slices_of_a_little(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("slicer", average_size=1000, size_variation=10, delay=300_000)
    stream = bench.connect(address)
    stream.sendall(b"little")
    began = time.monotonic()
    first = stream.recv(100)
    return {"whole": first, "at once": time.monotonic() - began < 0.25 + SLACK_S}


def _noop(bench: Bench) -> Seen:
    address = bench.echo()
    for direction in STREAMS:
        bench.server.toxic("noop", direction)
    stream = bench.connect(address)
    return {"same": echoed(stream, b"words") == b"words"}


DELAY_VECTORS: Final[dict[str, Probe]] = {
    **{
        f"identity of {size_bytes} bytes": (
            partial(_identity, size_bytes=size_bytes),
            {"same": True},
        )
        for size_bytes in (0, 1, 1448, 32 * 1024, 32 * 1024 + 1, 1 << 20, 8 << 20)
    },
    "an end without bytes": (_nothing, {"end": (b"", "end")}),
    "last words before the end": (_last_words, {"same": True}),
    "an upstream that speaks first": (partial(_speaks_first, latency_ms=0), {"heard": {True}}),
    "an upstream that speaks first, late": (
        partial(_speaks_first, latency_ms=30),
        {"heard": {True}},
    ),
    "a client that speaks and leaves": (_speaks_and_leaves, {"same": True, "end": "end"}),
    "half a close of the client": (_half_close, {"client": (b"", "end")}),
    "half a close of the upstream": (_upstream_half_close, {"client": (b"words", "end")}),
    "two ways at once": (_two_ways_at_once, {"down": True, "up": True}),
    **{
        f"latency {direction}": (
            partial(_latency, direction=direction),
            {"delayed": "in time", "in order": True, "not cumulative": "in time"},
        )
        for direction in STREAMS
    },
    "jitter": (
        partial(_jitter, latency_ms=50, jitter_ms=30),
        {"bounds": {"in time"}, "varied": True},
    ),
    "jitter beyond the latency": (
        partial(_jitter, latency_ms=10, jitter_ms=40),
        {"bounds": {"in time"}, "varied": True},
    ),
    "jitter keeps the order": (_jitter_order, {"in order": True}),
    "latency costs no throughput": (_latency_throughput, {"same": True, "took": "in time"}),
    "latency before the end": (
        _latency_end,
        {"words": b"words", "delayed": "in time", "end": (b"", "end"), "soon": "in time"},
    ),
    "latency below zero": (_latency_below_zero, {"same": True, "took": "in time"}),
    "latency changed while it holds": (
        _latency_update,
        {"held": True, "let go": b"held", "then": b"more", "delayed": "in time"},
    ),
    **{
        f"{kind} {direction} taken away while it holds": (
            partial(_removed, kind=kind, direction=direction, attributes=attributes),
            {"held": True, "same": True, "after": b"ok"},
        )
        for kind, attributes in {"latency": {"latency": 60_000}, "bandwidth": {"rate": 0}}.items()
        for direction in STREAMS
    },
    "bandwidth 100 downstream": (
        partial(_bandwidth, direction="downstream", rate=100, size_bytes=60_000),
        {"same": True, "rate": "held"},
    ),
    "bandwidth 100 upstream": (
        partial(_bandwidth, direction="upstream", rate=100, size_bytes=60_000),
        {"same": True, "rate": "held"},
    ),
    "bandwidth 20, in slices": (
        partial(_bandwidth, direction="downstream", rate=20, size_bytes=15_000),
        {"same": True, "rate": "held"},
    ),
    "bandwidth 1, in slices": (
        partial(_bandwidth, direction="upstream", rate=1, size_bytes=600),
        {"same": True, "rate": "held"},
    ),
    "bandwidth 2000 of a megabyte": (
        partial(_bandwidth, direction="downstream", rate=2000, size_bytes=1_000_000),
        {"same": True, "rate": "held"},
    ),
    "bandwidth that is more than enough": (
        partial(_bandwidth, direction="downstream", rate=10**9, size_bytes=1_000_000),
        {"same": True, "rate": "held"},
    ),
    "bandwidth is per connection": (
        _bandwidth_is_per_connection,
        {"same": {True}, "took": "in time"},
    ),
    **{
        f"no bandwidth {direction}": (
            partial(_no_bandwidth, direction=direction),
            {"held": True, "let go": 150, "then": b"more"},
        )
        for direction in STREAMS
    },
    "bandwidth before the end": (
        _bandwidth_end,
        {"bytes": 10_000, "end": "end", "took": "in time"},
    ),
    "slices make the whole again": (
        partial(_slices, size_bytes=100_000, average=500, variation=200, delay_us=0),
        {"same": True},
    ),
    "slices of a byte": (
        partial(_slices, size_bytes=300, average=1, variation=0, delay_us=0),
        {"same": True},
    ),
    "slices with a delay make the whole again": (
        partial(_slices, size_bytes=20_000, average=1000, variation=999, delay_us=100),
        {"same": True},
    ),
    "sizes of slices": (
        _slice_sizes,
        {
            "same": True,
            "sizes": True,
            "enough": True,
            "apart": "in time",
        },
    ),
    "slices of less than one": (_slices_of_a_little, {"whole": b"little", "at once": True}),
    "noop both ways": (_noop, {"same": True}),
}
