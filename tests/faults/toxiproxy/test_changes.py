"""Several changes in one call: all of them or none, on real sockets."""

from __future__ import annotations

import socket
from contextlib import suppress

import httpx
import pytest

from tests.faults.toxiproxy.conftest import Server, Upstream
from tests.faults.toxiproxy.peers import client, echoed, last_of

Change = dict[str, object]

LATENCY: Change = {"op": "add", "proxy": "p", "type": "latency", "attributes": {"latency": 5}}


def change(server: Server, *changes: object) -> httpx.Response:
    """Ask for several changes at once."""
    return server.api.post("/squall/changes", json=list(changes))


def create(name: str = "p", listen: str = "127.0.0.1:0", **more: object) -> Change:
    """A proxy that leads nowhere."""
    return {"op": "create", "name": name, "listen": listen, "upstream": "127.0.0.1:9", **more}


def test_a_proxy_never_exists_without_its_toxics(ours: Server, upstream: Upstream) -> None:
    """Made in one call, the first connection is hit."""
    answer = change(
        ours,
        create(upstream=upstream.address),
        {"op": "add", "proxy": "p", "type": "limit_data", "attributes": {"bytes": 3}},
        {"op": "add", "proxy": "p", "type": "cut", "stream": "upstream"}
        | {"attributes": {"after": 60_000}},
    )
    assert answer.status_code == 200, answer.text
    made, limit, cut = answer.json()
    assert (made["name"], made["enabled"], made["toxics"]) == ("p", True, [])
    assert limit["name"] == "limit_data_downstream"
    assert cut["attributes"] == {"after": 60_000, "reset": 0}
    host, _, port = made["listen"].rpartition(":")
    with client((host, int(port))) as stream:
        stream.sendall(b"hello")
        assert last_of(stream)[0] == b"hel"


def test_every_change_sees_the_ones_before_it(ours: Server) -> None:
    """Made, changed, removed, made again under the same name, and gone."""
    answer = change(
        ours,
        create(),
        LATENCY,
        {"op": "change", "proxy": "p", "toxic": "latency_downstream", "toxicity": 0.5},
        {"op": "change", "proxy": "p", "toxic": "latency_downstream", "attributes": {"jitter": 2}},
        {"op": "remove", "proxy": "p", "toxic": "latency_downstream"},
        LATENCY,
        {"op": "update", "proxy": "p", "enabled": False},
        {"op": "update", "proxy": "p", "enabled": True, "upstream": "127.0.0.1:10"},
        {"op": "delete", "proxy": "p"},
        create(enabled=False),
    )
    assert answer.status_code == 200, answer.text
    results = answer.json()
    assert results[3]["attributes"] == {"latency": 5, "jitter": 2}
    assert results[3]["toxicity"] == 0.5
    assert [results[4], results[8]] == [None, None]
    assert results[7]["upstream"] == "127.0.0.1:10"
    assert results[9] == ours.api.get("/proxies/p").json()
    assert results[9]["toxics"] == []


BAD: list[tuple[str, object, int, str]] = [
    ("nothing to do", {}, 400, "op must be one of"),
    ("an unknown deed", {"op": "explode"}, 400, "op must be one of"),
    ("no object", 5, 400, "bad request body"),
    ("a field of another kind", {"op": 5}, 400, "bad request body"),
    ("no proxy named", {"op": "delete"}, 400, "missing required field: proxy"),
    ("no toxic named", {"op": "remove", "proxy": "p"}, 400, "missing required field: toxic"),
    ("no such proxy", {"op": "delete", "proxy": "q"}, 404, "proxy not found"),
    ("no such toxic", {"op": "remove", "proxy": "p", "toxic": "t"}, 404, "toxic not found"),
    ("a proxy that is there", create(), 409, "proxy already exists"),
    ("no upstream", {"op": "create", "name": "q"}, 400, "missing required field: upstream"),
    ("a toxic that is there", LATENCY, 409, "toxic already exists"),
    ("an unknown toxic", {"op": "add", "proxy": "p", "type": "x"}, 400, "invalid toxic type"),
    ("a deadly toxic", {"op": "add", "proxy": "p", "type": "slicer"}, 400, "average_size"),
    ("a lease too long", create("q", lease_ms=10**10), 400, "lease_ms must be in"),
    ("an address that is none", create("q", "nonsense"), 500, "missing port in address"),
    ("a port that is taken", create("q", "TAKEN"), 500, "address already in use"),
    ("a move to a taken port", {"op": "update", "proxy": "p", "listen": "TAKEN"}, 500, "in use"),
]


@pytest.mark.parametrize(
    ("bad", "status", "words"), [row[1:] for row in BAD], ids=[row[0] for row in BAD]
)
def test_one_bad_change_undoes_them_all(
    ours: Server, upstream: Upstream, bad: object, status: int, words: str
) -> None:
    """Nothing has changed, open connections go on, and the answer says which one it was."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        if isinstance(bad, dict) and bad.get("listen") == "TAKEN":
            bad = {**bad, "listen": where}
        address = ours.proxy(upstream.address)
        ours.toxic("latency", latency=5)
        before = ours.api.get("/proxies").json()
        with client(address) as stream:
            assert echoed(stream, b"before") == b"before"
            answer = change(
                ours,
                create("new", lease_ms=60_000),
                {"op": "change", "proxy": "p", "toxic": "latency_downstream", "toxicity": 0},
                {"op": "update", "proxy": "p", "listen": "127.0.0.1:0"},
                bad,
                {"op": "delete", "proxy": "p"},
            )
            assert answer.status_code == status, answer.text
            shown = answer.json()
            assert words in shown["error"]
            assert shown["index"] == 3
            assert shown["error"].endswith(" at index 3")
            assert ours.api.get("/proxies").json() == before
            assert echoed(stream, b"after") == b"after"
        with client(address) as stream:
            assert echoed(stream, b"new") == b"new"
        lease = ours.api.get("/squall/proxies/p/lease").json()
        assert lease == {"left_ms": None}


def test_a_port_is_handed_over_within_one_call(ours: Server, upstream: Upstream) -> None:
    """One proxy gives it up and another takes it, whichever is named first in the alphabet."""
    host, port = ours.proxy(upstream.address)
    where = f"{host}:{port}"
    answer = change(
        ours, {"op": "delete", "proxy": "p"}, create("a", where, upstream=upstream.address)
    )
    assert answer.status_code == 200, answer.text
    with client((host, port)) as stream:
        assert echoed(stream, b"through a") == b"through a"
    assert list(ours.api.get("/proxies").json()) == ["a"]


def test_a_proxy_that_moves_drops_its_connections_and_one_that_stays_keeps_them(
    ours: Server, upstream: Upstream
) -> None:
    """As by the ordinary route: the same address again is no change."""
    host, port = ours.proxy(upstream.address)
    with client((host, port)) as stream:
        assert echoed(stream, b"one") == b"one"
        same = {"op": "update", "proxy": "p", "listen": f"localhost:{port}"}
        assert change(ours, same).json()[0]["listen"] == f"{host}:{port}"
        assert echoed(stream, b"two") == b"two"
        moved = change(ours, {"op": "update", "proxy": "p", "listen": "127.0.0.1:0"}).json()[0]
        assert moved["listen"] != f"{host}:{port}"
        assert last_of(stream)[0] == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, port), 5)


def test_a_proxy_restarted_in_one_call_drops_its_connections(
    ours: Server, upstream: Upstream
) -> None:
    """Off and on again is both, and the port is the same afterwards."""
    address = ours.proxy(upstream.address)
    with client(address) as stream:
        assert echoed(stream, b"one") == b"one"
        changes = [{"op": "update", "proxy": "p", "enabled": on} for on in (False, True)]
        assert change(ours, *changes).status_code == 200
        with suppress(OSError):
            assert last_of(stream)[0] == b""
    with client(address) as stream:
        assert echoed(stream, b"two") == b"two"


def test_a_created_proxy_may_be_changed_in_the_same_call(ours: Server) -> None:
    """Only the listener that remains is bound in the end."""
    answer = change(
        ours,
        create(),
        {"op": "update", "proxy": "p", "listen": "localhost:0", "upstream": "127.0.0.1:10"},
        {"op": "update", "proxy": "p", "enabled": False},
        {"op": "update", "proxy": "p", "enabled": True},
    )
    assert answer.status_code == 200, answer.text
    shown = ours.api.get("/proxies/p").json()
    assert shown == answer.json()[3]
    assert shown["enabled"]
    host, _, port = shown["listen"].rpartition(":")
    socket.create_connection((host, int(port)), 5).close()


def test_a_proxy_may_be_moved_and_restarted_in_one_call(ours: Server) -> None:
    """It comes back to the address that the call itself has looked up."""
    ours.proxy("127.0.0.1:9")
    answer = change(
        ours,
        {"op": "update", "proxy": "p", "listen": "localhost:0"},
        {"op": "update", "proxy": "p", "enabled": False},
        {"op": "update", "proxy": "p", "enabled": True},
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()[2] == ours.api.get("/proxies/p").json()


def test_a_disabled_proxy_may_be_moved_and_brought_up(ours: Server) -> None:
    """Also where its address is a name that was never looked up."""
    first = change(ours, create(listen="localhost:0", enabled=False)).json()[0]
    assert first["listen"] == "localhost:0"
    second = change(ours, {"op": "update", "proxy": "p", "enabled": True}).json()[0]
    assert second["enabled"]
    assert second["listen"].startswith("127.0.0.1:")


def test_a_lease_begins_with_what_it_is_for(ours: Server) -> None:
    """On a proxy and on a toxic, at their making and at a change."""
    change(ours, create(lease_ms=60_000), {**LATENCY, "lease_ms": 50_000})
    proxy = ours.api.get("/squall/exposure").json()["proxies"]["p"]
    assert 59_000 < proxy["lease_left_ms"] <= 60_000
    assert 49_000 < proxy["toxics"]["latency_downstream"]["lease_left_ms"] <= 50_000
    change(
        ours,
        {"op": "update", "proxy": "p", "lease_ms": 0},
        {"op": "change", "proxy": "p", "toxic": "latency_downstream", "lease_ms": 70_000},
    )
    proxy = ours.api.get("/squall/exposure").json()["proxies"]["p"]
    assert proxy["lease_left_ms"] is None
    assert 69_000 < proxy["toxics"]["latency_downstream"]["lease_left_ms"] <= 70_000


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"{}", 400), (b"[", 400), (b"5", 400), (b"[]", 200), (b"null", 200)],
)
def test_a_body_is_a_list_of_changes(ours: Server, body: bytes, status: int) -> None:
    """An empty one changes nothing."""
    answer = ours.api.post("/squall/changes", content=body)
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == []


def test_too_many_changes_are_refused(ours: Server) -> None:
    """What is done in one turn of the loop has a size."""
    answer = change(ours, *([create(enabled=False)] * 1001))
    assert answer.status_code == 400
    assert ours.api.get("/proxies").json() == {}
