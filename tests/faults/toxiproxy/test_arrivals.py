"""Clients that are let in late, on real sockets."""

from __future__ import annotations

import socket
import time

import pytest

from tests.faults.toxiproxy.conftest import Server, Upstream
from tests.faults.toxiproxy.peers import SLACK_S, WAIT_S, client, echoed, last_of, quiet, take

ROUTE = "/squall/proxies/p/toxics"
TOXIC = "/proxies/p/toxics/slow_accept_downstream"
LONG_MS = 3_600_000


def slow(server: Server, delay: int, toxicity: float = 1.0, **more: object) -> None:
    """Put a delay before the door of proxy p."""
    body = {"type": "slow_accept", "toxicity": toxicity, "attributes": {"delay": delay}, **more}
    answer = server.api.post(ROUTE, json=body)
    assert answer.status_code == 200, answer.text


def test_a_client_waits_for_its_delay_and_loses_nothing(ours: Server, upstream: Upstream) -> None:
    """What it says meanwhile is heard once it is in."""
    address = ours.proxy(upstream.address)
    slow(ours, 300)
    began_s = time.monotonic()
    with client(address) as stream:
        stream.sendall(b"hello")
        assert take(stream, 5) == b"hello"
        assert 0.3 <= time.monotonic() - began_s < 0.3 + SLACK_S
        began_s = time.monotonic()
        assert echoed(stream, b"again") == b"again"
        assert time.monotonic() - began_s < 0.3


def test_nobody_is_dialled_for_a_client_that_waits(ours: Server) -> None:
    """The upstream sees the connection when it is let in, and not before."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = ours.proxy(f"127.0.0.1:{listener.getsockname()[1]}")
        slow(ours, LONG_MS)
        listener.settimeout(0.3)
        with client(address), pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("end", ["remove", "spare", "shorten", "reset"])
def test_those_who_wait_come_in_at_once_when_it_ends(
    ours: Server, upstream: Upstream, end: str
) -> None:
    """However it ends, nobody waits for what is no longer there."""
    address = ours.proxy(upstream.address)
    slow(ours, LONG_MS)
    with client(address) as first, client(address) as second:
        first.sendall(b"one")
        second.sendall(b"two")
        assert quiet(first, 0.1)
        if end == "remove":
            ours.api.delete(TOXIC)
        elif end == "reset":
            ours.api.post("/reset")
        else:
            change = {"toxicity": 0} if end == "spare" else {"attributes": {"delay": 1}}
            ours.api.patch(TOXIC, json=change)
        assert take(first, 3) == b"one"
        assert take(second, 3) == b"two"


def test_delays_add_up_and_open_connections_feel_none(ours: Server, upstream: Upstream) -> None:
    """Two toxics are two waits, in either direction; whoever is in is in."""
    address = ours.proxy(upstream.address)
    with client(address) as before:
        assert echoed(before, b"in") == b"in"
        slow(ours, 150)
        slow(ours, 150, stream="upstream")
        assert echoed(before, b"in") == b"in"
        began_s = time.monotonic()
        with client(address) as after:
            assert echoed(after, b"in") == b"in"
            assert time.monotonic() - began_s >= 0.3


def test_a_disabled_proxy_sends_those_who_wait_away(ours: Server, upstream: Upstream) -> None:
    """They are closed at once, and nothing is left of them."""
    address = ours.proxy(upstream.address)
    slow(ours, LONG_MS)
    with client(address) as stream:
        deadline = time.monotonic() + WAIT_S
        while not ours.api.get("/squall/connections").json():
            assert time.monotonic() < deadline
        ours.api.post("/proxies/p", json={"enabled": False})
        assert last_of(stream)[0] == b""
    assert ours.api.get("/squall/connections").json() == []


def test_toxicity_chooses_who_waits_and_exposure_says_who_did(
    ours: Server, upstream: Upstream
) -> None:
    """Those that the draw spares come in; the others are counted and shown."""
    address = ours.proxy(upstream.address)
    slow(ours, LONG_MS, toxicity=0.5)
    streams = [socket.create_connection(address, WAIT_S) for _ in range(40)]
    try:
        deadline = time.monotonic() + WAIT_S
        while True:
            shown = ours.api.get("/squall/connections").json()
            waiting = [entry for entry in shown if entry["state"] == "opening"]
            delayed = [
                entry for entry in shown if entry["toxics"]["slow_accept_downstream"]["hits"]
            ]
            if len(shown) == 40 and len(waiting) == len(delayed):
                break
            assert time.monotonic() < deadline
        assert 5 < len(waiting) < 35
        proxies = ours.api.get("/squall/exposure").json()["proxies"]
        counts = proxies["p"]["toxics"]["slow_accept_downstream"]
        assert counts["connections"] == len(waiting)
        hit = {entry["number"] for entry in shown if _is_hit(entry)}
        assert hit == {entry["number"] for entry in waiting}
    finally:
        for stream in streams:
            stream.close()


def _is_hit(entry: dict[str, dict[str, dict[str, object]]]) -> bool:
    return bool(entry["toxics"]["slow_accept_downstream"]["hit"])


def test_a_delay_that_cannot_be_is_refused(ours: Server) -> None:
    """400, and nothing is there."""
    ours.proxy("127.0.0.1:9")
    body = {"type": "slow_accept", "attributes": {"delay": -1}}
    assert ours.api.post(ROUTE, json=body).status_code == 400
    assert ours.api.get("/proxies/p/toxics").json() == []
