"""What is served under /squall/, and that nothing of it shows elsewhere."""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest

from tests.faults.toxiproxy.conftest import Server, Upstream
from tests.faults.toxiproxy.peers import WAIT_S, client, echoed


def test_connections_say_who_they_are_and_what_hit_them(ours: Server, upstream: Upstream) -> None:
    """One entry each, with the bytes and hits of every toxic in its way."""
    address = ours.proxy(upstream.address)
    ours.toxic("latency", "upstream", latency=1)
    ours.toxic("limit_data", toxicity=0.0, bytes=0)
    with client(address) as first, client(address) as second:
        assert echoed(first, b"12345") == b"12345"
        assert echoed(second, b"1") == b"1"
        ours.toxic("noop")
        assert echoed(first, b"67") == b"67"
        one, two = sorted(
            ours.api.get("/squall/connections").json(), key=lambda entry: int(entry["number"])
        )
        assert one["client"] == "{}:{}".format(*first.getsockname())
        assert two["client"] == "{}:{}".format(*second.getsockname())
    assert (one["proxy"], one["number"], one["state"]) == ("p", 1, "open")
    assert 0 <= one["age_ms"] < WAIT_S * 1000
    assert (one["upstream_bytes"], one["downstream_bytes"]) == (7, 7)
    assert one["toxics"] == {
        "latency_upstream": {"hit": True, "bytes": 7, "hits": 2},
        "limit_data_downstream": {"hit": False, "bytes": 0, "hits": 0},
        "noop_downstream": {"hit": True, "bytes": 0, "hits": 0},
    }
    assert two["toxics"]["latency_upstream"] == {"hit": True, "bytes": 1, "hits": 1}


def test_a_connection_that_is_spared_and_hit_again_is_one(ours: Server, upstream: Upstream) -> None:
    """Its counts go on where they stood, here and in the exposure."""
    address = ours.proxy(upstream.address)
    ours.toxic("latency", latency=1)
    with client(address) as stream:
        for toxicity in (0, 1, 0, 1):
            assert echoed(stream, b"12345") == b"12345"
            path = "/proxies/p/toxics/latency_downstream"
            ours.api.patch(path, json={"toxicity": toxicity})
        (shown,) = ours.api.get("/squall/connections").json()
    assert shown["toxics"]["latency_downstream"] == {"hit": True, "bytes": 10, "hits": 2}
    counts = ours.api.get("/squall/exposure").json()["proxies"]["p"]["toxics"]
    assert counts["latency_downstream"]["connections"] == 1


def test_additions_are_answered_while_nobody_reads(ours: Server, upstream: Upstream) -> None:
    """Two hundred floods are stuck behind toxics, and no call waits for any of them."""
    address = ours.proxy(upstream.address)
    body = {"type": "cut", "attributes": {"after": 3_600_000}}
    ours.api.post("/squall/proxies/p/toxics", json=body)
    ours.toxic("latency", latency=1)
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(client(address)).sendall(b"flood")
        for number in range(5):
            changes = [
                {"op": "add", "proxy": "p", "type": "slicer", "attributes": {"average_size": 100}},
                {"op": "change", "proxy": "p", "toxic": "latency_downstream", "toxicity": 0.5},
                {"op": "remove", "proxy": "p", "toxic": "slicer_downstream"},
            ]
            assert ours.api.post("/squall/changes", json=changes).status_code == 200
            lease = {"ttl_ms": 60_000 + number}
            assert ours.api.post("/squall/proxies/p/lease", json=lease).status_code == 200
            assert len(ours.api.get("/squall/connections").json()) == 200
        change = {"attributes": {"after": 0}}
        assert ours.api.patch("/proxies/p/toxics/cut_downstream", json=change).status_code == 200
        deadline = time.monotonic() + WAIT_S
        while ours.api.get("/squall/connections").json():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_closed_connections_are_not_listed(ours: Server, upstream: Upstream) -> None:
    """The list is of what is open now."""
    address = ours.proxy(upstream.address)
    with client(address) as stream:
        assert echoed(stream, b"1") == b"1"
        assert len(ours.api.get("/squall/connections").json()) == 1
    deadline = time.monotonic() + WAIT_S
    while ours.api.get("/squall/connections").json():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("path", ["/squall", "/squall/"])
def test_the_index_names_every_addition(ours: Server, path: str) -> None:
    """And each of them is there."""
    listed = ours.api.get(path).json()["additions"]
    assert len(listed) == 9
    ours.proxy("127.0.0.1:9")
    ours.toxic("latency")
    for route in listed:
        method, _, pattern = route.partition(" ")
        target = pattern.format(proxy="p", toxic="latency_downstream")
        assert ours.api.request(method, target).status_code in {200, 400}, route


@pytest.mark.parametrize("kind", ["cut", "slow_accept"])
def test_types_of_our_own_are_unknown_to_the_ordinary_route(ours: Server, kind: str) -> None:
    """There they are refused as 2.12 refuses them; once added they are toxics like any other."""
    ours.proxy("127.0.0.1:9")
    refused = ours.api.post("/proxies/p/toxics", json={"type": kind})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid toxic type")
    body = {"type": kind, "stream": "upstream", "toxicity": 0.25}
    shown = ours.api.post("/squall/proxies/p/toxics", json=body).json()
    name = f"{kind}_upstream"
    path = f"/proxies/p/toxics/{name}"
    assert shown["name"] == name
    assert ours.api.get(path).json() == shown
    assert ours.api.get("/proxies/p").json()["toxics"] == [shown]
    assert ours.api.patch(path, json={"toxicity": 1}).json()["toxicity"] == 1
    assert ours.api.delete(path).status_code == 204


def test_ordinary_toxics_may_be_added_there_too(ours: Server) -> None:
    """With the checks of the ordinary route, in its order."""
    ours.proxy("127.0.0.1:9")
    route = "/squall/proxies/p/toxics"
    assert ours.api.post(route, json={"type": "latency"}).status_code == 200
    for body, status in (
        ({"type": "latency"}, 409),
        ({"type": "x"}, 400),
        ({"type": "cut", "stream": "x"}, 400),
        ({"type": "cut", "lease_ms": -1}, 400),
    ):
        assert ours.api.post(route, json=body).status_code == status
    assert len(ours.api.get("/proxies/p/toxics").json()) == 1
    assert ours.api.post("/squall/proxies/q/toxics", json={}).status_code == 404


def test_additions_refuse_other_methods(ours: Server) -> None:
    """405, as everywhere."""
    ours.proxy("127.0.0.1:9")
    for method, path in (
        ("POST", "/squall"),
        ("POST", "/squall/exposure"),
        ("DELETE", "/squall/connections"),
        ("GET", "/squall/changes"),
        ("GET", "/squall/proxies/p/toxics"),
        ("PUT", "/squall/proxies/p/lease"),
    ):
        assert ours.api.request(method, path).status_code == 405, path
