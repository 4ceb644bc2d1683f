"""What ends by itself, and what a lease must never end."""

from __future__ import annotations

import time

import pytest

from tests.faults.toxiproxy.conftest import Server
from tests.faults.toxiproxy.peers import WAIT_S

LEASE = "/squall/proxies/p/lease"
TOXIC_LEASE = "/squall/proxies/p/toxics/latency_downstream/lease"
TOXIC = {"type": "latency"}


def gone(server: Server, path: str) -> None:
    """Wait until there is nothing at a path any more."""
    deadline = time.monotonic() + WAIT_S
    while server.api.get(path).status_code != 404:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_proxy_ends_with_its_lease(ours: Server) -> None:
    """And its port is free again."""
    ours.proxy("127.0.0.1:9")
    assert ours.api.post(LEASE, json={"ttl_ms": 60_000}).json() == {"ttl_ms": 60_000}
    assert 59_000 < ours.api.get(LEASE).json()["left_ms"] <= 60_000
    ours.api.post(LEASE, json={"ttl_ms": 50})
    gone(ours, "/proxies/p")
    assert ours.api.get(LEASE).status_code == 404


def test_a_toxic_may_have_its_lease_from_the_start(ours: Server) -> None:
    """Whoever makes it may die before asking for one."""
    ours.proxy("127.0.0.1:9")
    answer = ours.api.post("/squall/proxies/p/toxics", json={**TOXIC, "lease_ms": 100})
    assert answer.status_code == 200
    assert ours.api.get(TOXIC_LEASE).json()["left_ms"] <= 100
    gone(ours, "/proxies/p/toxics/latency_downstream")
    assert ours.api.get("/proxies/p").status_code == 200


def test_the_ordinary_route_knows_no_leases(ours: Server) -> None:
    """Strict is strict: an unknown field is ignored there."""
    ours.proxy("127.0.0.1:9")
    ours.api.post("/proxies/p/toxics", json={**TOXIC, "lease_ms": 1})
    assert ours.api.get(TOXIC_LEASE).json() == {"left_ms": None}


@pytest.mark.parametrize("end", ["remove", "reset", "delete", "replace"])
def test_a_lease_does_not_outlive_what_it_was_for(ours: Server, end: str) -> None:
    """Another of the same name lives on when the old lease would have run out."""
    ours.proxy("127.0.0.1:9")
    ours.api.post("/squall/proxies/p/toxics", json={**TOXIC, "lease_ms": 150})
    if end != "reset":
        ours.api.post(LEASE, json={"ttl_ms": 60_000})
    if end == "remove":
        ours.api.delete("/proxies/p/toxics/latency_downstream")
    elif end == "reset":
        ours.api.post("/reset")
    elif end == "delete":
        ours.api.delete("/proxies/p")
        ours.proxy("127.0.0.1:9")
    else:
        proxy = {"name": "p", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"}
        ours.api.post("/populate", json=[proxy])
    ours.toxic("latency")
    time.sleep(0.3)
    assert ours.api.get("/proxies/p/toxics/latency_downstream").status_code == 200
    if end in {"delete", "replace"}:
        assert ours.api.get(LEASE).json() == {"left_ms": None}


@pytest.mark.parametrize("body", ["{}", '{"ttl_ms":null}', '{"ttl_ms":-1}', '{"ttl_ms":1.5}', "["])
def test_a_lease_without_a_length_is_refused(ours: Server, body: str) -> None:
    """400, and the lease that was there stays."""
    ours.proxy("127.0.0.1:9")
    ours.api.post(LEASE, json={"ttl_ms": 60_000})
    assert ours.api.post(LEASE, content=body).status_code == 400
    assert ours.api.get(LEASE).json()["left_ms"] > 50_000


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_what_is_not_there_has_no_lease(ours: Server, method: str) -> None:
    """404, in the words of the other routes."""
    ours.proxy("127.0.0.1:9")
    for path, words in (
        ("/squall/proxies/q/lease", "proxy not found"),
        (TOXIC_LEASE, "toxic not found"),
    ):
        answer = ours.api.request(method, path, json={"ttl_ms": 1})
        assert answer.status_code == 404
        assert answer.json()["error"] == words
