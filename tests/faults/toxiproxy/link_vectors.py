"""What changes do to connections, and chains of toxics: probes by name, with what they must see."""

from __future__ import annotations

import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from typing import Final

import httpx

from tests.faults.toxiproxy.delay_vectors import STREAMS, Probe, Seen
from tests.faults.toxiproxy.peers import (
    END,
    WAIT_S,
    Bench,
    client,
    cut_off,
    echoed,
    in_time,
    last_of,
    quiet,
    refused,
    take,
)


def _disable(bench: Bench) -> Seen:
    address = bench.echo()
    stream = bench.live(address)
    bench.patch(enabled=False)
    seen = {"end": last_of(stream), "refused": refused(address)}
    bench.patch(enabled=True)
    return {**seen, "again": echoed(bench.connect(address), b"x")}


def _disable_with_data(bench: Bench) -> Seen:
    """What a toxic still holds is lost with the connection."""
    address = bench.echo()
    bench.server.toxic("latency", latency=60_000)
    stream = bench.connect(address)
    stream.sendall(b"held")
    held = quiet(stream, 0.1)
    bench.patch(enabled=False)
    return {"held": held, "bytes": last_of(stream)[0]}


def _delete(bench: Bench) -> Seen:
    address = bench.echo()
    stream = bench.live(address)
    assert bench.server.api.delete("/proxies/p").status_code == 204
    return {"end": last_of(stream), "refused": refused(address)}


def _new_upstream(bench: Bench) -> Seen:
    address = bench.echo()
    stream = bench.live(address)
    other = bench.listener(lambda stream: stream.sendall(b"other"))
    bench.patch(upstream=other.address)
    return {"end": last_of(stream), "new": last_of(bench.connect(address))}


def _new_listen(bench: Bench) -> Seen:
    address = bench.echo()
    stream = bench.live(address)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    bench.patch(listen=f"127.0.0.1:{port}")
    new = echoed(bench.connect(("127.0.0.1", port)), b"x")
    return {"end": last_of(stream), "old": refused(address), "new": new}


def _kept(bench: Bench, act: Callable[[Bench, int], object]) -> Seen:
    """Whether an open connection outlives a call."""
    address = bench.echo()
    stream = bench.live(address)
    act(bench, address[1])
    if not quiet(stream, 0.05):
        return {"kept": False}
    return {"kept": echoed(stream, b"words") == b"words"}


def _populate(bench: Bench, port: int, **fields: object) -> None:
    shown = bench.server.api.get("/proxies/p").json()
    entry = {"name": "p", "upstream": shown["upstream"], "listen": f"127.0.0.1:{port}", **fields}
    assert bench.server.api.post("/populate", json=[entry]).status_code == 201


def _reset_with_toxics(bench: Bench) -> Seen:
    address = bench.echo()
    for direction in STREAMS:
        bench.server.toxic("latency", direction, latency=60_000)
    bench.server.toxic("slicer", average_size=10)
    stream = bench.connect(address)
    stream.sendall(b"held")
    held = quiet(stream, 0.1)
    bench.server.api.post("/reset")
    return {"held": held, "let go": take(stream, 4), "then": echoed(stream, b"more")}


def _dead_upstream(bench: Bench) -> Seen:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        dead = f"127.0.0.1:{probe.getsockname()[1]}"
    stream = bench.connect(bench.server.proxy(dead))
    return {"accepted, then": last_of(stream)}


def _odd_upstream(bench: Bench, upstream: str) -> Seen:
    stream = bench.connect(bench.server.proxy(upstream))
    return {"accepted, then": last_of(stream)}


def _late_upstream(bench: Bench) -> Seen:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    address = bench.server.proxy(f"127.0.0.1:{port}")
    dead = cut_off(address)
    with socket.create_server(("127.0.0.1", port)) as late:
        stream = bench.connect(address)
        late.settimeout(WAIT_S)
        far, _ = late.accept()
        with far:
            far.sendall(b"here")
            return {"dead": dead, "alive": take(stream, 4)}


def _families(bench: Bench, listen: str) -> Seen:
    """Through IPv6, or a name, to an upstream by name."""
    port = bench.listener(lambda stream: stream.sendall(b"words")).address.rpartition(":")[2]
    body = {"name": "p", "upstream": f"localhost:{port}", "listen": listen}
    shown = bench.server.api.post("/proxies", json=body).json()["listen"]
    host, _, own = shown.rpartition(":")
    address = (host.strip("[]").replace("::", "::1").replace("::11", "::1"), int(own))
    return {"heard": last_of(bench.connect(address))}


def _toxics_outlive_a_disable(bench: Bench) -> Seen:
    address = bench.echo()
    bench.server.toxic("limit_data", bytes=3)
    bench.patch(enabled=False)
    bench.server.toxic("latency", latency=150)
    bench.patch(enabled=True)
    stream = bench.connect(address)
    began = time.monotonic()
    stream.sendall(b"words")
    return {"got": last_of(stream), "late": in_time(began, 0.15)}


def _chain(bench: Bench, kinds: tuple[tuple[str, dict[str, int]], ...], least_s: float) -> Seen:
    """What comes back of `words`, when, and how it ends."""
    address = bench.echo()
    for kind, attributes in kinds:
        bench.server.toxic(kind, "downstream", 1.0, **attributes)
    stream = bench.connect(address)
    began = time.monotonic()
    stream.sendall(b"words")
    got = last_of(stream)
    took_s = time.monotonic() - began
    late = "in time" if least_s - 0.005 <= took_s <= least_s + 0.3 else f"{took_s:.3f} s"
    return {"got": got, "late": late}


def _both_ways(bench: Bench) -> Seen:
    address = bench.echo()
    for direction in STREAMS:
        bench.server.toxic("latency", direction, latency=120)
    stream = bench.connect(address)
    began = time.monotonic()
    return {"echo": echoed(stream, b"x"), "late": in_time(began, 0.24)}


def _two_latencies(bench: Bench) -> Seen:
    address = bench.echo()
    for name in ("a", "b"):
        body = {"type": "latency", "name": name, "attributes": {"latency": 120}}
        assert bench.server.api.post("/proxies/p/toxics", json=body).status_code == 200
    stream = bench.connect(address)
    began = time.monotonic()
    return {"echo": echoed(stream, b"x"), "late": in_time(began, 0.24)}


def _added_live(bench: Bench) -> Seen:
    stream = bench.live(bench.echo())
    for direction in STREAMS:
        bench.server.toxic("latency", direction, latency=100)
    began = time.monotonic()
    echo = echoed(stream, b"x")
    late = in_time(began, 0.2)
    bench.server.remove("latency_upstream")
    bench.server.toxic("limit_data", bytes=3)
    stream.sendall(b"words")
    return {"echo": echo, "late": late, "cut": last_of(stream)}


def _neighbours(bench: Bench) -> Seen:
    """Another proxy's toxics are not ours."""
    address = bench.echo()
    upstream = bench.server.api.get("/proxies/p").json()["upstream"]
    other = bench.server.proxy(upstream, "q")
    bench.server.toxic("limit_data", bytes=0)
    return {"p": cut_off(address), "q": cut_off(other)}


def _many(bench: Bench) -> Seen:
    address = bench.echo()
    data = random.Random(8).randbytes(20_000)
    bench.server.toxic("latency", latency=20, jitter=10)
    streams = [bench.connect(address) for _ in range(60)]
    with ThreadPoolExecutor(20) as pool:
        same = set(pool.map(lambda stream: echoed(stream, data) == data, streams))
    return {"same": same}


CHANGES: Final[tuple[tuple[str, dict[str, int], dict[str, int]], ...]] = (
    ("latency", {"latency": 3, "jitter": 2}, {"latency": 1}),
    ("slicer", {"average_size": 9000, "size_variation": 1000}, {"average_size": 20_000}),
    ("bandwidth", {"rate": 40_000}, {"rate": 80_000}),
    ("slow_close", {"delay": 5}, {"delay": 1}),
    ("noop", {}, {}),
)


def _disturb(bench: Bench, rounds: int) -> None:
    rng = random.Random(9)
    for _ in range(rounds):
        direction = rng.choice(STREAMS)
        chosen = rng.sample(CHANGES, rng.randint(1, 3))
        for kind, attributes, _ in chosen:
            bench.server.toxic(kind, direction, 1.0, **attributes)
        for kind, _, change in rng.sample(chosen, len(chosen)):
            path = f"/proxies/p/toxics/{kind}_{direction}"
            body = {"attributes": change, "toxicity": rng.choice([0, 1])}
            assert bench.server.api.patch(path, json=body).status_code == 200
        for kind, _, _ in rng.sample(chosen, len(chosen)):
            bench.server.remove(f"{kind}_{direction}")


def _hot_changes(bench: Bench) -> Seen:
    """Toxics come, change and go in both directions while megabytes flow."""
    address = bench.echo()
    data = random.Random(10).randbytes(1 << 18)
    stream = bench.connect(address)
    same = set()
    with ThreadPoolExecutor(1) as pool:
        disturbance = pool.submit(_disturb, bench, 15)
        while not disturbance.done():
            same.add(echoed(stream, data) == data)
        disturbance.result(WAIT_S)
    return {"same": same}


def _on_a_fresh_server(bench: Bench, probe: Callable[[Bench], Seen]) -> Seen:
    """For probes after which the original is of no use."""
    with bench.server.another() as fresh, ExitStack() as stack:
        return probe(Bench(fresh, stack))


def _unread(bench: Bench) -> Seen:
    """Whether a call is answered while a client does not read and everything is full."""
    sent = [0]

    def flood(stream: socket.socket) -> None:
        while True:
            stream.sendall(b"x" * 65536)
            sent[0] += 1

    address = bench.server.proxy(bench.listener(flood).address)
    bench.server.toxic("latency", latency=1)
    stream = bench.connect(address)
    before = -1
    while sent[0] != before or not before:
        before = sent[0]
        time.sleep(0.3)
    path = "/proxies/p/toxics/latency_downstream"
    try:
        bench.server.api.patch(path, json={"attributes": {"latency": 2}}, timeout=1.5)
    except httpx.TimeoutException:
        answered = False
    else:
        answered = True
    stream.close()
    return {"answered": answered}


def _black_hole(bench: Bench) -> Seen:
    """Whether a proxy whose upstream never answers a dial can be switched off at once."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fillers = []
        for _ in range(3):  # the queue of connections is full after these
            filler = socket.socket()
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(hole.getsockname())
            fillers.append(filler)
        address = bench.server.proxy(f"127.0.0.1:{hole.getsockname()[1]}")
        stream = bench.connect(address)
        waiting = quiet(stream, 0.2)
        try:
            bench.server.api.patch("/proxies/p", json={"enabled": False}, timeout=1.0)
        except httpx.TimeoutException:
            answered = False
        else:
            answered = True
        for filler in fillers:
            filler.close()
    return {"waiting": waiting, "answered": answered}


def _killed_by(bench: Bench, kind: str, attributes: dict[str, int]) -> Seen:
    """Whether impossible attributes are taken, and whether the server outlives a byte then."""
    bench.echo()
    upstream = bench.server.api.get("/proxies/p").json()["upstream"]
    with bench.server.another() as fresh:
        address = fresh.proxy(upstream)
        body = {"type": kind, "attributes": attributes}
        status = fresh.api.post("/proxies/p/toxics", json=body).status_code
        with suppress(OSError), client(address) as stream:
            stream.settimeout(1.0)
            stream.sendall(b"0123456789" * 3000)
            last_of(stream)
        with suppress(subprocess.TimeoutExpired):
            fresh.process.wait(WAIT_S if status == 200 else 0.1)
        return {"status": status, "alive": fresh.process.poll() is None}


def _seed(bench: Bench) -> Seen:
    """Whether two servers of one seed hit the same connections."""
    bench.echo()
    upstream = bench.server.api.get("/proxies/p").json()["upstream"]
    patterns = []
    for _ in range(2):
        with bench.server.another("--seed", "11") as fresh:
            address = fresh.proxy(upstream)
            fresh.toxic("limit_data", toxicity=0.5, bytes=0)
            patterns.append([cut_off(address) for _ in range(40)])
    return {"repeated": patterns[0] == patterns[1]}


def _stop(bench: Bench, signal_name: str) -> Seen:
    """How the process ends when it is told to, with a connection open."""
    bench.echo()
    upstream = bench.server.api.get("/proxies/p").json()["upstream"]
    with bench.server.another() as fresh, client(fresh.proxy(upstream)) as stream:
        heard = echoed(stream, b"x")  # what still waited to be accepted would be reset
        began = time.monotonic()
        fresh.process.send_signal(signal.Signals[signal_name])
        status = fresh.process.wait(WAIT_S)
        soon = in_time(began, 0, 2.0)
        return {"heard": heard, "status": status, "soon": soon, "end": last_of(stream)}


def _lots_at_once(bench: Bench) -> Seen:
    """A crowd that comes in one moment is served whole."""
    address = bench.echo()
    barrier = threading.Barrier(100)

    def one(_: int) -> bool:
        barrier.wait(WAIT_S)
        with client(address) as stream:
            return echoed(stream, b"x") == b"x"

    with ThreadPoolExecutor(100) as pool:
        return {"served": set(pool.map(one, range(100)))}


LATENCY: Final = ("latency", {"latency": 200})
LIMIT: Final = ("limit_data", {"bytes": 3})
LATE_CLOSE: Final = ("slow_close", {"delay": 400})

LINK_VECTORS: Final[dict[str, Probe]] = {
    "disable and enable": (_disable, {"end": END, "refused": True, "again": b"x"}),
    "disable with data held": (_disable_with_data, {"held": True, "bytes": b""}),
    "delete": (_delete, {"end": END, "refused": True}),
    "another upstream": (_new_upstream, {"end": END, "new": (b"other", "end")}),
    "another listen": (_new_listen, {"end": END, "old": True, "new": b"x"}),
    "an update of nothing keeps connections": (
        partial(_kept, act=lambda bench, _: bench.patch()),
        {"kept": True},
    ),
    "enabling what is enabled keeps connections": (
        partial(_kept, act=lambda bench, _: bench.patch(enabled=True)),
        {"kept": True},
    ),
    "the same listen keeps connections": (
        partial(_kept, act=lambda bench, port: bench.patch(listen=f"localhost:{port}")),
        {"kept": True},
    ),
    "port 0 drops connections": (
        partial(_kept, act=lambda bench, _: bench.patch(listen="127.0.0.1:0")),
        {"kept": False},
    ),
    "a refused update keeps connections": (
        partial(
            _kept, act=lambda bench, _: bench.server.api.patch("/proxies/p", json={"listen": "x"})
        ),
        {"kept": True},
    ),
    "a listen that cannot be had drops connections": (
        partial(
            _kept,
            act=lambda bench, _: bench.server.api.patch(
                "/proxies/p", json={"listen": "192.0.2.1:1"}
            ),
        ),
        {"kept": False},
    ),
    "populate with the same keeps connections": (partial(_kept, act=_populate), {"kept": True}),
    "populate with the same, disabled, keeps connections": (
        partial(_kept, act=partial(_populate, enabled=False)),
        {"kept": True},
    ),
    "populate with another drops connections": (
        partial(_kept, act=partial(_populate, upstream="127.0.0.1:9")),
        {"kept": False},
    ),
    "reset keeps connections": (
        partial(_kept, act=lambda bench, _: bench.server.api.post("/reset")),
        {"kept": True},
    ),
    "reset lets go of what toxics hold": (
        _reset_with_toxics,
        {"held": True, "let go": b"held", "then": b"more"},
    ),
    "a dead upstream": (_dead_upstream, {"accepted, then": END}),
    **{
        f"the upstream {upstream!r}": (
            partial(_odd_upstream, upstream=upstream),
            {"accepted, then": END},
        )
        for upstream in ("nosuchhost.invalid:1", "nonsense", "127.0.0.1:99999", "a:b:c")
    },
    "an upstream that comes late": (_late_upstream, {"dead": True, "alive": b"here"}),
    **{
        f"through {listen}": (
            partial(_families, listen=listen),
            {"heard": (b"words", "end")},
        )
        for listen in ("[::1]:0", "localhost:0", ":0", "0.0.0.0:0")
    },
    "toxics outlive a disable": (
        _toxics_outlive_a_disable,
        {"got": (b"wor", "end"), "late": "in time"},
    ),
    "latency, then limit_data": (
        partial(_chain, kinds=(LATENCY, LIMIT), least_s=0.2),
        {"got": (b"wor", "end"), "late": "in time"},
    ),
    "limit_data, then latency": (
        partial(_chain, kinds=(LIMIT, LATENCY), least_s=0.2),
        {"got": (b"wor", "end"), "late": "in time"},
    ),
    "limit_data, then slow_close": (
        partial(_chain, kinds=(LIMIT, LATE_CLOSE), least_s=0.4),
        {"got": (b"wor", "end"), "late": "in time"},
    ),
    "slow_close, then limit_data": (
        partial(_chain, kinds=(LATE_CLOSE, LIMIT), least_s=0.0),
        {"got": (b"wor", "end"), "late": "in time"},
    ),
    "bandwidth, then latency, then limit_data": (
        partial(_chain, kinds=(("bandwidth", {"rate": 1}), LATENCY, LIMIT), least_s=0.2),
        {"got": (b"wor", "end"), "late": "in time"},
    ),
    "slicer, then limit_data": (
        partial(_chain, kinds=(("slicer", {"average_size": 1, "delay": 1000}), LIMIT), least_s=0.0),
        {"got": (b"wor", "end"), "late": "in time"},
    ),
    "timeout, then latency": (
        partial(_chain, kinds=(("timeout", {"timeout": 200}), LATENCY), least_s=0.2),
        {"got": END, "late": "in time"},
    ),
    "limit_data, then timeout": (
        partial(_chain, kinds=(LIMIT, ("timeout", {"timeout": 60_000})), least_s=0.0),
        {"got": END, "late": "in time"},
    ),
    "latency both ways adds up": (_both_ways, {"echo": b"x", "late": "in time"}),
    "two latencies add up": (_two_latencies, {"echo": b"x", "late": "in time"}),
    "toxics added to a live connection": (
        _added_live,
        {"echo": b"x", "late": "in time", "cut": (b"wor", "end")},
    ),
    "toxics of another proxy": (_neighbours, {"p": True, "q": False}),
    "many connections": (_many, {"same": {True}}),
    "a crowd in one moment": (_lots_at_once, {"served": {True}}),
    "hot changes lose no byte": (_hot_changes, {"same": {True}}),
    "a client that does not read": (
        partial(_on_a_fresh_server, probe=_unread),
        {"answered": False},
    ),
    "an upstream that is a black hole": (
        partial(_on_a_fresh_server, probe=_black_hole),
        {"waiting": True, "answered": False},
    ),
    **{
        f"a killing {kind} of {', '.join(map(str, attributes.values()))}": (
            partial(_killed_by, kind=kind, attributes=attributes),
            {"status": 200, "alive": False},
        )
        for kind, attributes in (
            ("slicer", {"average_size": 0}),
            ("slicer", {"average_size": 10, "size_variation": 100}),
            ("bandwidth", {"rate": -1}),
        )
    },
    "two servers of one seed": (_seed, {"repeated": False}),
    **{
        f"stopped by {name}": (
            partial(_stop, signal_name=name),
            {"heard": b"x", "status": 0, "soon": "in time", "end": END},
        )
        for name in ("SIGTERM", "SIGINT")
    },
}
