"""What happens to bytes: the same behaviour from ours and from the original, on real sockets."""

from __future__ import annotations

import errno
import hashlib
import random
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tests.faults.toxiproxy.conftest import Server, Upstream, end, start_ours

WAIT_S = 20.0


@contextmanager
def client(address: tuple[str, int]) -> Iterator[socket.socket]:
    """A connection to a proxy; every wait on it is bounded."""
    with socket.create_connection(address, WAIT_S) as stream:
        stream.settimeout(WAIT_S)
        yield stream


def take(stream: socket.socket, size_bytes: int) -> bytes:
    """Exactly that many bytes, or fewer if the stream ends."""
    got = bytearray()
    while len(got) < size_bytes and (data := stream.recv(min(1 << 20, size_bytes - len(got)))):
        got += data
    return bytes(got)


def rest(stream: socket.socket) -> bytes:
    """Everything up to the end."""
    return take(stream, 1 << 40)


def echoed(stream: socket.socket, data: bytes) -> bytes:
    """Send and take back, at the same time."""
    sender = threading.Thread(target=stream.sendall, args=(data,), daemon=True)
    sender.start()
    got = take(stream, len(data))
    sender.join(WAIT_S)
    return got


def cut_off(address: tuple[str, int]) -> bool:
    """Whether a new connection is closed without an echo."""
    try:
        with client(address) as stream:
            stream.sendall(b"x")
            return stream.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize("size_bytes", [1, 32 * 1024, 32 * 1024 + 1, 1 << 20, 8 << 20])
def test_bytes_arrive_as_they_were_sent(
    server: Server, upstream: Upstream, size_bytes: int
) -> None:
    """Both ways, any size, the same digest."""
    data = random.Random(size_bytes).randbytes(size_bytes)
    with client(server.proxy(upstream.address)) as stream:
        got = echoed(stream, data)
    assert hashlib.sha256(got).digest() == hashlib.sha256(data).digest()


def test_nothing_sent_is_nothing_received(server: Server, upstream: Upstream) -> None:
    """An end without bytes is passed on, and answered by an end."""
    with client(server.proxy(upstream.address)) as stream:
        stream.shutdown(socket.SHUT_WR)
        assert rest(stream) == b""


def test_the_upstreams_last_words_come_before_its_end(server: Server, upstream: Upstream) -> None:
    """Closing flushes what was written."""
    data = b"x" * 1_000_000 + b"bye"
    with client(server.proxy(upstream.address)) as stream:
        threading.Thread(target=stream.sendall, args=(data,), daemon=True).start()
        got = rest(stream)
    assert got == data


@pytest.mark.parametrize("stream_name", ["upstream", "downstream"])
def test_latency_delays_and_is_not_cumulative(
    server: Server, upstream: Upstream, stream_name: str
) -> None:
    """Ten pieces sent together arrive in order, each late by the latency, not by ten of it."""
    address = server.proxy(upstream.address)
    server.toxic("latency", stream_name, latency=200)
    with client(address) as stream:
        began = time.monotonic()
        for number in range(10):
            stream.sendall(bytes([number]))
        first = take(stream, 1)
        assert time.monotonic() - began >= 0.2
        assert first + take(stream, 9) == bytes(range(10))
        assert time.monotonic() - began < 1.8


def test_jitter_stays_within_its_bounds(server: Server, upstream: Upstream) -> None:
    """Never earlier than latency less jitter."""
    address = server.proxy(upstream.address)
    server.toxic("latency", latency=60, jitter=40)
    with client(address) as stream:
        for _ in range(10):
            began = time.monotonic()
            assert echoed(stream, b"x") == b"x"
            assert time.monotonic() - began >= 0.02


def test_latency_costs_no_throughput(server: Server, upstream: Upstream) -> None:
    """Pieces are delayed side by side: a megabyte needs one latency, not thirty-two."""
    address = server.proxy(upstream.address)
    server.toxic("latency", latency=100)
    data = random.Random(1).randbytes(1 << 20)
    with client(address) as stream:
        began = time.monotonic()
        assert echoed(stream, data) == data
        assert 0.1 <= time.monotonic() - began < 2.5


@pytest.mark.parametrize("rate", [100, 20])
def test_bandwidth_holds_to_its_rate(server: Server, upstream: Upstream, rate: int) -> None:
    """Half a second's worth of bytes takes half a second, less the first piece's grace."""
    address = server.proxy(upstream.address)
    server.toxic("bandwidth", rate=rate)
    data = random.Random(2).randbytes(rate * 500)
    with client(address) as stream:
        began = time.monotonic()
        assert echoed(stream, data) == data
        took_s = time.monotonic() - began
    assert 0.45 <= took_s < 5


def test_no_bandwidth_passes_nothing_until_it_is_removed(
    server: Server, upstream: Upstream
) -> None:
    """Rate 0 stalls; what it held comes through afterwards."""
    address = server.proxy(upstream.address)
    server.toxic("bandwidth", rate=0)
    with client(address) as stream:
        stream.sendall(b"held")
        stream.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stream.recv(1)
        stream.settimeout(WAIT_S)
        server.remove("bandwidth_downstream")
        assert take(stream, 4) == b"held"


def test_slow_close_delays_the_end_alone(server: Server, upstream: Upstream) -> None:
    """Data passes at once, the end comes after the delay."""
    address = server.proxy(upstream.address)
    server.toxic("slow_close", delay=300)
    with client(address) as stream:
        stream.sendall(b"bye")
        assert take(stream, 3) == b"bye"
        began = time.monotonic()
        assert rest(stream) == b""
        assert time.monotonic() - began >= 0.25


def test_removing_slow_close_closes_at_once(server: Server, upstream: Upstream) -> None:
    """A pending end goes out with the toxic."""
    address = server.proxy(upstream.address)
    server.toxic("slow_close", delay=60_000)
    with client(address) as stream:
        stream.sendall(b"bye")
        assert take(stream, 3) == b"bye"
        server.remove("slow_close_downstream")
        assert rest(stream) == b""


@pytest.mark.parametrize("limit", [0, 1, 1000, 100_000])
def test_limit_data_passes_exactly_its_bytes(
    server: Server, upstream: Upstream, limit: int
) -> None:
    """Not one more, not one less, then the end."""
    address = server.proxy(upstream.address)
    server.toxic("limit_data", bytes=limit)
    data = random.Random(3).randbytes(200_000)
    with client(address) as stream:
        with suppress(OSError):
            stream.sendall(data)
        got = bytearray()
        with suppress(ConnectionResetError):
            while piece := stream.recv(65536):
                got += piece
    assert bytes(got) == data[:limit]


def test_limit_data_keeps_its_count_over_an_update(server: Server, upstream: Upstream) -> None:
    """A raised limit leaves the difference, not the whole."""
    address = server.proxy(upstream.address)
    server.toxic("limit_data", bytes=10)
    with client(address) as stream:
        assert echoed(stream, b"12345") == b"12345"
        body = {"attributes": {"bytes": 12}}
        server.api.patch("/proxies/p/toxics/limit_data_downstream", json=body)
        stream.sendall(b"abcdefghijk")
        assert rest(stream) == b"abcdefg"


def test_reset_peer_resets_a_new_connection(server: Server, upstream: Upstream) -> None:
    """ECONNRESET, not an end."""
    address = server.proxy(upstream.address)
    server.toxic("reset_peer", timeout=0)
    with client(address) as stream:
        stream.sendall(b"x")
        with pytest.raises(OSError, match=r".") as caught:
            stream.recv(1)
    assert caught.value.errno == errno.ECONNRESET


def test_reset_peer_resets_a_live_connection(ours: Server, upstream: Upstream) -> None:
    """An improvement: the original only ends it, for it sets the linger too early."""
    address = ours.proxy(upstream.address)
    with client(address) as stream:
        assert echoed(stream, b"before") == b"before"
        ours.toxic("reset_peer", timeout=0)
        with pytest.raises(ConnectionResetError):
            echoed(stream, b"after")


def test_reset_peer_waits_for_its_timeout(server: Server, upstream: Upstream) -> None:
    """Not before, and the piece that set it off is lost."""
    address = server.proxy(upstream.address)
    server.toxic("reset_peer", timeout=200)
    with client(address) as stream:
        began = time.monotonic()
        stream.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            stream.recv(1)
        assert time.monotonic() - began >= 0.2


def test_a_reset_called_off_in_time_loses_nothing(ours: Server, upstream: Upstream) -> None:
    """An improvement: control never waits for the countdown."""
    address = ours.proxy(upstream.address)
    ours.toxic("reset_peer", timeout=60_000)
    with client(address) as stream:
        stream.sendall(b"kept")
        exposure_until(ours, "reset_peer_downstream", hits=1)
        ours.remove("reset_peer_downstream")
        assert take(stream, 4) == b"kept"


def test_timeout_drops_everything_and_closes_after_silence(
    server: Server, upstream: Upstream
) -> None:
    """No byte comes, then the end."""
    address = server.proxy(upstream.address)
    server.toxic("timeout", timeout=300)
    with client(address) as stream:
        began = time.monotonic()
        stream.sendall(b"x")
        assert rest(stream) == b""
        assert time.monotonic() - began >= 0.29


@pytest.mark.parametrize("toxicity", [0.0, 1.0])
def test_removing_timeout_closes_every_connection(
    server: Server, upstream: Upstream, toxicity: float
) -> None:
    """Also those that the toxicity spared, as in the original."""
    address = server.proxy(upstream.address)
    server.toxic("timeout", toxicity=toxicity, timeout=0)
    with client(address) as stream:
        stream.sendall(b"x")
        if toxicity == 0.0:
            assert take(stream, 1) == b"x"
        else:
            stream.settimeout(0.2)
            with pytest.raises(TimeoutError):
                stream.recv(1)
            stream.settimeout(WAIT_S)
        server.remove("timeout_downstream")
        assert rest(stream) == b""


@pytest.mark.parametrize("delay_us", [0, 100])
def test_slices_make_the_whole_again(server: Server, upstream: Upstream, delay_us: int) -> None:
    """Nothing is lost or swapped by slicing."""
    address = server.proxy(upstream.address)
    server.toxic("slicer", average_size=500, size_variation=200, delay=delay_us)
    data = random.Random(4).randbytes(100_000)
    with client(address) as stream:
        assert echoed(stream, data) == data


def test_a_disabled_proxy_refuses(server: Server, upstream: Upstream) -> None:
    """Open connections end, new ones are refused, and the port comes back."""
    address = server.proxy(upstream.address)
    with client(address) as stream:
        assert echoed(stream, b"x") == b"x"
        server.api.post("/proxies/p", json={"enabled": False})
        with suppress(ConnectionResetError):
            assert rest(stream) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, WAIT_S)
    server.api.post("/proxies/p", json={"enabled": True})
    with client(address) as stream:
        assert echoed(stream, b"x") == b"x"


def test_a_dead_upstream_is_accepted_and_closed(server: Server) -> None:
    """The client is never refused by the proxy itself."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        dead = f"127.0.0.1:{probe.getsockname()[1]}"
    with client(server.proxy(dead)) as stream, suppress(ConnectionResetError):
        assert rest(stream) == b""


def test_hot_changes_lose_no_byte(server: Server, upstream: Upstream) -> None:
    """Toxics come, change and go in both directions while megabytes flow, thirty times over."""
    address = server.proxy(upstream.address)
    data = random.Random(5).randbytes(1 << 19)

    def disturb() -> None:
        plans = [
            ("latency", {"latency": 3, "jitter": 2}, {"latency": 1}),
            ("slicer", {"average_size": 9000, "size_variation": 1000}, {"average_size": 20_000}),
            ("bandwidth", {"rate": 40_000}, {"rate": 80_000}),
            ("noop", {}, {}),
        ]
        rng = random.Random(6)
        for _ in range(30):
            stream_name = rng.choice(["upstream", "downstream"])
            chosen = rng.sample(plans, rng.randint(1, 3))
            for kind, attributes, _ in chosen:
                server.toxic(kind, stream_name, **attributes)
            for kind, _, change in rng.sample(chosen, len(chosen)):
                path = f"/proxies/p/toxics/{kind}_{stream_name}"
                body = {"attributes": change, "toxicity": rng.choice([0, 1])}
                assert server.api.patch(path, json=body).status_code == 200
            for kind, _, _ in rng.sample(chosen, len(chosen)):
                server.remove(f"{kind}_{stream_name}")

    with client(address) as stream, ThreadPoolExecutor(1) as pool:
        disturbance = pool.submit(disturb)
        rounds = 0
        while not disturbance.done():
            assert echoed(stream, data) == data
            rounds += 1
        disturbance.result(WAIT_S)
    assert rounds > 0


@pytest.mark.parametrize(
    ("toxicity", "least", "most"), [(0.0, 0, 0), (1.0, 100, 100), (0.3, 12, 50)]
)
def test_toxicity_is_a_share_of_the_connections(
    server: Server, upstream: Upstream, toxicity: float, least: int, most: int
) -> None:
    """None, all, or within four standard deviations of the share, of 100 connections."""
    address = server.proxy(upstream.address)
    server.toxic("limit_data", toxicity=toxicity, bytes=0)
    assert least <= sum(cut_off(address) for _ in range(100)) <= most


def test_a_seed_repeats_every_draw(upstream: Upstream) -> None:
    """An improvement: the original throws its seed away."""
    patterns = []
    for seed in ("11", "11", "12"):
        server = start_ours("--seed", seed)
        try:
            address = server.proxy(upstream.address)
            server.toxic("limit_data", toxicity=0.5, bytes=0)
            patterns.append([cut_off(address) for _ in range(40)])
        finally:
            end(server)
    assert patterns[0] == patterns[1]
    assert patterns[0] != patterns[2]


def test_clients_that_do_not_read_never_hold_up_control(ours: Server, upstream: Upstream) -> None:
    """An improvement: 200 floods without a reader, and every call is answered."""
    address = ours.proxy(upstream.address)
    ours.toxic("latency", latency=1)
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(client(address)).sendall(b"flood")
        exposure_until(ours, "latency_downstream", hits=2000)
        for _ in range(3):
            ours.toxic("slicer", average_size=1000)
            ours.api.patch("/proxies/p/toxics/latency_downstream", json={"toxicity": 0}, timeout=5)
            ours.api.patch("/proxies/p/toxics/latency_downstream", json={"toxicity": 1}, timeout=5)
            ours.remove("slicer_downstream")
        ours.remove("latency_downstream")
        assert ours.api.get("/proxies", timeout=5).status_code == 200
        assert ours.api.post("/proxies/p", json={"enabled": False}, timeout=5).status_code == 200
        counts = ours.api.get("/squall/exposure").json()["proxies"]["p"]
        assert counts["closed_by_disable"] == 200, counts


def exposure_until(server: Server, toxic: str, *, hits: int) -> dict[str, int]:
    """The counts of a toxic once it has that many hits."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        proxies = server.api.get("/squall/exposure").json()["proxies"]
        counts: dict[str, int] = proxies["p"]["toxics"][toxic]
        if counts["hits"] >= hits:
            return counts
        time.sleep(0.01)
    pytest.fail(f"{toxic} never had {hits} hits")


def test_exposure_counts_what_a_toxic_touched(ours: Server, upstream: Upstream) -> None:
    """Connections, bytes and pieces, for the connections the draw chose, and after removal."""
    address = ours.proxy(upstream.address)
    ours.toxic("latency", "upstream", latency=1)
    ours.toxic("limit_data", toxicity=0.0, bytes=0)
    for _ in range(3):
        with client(address) as stream:
            assert echoed(stream, b"12345") == b"12345"
    ours.remove("latency_upstream")
    proxy = ours.api.get("/squall/exposure").json()["proxies"]["p"]
    assert proxy["connections"] == 3
    assert (proxy["upstream_bytes"], proxy["downstream_bytes"]) == (15, 15)
    latency = proxy["toxics"]["latency_upstream"]
    assert not latency["active"]
    assert (latency["connections"], latency["bytes"], latency["hits"]) == (3, 15, 3)
    assert proxy["toxics"]["limit_data_downstream"]["connections"] == 0


def test_the_lease_of_a_toxic_ends_it_alone(ours: Server, upstream: Upstream) -> None:
    """The toxic goes by itself, a renewed one stays, the proxy is untouched."""
    address = ours.proxy(upstream.address)
    ours.toxic("bandwidth", rate=0)
    ours.toxic("latency", latency=1)
    path = "/squall/proxies/p/toxics/{}/lease"
    ours.api.post(path.format("latency_downstream"), json={"ttl_ms": 60_000})
    with client(address) as stream:
        stream.sendall(b"held")
        ours.api.post(path.format("bandwidth_downstream"), json={"ttl_ms": 100})
        assert take(stream, 4) == b"held"
    toxics = ours.api.get("/proxies/p/toxics").json()
    assert [toxic["name"] for toxic in toxics] == ["latency_downstream"]


@contextmanager
def greeter(words: bytes) -> Iterator[str]:
    """An upstream that speaks first and leaves at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    stream, _ = listener.accept()
                    with stream:
                        stream.sendall(words)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT_S)


@pytest.mark.parametrize("latency_ms", [0, 50])
def test_an_upstream_that_speaks_first_and_leaves_is_heard(server: Server, latency_ms: int) -> None:
    """Words and end arrive, though both were there before the client's side was open."""
    with greeter(b"hello" * 1000) as address:
        proxy = server.proxy(address)
        if latency_ms:
            server.toxic("latency", latency=latency_ms)
        for _ in range(20):
            with client(proxy) as stream:
                assert rest(stream) == b"hello" * 1000


def test_a_client_that_speaks_and_leaves_is_heard(ours: Server) -> None:
    """What was sent before the end reaches the upstream, also through toxics."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(WAIT_S)
        address = ours.proxy(f"127.0.0.1:{listener.getsockname()[1]}")
        ours.toxic("latency", "upstream", latency=20)
        ours.toxic("slicer", "upstream", average_size=100)
        for _ in range(10):
            with client(address) as stream:
                stream.sendall(b"last words" * 500)
            far, _ = listener.accept()
            with far:
                far.settimeout(WAIT_S)
                assert rest(far) == b"last words" * 500


def test_nothing_is_left_of_closed_connections(ours: Server, upstream: Upstream) -> None:
    """Whatever toxics were in force, the count of open connections returns to zero."""
    address = ours.proxy(upstream.address)
    for kind, attributes in {
        "latency": {"latency": 5},
        "limit_data": {"bytes": 3},
        "reset_peer": {"timeout": 1},
        "slicer": {"average_size": 2, "delay": 10},
        "slow_close": {"delay": 10},
        "timeout": {"timeout": 20},
    }.items():
        ours.toxic(kind, "downstream", 1.0, **attributes)
        for _ in range(10):
            with client(address) as stream, suppress(OSError):
                stream.sendall(b"0123456789")
        with client(address) as stream, suppress(OSError):
            stream.sendall(b"bye")
            rest(stream)
        ours.remove(f"{kind}_downstream")
    deadline = time.monotonic() + WAIT_S
    while ours.api.get("/squall/exposure").json()["proxies"]["p"]["open"]:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_server_cleanly(name: str) -> None:
    """Status 0, and nothing said."""
    server = start_ours()
    try:
        server.proxy("127.0.0.1:9")
        server.process.send_signal(signal.Signals[name])
        assert server.process.wait(WAIT_S) == 0
    finally:
        end(server)
