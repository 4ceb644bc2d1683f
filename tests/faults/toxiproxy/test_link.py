"""What our data path does beyond the original's, on real sockets."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, suppress

import pytest

from tests.faults.toxiproxy.conftest import Server, Upstream, end, start_ours
from tests.faults.toxiproxy.peers import WAIT_S, client, cut_off, echoed, rest, take


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
