"""How ends, resets and pressure travel, and calls that race: probes by name, with what they see."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final

from tests.faults.toxiproxy.delay_vectors import STREAMS, Probe, Seen
from tests.faults.toxiproxy.peers import (
    END,
    RESET,
    WAIT_S,
    Bench,
    Heard,
    client,
    echoed,
    heard_by,
    in_time,
    last_of,
    quiet,
    take,
)

CALLERS: Final = 8


def _break_off(stream: socket.socket) -> None:
    """Close with a reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def _upstream_resets(bench: Bench) -> Seen:
    """A reset from one side is an end on the other."""

    def speak_and_break(stream: socket.socket) -> None:
        stream.sendall(b"words")
        take(stream, 2)
        _break_off(stream)

    stream = bench.connect(bench.server.proxy(bench.listener(speak_and_break).address))
    words = take(stream, 5)
    stream.sendall(b"go")
    return {"words": words, "end": last_of(stream)}


def _spoken(bench: Bench) -> tuple[socket.socket, list[Heard]]:
    """A connection whose first words have come to the upstream."""
    address, heard = bench.sink()
    stream = bench.connect(address)
    stream.sendall(b"words")
    deadline = time.monotonic() + WAIT_S
    while not heard or bytes(heard[0].data) != b"words":
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return stream, heard


def _client_resets(bench: Bench) -> Seen:
    stream, heard = _spoken(bench)
    _break_off(stream)
    return {"end": heard_by(heard).end}


def _upstream_hears(bench: Bench, act: Callable[[Bench], object]) -> Seen:
    """What a call on the proxy is to the upstream."""
    stream, heard = _spoken(bench)
    act(bench)
    return {"client": last_of(stream), "upstream": heard_by(heard).end}


def _pressure(bench: Bench, kind: str | None) -> Seen:
    """An upstream that does not read stops the client, sooner or later."""
    go_on = threading.Event()
    counts: list[int] = []

    def wait_and_count(stream: socket.socket) -> None:
        go_on.wait(WAIT_S)
        count = 0
        while data := stream.recv(1 << 20):
            count += len(data)
        counts.append(count)

    address = bench.server.proxy(bench.listener(wait_and_count).address)
    if kind == "bandwidth":
        bench.server.toxic("bandwidth", "upstream", rate=10**7)
    elif kind == "slicer":
        bench.server.toxic("slicer", "upstream", average_size=10_000)
    with client(address) as stream:
        stream.settimeout(0.4)
        sent = 0
        with suppress(TimeoutError):
            while sent < 64 << 20:
                sent += stream.send(b"x" * 65536)
        stopped = sent < 64 << 20
        go_on.set()
    deadline = time.monotonic() + WAIT_S
    while not counts and time.monotonic() < deadline:
        time.sleep(0.005)
    return {"stopped": stopped, "all of it": counts == [sent]}


def _source_ends(bench: Bench, kind: str, attributes: dict[str, int]) -> Seen:
    """The end of a source that has sent nothing, under a toxic."""
    address, heard = bench.sink()
    bench.server.toxic(kind, "upstream", 1.0, **attributes)
    stream = bench.connect(address)
    stream.shutdown(socket.SHUT_WR)
    return {"client": last_of(stream), "upstream": heard_by(heard).end}


def _latency_before_reset(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("latency", latency=150)
    bench.server.toxic("reset_peer", timeout=0)
    stream = bench.connect(address)
    began = time.monotonic()
    stream.sendall(b"x")
    return {"end": last_of(stream), "late": in_time(began, 0.15)}


def _disable_under_reset_peer(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("reset_peer", timeout=0)
    stream = bench.connect(address)
    time.sleep(0.1)
    bench.patch(enabled=False)
    return {"end": last_of(stream)}


def _drawn_again(bench: Bench) -> Seen:
    """Whether updates that change nothing ever move a connection to the other side of the draw."""
    address = bench.echo()
    bench.server.toxic("timeout", toxicity=0.5, timeout=0)
    stream = bench.connect(address)

    def hit() -> bool:
        stream.sendall(b"x")
        if quiet(stream, 0.06):
            return True
        take(stream, 1)
        return False

    first = hit()
    for _ in range(20):
        bench.change("timeout_downstream")
        if hit() != first:
            return {"drawn again": True}
    return {"drawn again": False}


def _race(bench: Bench, path: str, body: dict[str, object], then: str | None) -> Seen:
    """The same call from several clients in one moment."""
    bench.server.proxy("127.0.0.1:9")
    host, port = bench.server.address
    barrier = threading.Barrier(CALLERS)

    def call(_: int) -> int:
        raw = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\n\r\n"
        with socket.create_connection((host, port), WAIT_S) as stream:
            barrier.wait(WAIT_S)
            stream.sendall(head.encode() + raw)
            return int(stream.recv(4096).split()[1])

    with ThreadPoolExecutor(CALLERS) as pool:
        counts = Counter(pool.map(call, range(CALLERS)))
    shown = bench.server.api.get(then or path).json()
    return {"answers": sorted(counts.items()), "there": len(shown)}


def _toxics_by_many(bench: Bench) -> Seen:
    """Toxics added and removed from several clients at once, under traffic."""
    address = bench.echo()
    stream = bench.connect(address)
    host, port = bench.server.address

    def churn(number: int) -> set[int]:
        api = f"http://{host}:{port}/proxies/p/toxics"
        seen = set()
        for turn in range(10):
            body = {"type": "noop", "name": f"n{number}", "stream": STREAMS[turn % 2]}
            seen.add(bench.server.api.post(api, json=body).status_code)
            seen.add(bench.server.api.delete(f"{api}/n{number}").status_code)
        return seen

    with ThreadPoolExecutor(4) as pool:
        churning = [pool.submit(churn, number) for number in range(4)]
        same = {echoed(stream, b"x" * 5000) == b"x" * 5000 for _ in range(20)}
        answers = set().union(*(future.result(WAIT_S) for future in churning))
    toxics = bench.server.api.get("/proxies/p/toxics").json()
    return {"answers": sorted(answers), "left": toxics, "same": same}


ACTS: Final[dict[str, Callable[[Bench], object]]] = {
    "disable": lambda bench: bench.patch(enabled=False),
    "delete": lambda bench: bench.server.api.delete("/proxies/p"),
    "another upstream": lambda bench: bench.patch(upstream="127.0.0.1:9"),
    "another listen": lambda bench: bench.patch(listen="127.0.0.1:0"),
}

END_VECTORS: Final[dict[str, Probe]] = {
    "an upstream that resets": (_upstream_resets, {"words": b"words", "end": END}),
    "a client that resets": (_client_resets, {"end": "end"}),
    **{
        f"{name}, on both sides": (
            partial(_upstream_hears, act=act),
            {"client": END, "upstream": "end"},
        )
        for name, act in ACTS.items()
    },
    **{
        f"an upstream that does not read, under {kind}": (
            partial(_pressure, kind=kind),
            {"stopped": True, "all of it": True},
        )
        for kind in (None, "bandwidth", "slicer")
    },
    **{
        f"the end of an empty source under {kind} {sum(attributes.values())}": (
            partial(_source_ends, kind=kind, attributes=attributes),
            {"client": end, "upstream": "end" if end == END else "reset"},
        )
        for kind, attributes, end in (
            ("latency", {"latency": 50}, END),
            ("bandwidth", {"rate": 0}, END),
            ("slicer", {"average_size": 5}, END),
            ("timeout", {"timeout": 0}, END),
            ("limit_data", {"bytes": 5}, END),
            ("limit_data", {"bytes": 0}, END),
            ("slow_close", {"delay": 50}, END),
            ("reset_peer", {"timeout": 50}, RESET),
            ("noop", {}, END),
        )
    },
    "latency, then reset_peer": (_latency_before_reset, {"end": RESET, "late": "in time"}),
    "disable under reset_peer": (_disable_under_reset_peer, {"end": RESET}),
    "an update draws again": (_drawn_again, {"drawn again": True}),
    "one proxy created by many at once": (
        partial(
            _race,
            path="/proxies",
            body={"name": "q", "upstream": "127.0.0.1:9", "listen": "localhost:0"},
            then=None,
        ),
        {"answers": [(201, 1), (409, CALLERS - 1)], "there": 2},
    ),
    "one toxic added by many at once": (
        partial(_race, path="/proxies/p/toxics", body={"type": "noop"}, then=None),
        {"answers": [(200, 1), (409, CALLERS - 1)], "there": 1},
    ),
    "many resets at once": (
        partial(_race, path="/reset", body={}, then="/proxies"),
        {"answers": [(204, CALLERS)], "there": 1},
    ),
    "toxics added and removed by many at once": (
        _toxics_by_many,
        {"answers": [200, 204], "left": [], "same": {True}},
    ),
}
