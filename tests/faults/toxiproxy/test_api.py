"""The HTTP API, answer for answer: one table of requests, for ours and for the original."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass

import httpx
import pytest

from tests.faults.toxiproxy.conftest import Server

P = {"name": "p", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"}
OFF = {"name": "p", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:1", "enabled": False}
CREATE = ("POST", "/proxies", P, 201, None)
LATENCY = ("POST", "/proxies/p/toxics", {"type": "latency"}, 200, None)
BAD = "bad request body: "

Step = tuple[str, str, object, int, str | None]  # method, path, body, status, error text


def toxic(body: object, status: int = 200, text: str | None = None) -> Step:
    """Ask for a toxic on p."""
    return ("POST", "/proxies/p/toxics", body, status, text)


VECTORS: dict[str, list[Step]] = {
    "version": [("GET", "/version", None, 200, None)],
    "no proxies": [("GET", "/proxies", None, 200, None)],
    "create and show": [
        CREATE,
        ("GET", "/proxies/p", None, 200, None),
        ("GET", "/proxies", None, 200, None),
    ],
    "create disabled": [("POST", "/proxies", OFF, 201, None)],
    "create twice": [CREATE, ("POST", "/proxies", P, 409, "proxy already exists")],
    "create without name": [
        ("POST", "/proxies", {"upstream": "a:1"}, 400, "missing required field: name"),
        ("POST", "/proxies", b"null", 400, "missing required field: name"),
        ("POST", "/proxies", b"{}", 400, "missing required field: name"),
    ],
    "create without upstream": [
        ("POST", "/proxies", {"name": "p"}, 400, "missing required field: upstream"),
        ("POST", "/proxies", {"name": "p", "upstream": None}, 400, None),
    ],
    "create from nonsense": [
        ("POST", "/proxies", b"", 400, BAD + "EOF"),
        ("POST", "/proxies", b"{", 400, BAD),
        ("POST", "/proxies", b"[]", 400, BAD),
        ("POST", "/proxies", b'"p"', 400, BAD),
        ("POST", "/proxies", b"nonsense", 400, BAD),
        ("POST", "/proxies", b"{'name': 'p'}", 400, BAD),
        ("POST", "/proxies", {"name": 5, "upstream": "a:1"}, 400, BAD),
        ("POST", "/proxies", {**P, "enabled": "yes"}, 400, BAD),
        ("POST", "/proxies", {**P, "enabled": 1}, 400, BAD),
    ],
    "create with odd keys": [
        ("POST", "/proxies", {"NAME": "p", "Upstream": "127.0.0.1:9", "x": [1]}, 201, None)
    ],
    "create with trailing data": [
        ("POST", "/proxies", json.dumps(P).encode() + b" trailing", 201, None)
    ],
    "create on every interface": [
        ("POST", "/proxies", {"name": "p", "upstream": "127.0.0.1:9"}, 201, None)
    ],
    "create on a name": [("POST", "/proxies", {**P, "listen": "localhost:0"}, 201, None)],
    **{
        f"create on {listen}": [("POST", "/proxies", {**P, "listen": listen}, 201, None)]
        for listen in ("0.0.0.0:0", ":0", "[::]:0", "[::1]:0", "127.0.0.1:", "[127.0.0.1]:0")
    },
    **{
        f"refuse to listen on {listen}": [
            ("POST", "/proxies", {**P, "listen": listen}, 500, None),
            ("GET", "/proxies", None, 200, None),
        ]
        for listen in ("::1:0", "127.0.0.1:x", "127.0.0.1:-1", "nosuchhost.invalid:0", "a:b:c")
    },
    "create with a bad listen": [
        ("POST", "/proxies", {**P, "listen": "nonsense"}, 500, None),
        ("POST", "/proxies", {**P, "listen": "127.0.0.1:70000"}, 500, None),
        ("POST", "/proxies", {**P, "listen": "192.0.2.1:0"}, 500, None),
        ("GET", "/proxies/p", None, 404, "proxy not found"),
    ],
    "escaped characters": [("POST", "/proxies", {**P, "name": "<é&>"}, 201, None)],
    "unknown proxy": [
        ("GET", "/proxies/q", None, 404, "proxy not found"),
        ("POST", "/proxies/q", {}, 404, "proxy not found"),
        ("PATCH", "/proxies/q", {}, 404, "proxy not found"),
        ("DELETE", "/proxies/q", None, 404, "proxy not found"),
        ("GET", "/proxies/q/toxics", None, 404, "proxy not found"),
        ("POST", "/proxies/q/toxics", {}, 404, "proxy not found"),
        ("GET", "/proxies/q/toxics/t", None, 404, "proxy not found"),
        ("DELETE", "/proxies/q/toxics/t", None, 404, "proxy not found"),
    ],
    "update": [
        CREATE,
        ("POST", "/proxies/p", {"enabled": False}, 200, None),
        ("GET", "/proxies/p", None, 200, None),
        ("PATCH", "/proxies/p", {"enabled": True}, 200, None),
        ("PATCH", "/proxies/p", {"enabled": True}, 200, None),
        ("PATCH", "/proxies/p", {"name": "other"}, 200, None),
        ("PATCH", "/proxies/p", {"upstream": "127.0.0.1:10"}, 200, None),
        ("PATCH", "/proxies/p", {"listen": "localhost:0"}, 200, None),
        ("PATCH", "/proxies/p", {"listen": "nonsense"}, 500, None),
        ("PATCH", "/proxies/p", b"", 400, BAD + "EOF"),
        ("PATCH", "/proxies/p", {"enabled": 1}, 400, BAD),
        ("GET", "/proxies/p", None, 200, None),
    ],
    "update a disabled one": [
        ("POST", "/proxies", OFF, 201, None),
        ("PATCH", "/proxies/p", {"listen": "127.0.0.1:0"}, 200, None),
        ("PATCH", "/proxies/p", {"enabled": True}, 200, None),
    ],
    "delete": [
        CREATE,
        ("DELETE", "/proxies/p", None, 204, None),
        ("DELETE", "/proxies/p", None, 404, "proxy not found"),
    ],
    "toxic defaults": [
        CREATE,
        LATENCY,
        ("GET", "/proxies/p/toxics", None, 200, None),
        ("GET", "/proxies/p/toxics/latency_downstream", None, 200, None),
        ("GET", "/proxies/p", None, 200, None),
    ],
    "every toxic": [
        CREATE,
        *(
            toxic({"type": kind, "stream": stream, "attributes": attributes})
            for stream in ("downstream", "upstream")
            for kind, attributes in {
                "latency": {"latency": 5, "jitter": 1},
                "bandwidth": {"rate": 7},
                "slow_close": {"delay": 8},
                "timeout": {"timeout": 9},
                "reset_peer": {"timeout": 10},
                "slicer": {"average_size": 11, "size_variation": 2, "delay": 3},
                "limit_data": {"bytes": 12},
                "noop": {},
            }.items()
        ),
        ("GET", "/proxies/p/toxics", None, 200, None),
    ],
    "toxic spelling": [
        CREATE,
        toxic({"type": "latency", "stream": "UPSTREAM", "attributes": {"Latency": 5}}),
        toxic({"Type": "latency", "Name": "n", "toxicity": 0.2, "attributes": None}),
        toxic({"type": "noop", "name": "third", "toxicity": 1e-7}),
        toxic({"type": "noop", "name": "more", "toxicity": 4}),
        toxic({"type": "noop", "name": "less", "toxicity": -1.5}),
        toxic({"type": "noop", "name": "thirds", "toxicity": 0.333333333333}),
        ("GET", "/proxies/p/toxics", None, 200, None),
    ],
    "toxic refusals in order": [
        CREATE,
        LATENCY,
        toxic(b"", 400, BAD + "EOF"),
        toxic(b"[]", 400, BAD),
        toxic({"stream": "x", "type": "x"}, 400, "stream was invalid, can be either upstream or "),
        toxic({"stream": "", "type": "x"}, 400, "stream was invalid, can be either upstream or "),
        toxic({"type": "x"}, 400, "invalid toxic type"),
        toxic({}, 400, "invalid toxic type"),
        toxic({"type": "Latency"}, 400, "invalid toxic type"),
        toxic({"type": "latency", "attributes": {"latency": 1.5}}, 409, "toxic already exists"),
        toxic({"type": "noop", "name": "latency_downstream", "stream": "upstream"}, 409, None),
        toxic({"type": "latency", "name": "n", "attributes": {"latency": 1.5}}, 400, BAD),
        toxic({"type": "latency", "name": "n", "attributes": []}, 400, BAD),
        toxic({"type": "latency", "name": "n", "attributes": {"latency": "5"}}, 400, BAD),
        toxic({"type": "latency", "name": "n", "attributes": {"latency": True}}, 400, BAD),
        toxic({"type": "latency", "name": "n", "attributes": {"latency": 2**63}}, 400, BAD),
        toxic(b'{"type":"latency","name":"n","attributes":{"latency":100.0}}', 400, BAD),
        toxic(b'{"type":"latency","name":"n","attributes":{"latency":1e3}}', 400, BAD),
        toxic(b'{"type":"latency","name":"n","toxicity":1e39}', 400, BAD),
        toxic(b'{"type":"latency","name":"n","toxicity":NaN}', 400, BAD),
        toxic(b'{"type":"latency","name":"n","toxicity":"1"}', 400, BAD),
        ("GET", "/proxies/p/toxics", None, 200, None),
    ],
    "toxic update": [
        CREATE,
        toxic({"type": "latency", "attributes": {"latency": 5, "jitter": 1}}),
        ("POST", "/proxies/p/toxics/latency_downstream", {"toxicity": 0.5}, 200, None),
        (
            "PATCH",
            "/proxies/p/toxics/latency_downstream",
            {"attributes": {"LATENCY": 7}, "name": "x", "type": "x", "stream": "x"},
            200,
            None,
        ),
        ("PATCH", "/proxies/p/toxics/latency_downstream", {}, 200, None),
        ("PATCH", "/proxies/p/toxics/latency_downstream", b"", 400, BAD + "EOF"),
        ("PATCH", "/proxies/p/toxics/latency_downstream", {"toxicity": "1"}, 400, BAD),
        ("PATCH", "/proxies/p/toxics/other", {}, 404, "toxic not found"),
        ("GET", "/proxies/p/toxics/other", None, 404, "toxic not found"),
        ("GET", "/proxies/p/toxics", None, 200, None),
    ],
    "toxic delete": [
        CREATE,
        LATENCY,
        ("DELETE", "/proxies/p/toxics/latency_downstream", None, 204, None),
        ("DELETE", "/proxies/p/toxics/latency_downstream", None, 404, "toxic not found"),
        ("GET", "/proxies/p/toxics", None, 200, None),
    ],
    "reset": [
        CREATE,
        LATENCY,
        ("POST", "/proxies/p", {"enabled": False}, 200, None),
        ("POST", "/reset", None, 204, None),
        ("GET", "/proxies", None, 200, None),
    ],
    "populate": [
        CREATE,
        LATENCY,
        ("POST", "/populate", [P, {**P, "name": "q", "enabled": False}], 201, None),
        ("POST", "/populate", [], 201, None),
        ("POST", "/populate", b"null", 201, None),
        ("GET", "/proxies", None, 200, None),
    ],
    "populate refusals": [
        ("POST", "/populate", b"", 400, BAD + "EOF"),
        ("POST", "/populate", b"{}", 400, BAD),
        ("POST", "/populate", [5], 400, BAD),
        ("POST", "/populate", [P, {"upstream": "a:1"}], 400, "missing required field: name at "),
        ("POST", "/populate", [{"name": "p"}], 400, "missing required field: upstream at proxy 1"),
        ("GET", "/proxies", None, 200, None),
    ],
    "populate half-way": [
        ("POST", "/populate", [P, {**P, "name": "q", "listen": "nonsense"}], 500, None),
        ("GET", "/proxies", None, 200, None),
    ],
    "populate ignores toxics": [
        ("POST", "/populate", [{**P, "toxics": [{"type": "latency"}]}], 201, None)
    ],
    "wrong methods": [
        CREATE,
        ("PUT", "/proxies", None, 405, None),
        ("DELETE", "/proxies", None, 405, None),
        ("PUT", "/proxies/p", None, 405, None),
        ("PUT", "/proxies/p/toxics", None, 405, None),
        ("PUT", "/proxies/p/toxics/t", None, 405, None),
        ("GET", "/reset", None, 405, None),
        ("GET", "/populate", None, 405, None),
        ("POST", "/version", None, 405, None),
        ("OPTIONS", "/version", None, 405, None),
    ],
    "unknown paths": [
        ("GET", "/", None, 404, None),
        ("GET", "/nonsense", None, 404, None),
        ("GET", "/proxies/", None, 404, None),
        ("GET", "/proxies/p/nonsense", None, 404, None),
        ("GET", "/proxies/p/toxics/t/u", None, 404, None),
        ("GET", "/metrics", None, 404, None),
    ],
}


@dataclass(frozen=True)
class Answer:
    """What a client can tell apart, without what differs from run to run."""

    status: int
    content_type: str | None
    sniff: str | None
    has_id: bool
    body: str


def ask(server: Server, step: Step, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send one request."""
    method, path, body, _, _ = step
    content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    return server.api.request(method, path, content=content, headers=headers)


def plain(answer: httpx.Response) -> Answer:
    """Take out ports, the version, the name server, and Go's own words about bad JSON."""
    body = re.sub(r'("listen":"[^"]*:)\d+"', r'\1PORT"', answer.text)
    body = re.sub(r"(listen tcp \S+:)\d+: ", r"\1PORT: ", body)
    body = re.sub(r"( on \S+)?: no such host", ": no such host", body)
    body = re.sub(r'"version": "[^"]*"', '"version": "V"', body)
    body = re.sub(r'bad request body: (?:[^"\\]|\\.)*', "bad request body: ", body)
    identity = answer.headers.get("x-toxiproxy-request-id")
    assert identity is None or re.fullmatch("[0-9a-v]{20}", identity)
    return Answer(
        status=answer.status_code,
        content_type=answer.headers.get("content-type"),
        sniff=answer.headers.get("x-content-type-options"),
        has_id=identity is not None,
        body=body,
    )


@pytest.mark.parametrize("name", VECTORS)
def test_each_request_has_its_status_and_words(server: Server, name: str) -> None:
    """Status and error text are those of the table."""
    for step in VECTORS[name]:
        answer = ask(server, step)
        assert answer.status_code == step[3], (step, answer.text)
        if step[4] is not None:
            said = answer.json()
            assert said["error"].startswith(step[4]), step
            assert said["status"] == step[3]
            if step[1] != "/populate":
                assert answer.headers["content-type"] == "text/plain; charset=utf-8"


@pytest.mark.real
@pytest.mark.parametrize("name", VECTORS)
def test_both_servers_give_the_same_answers(ours: Server, original: Server, name: str) -> None:
    """Status, headers and body are equal, but for ports and Go's words about bad JSON."""
    for step in VECTORS[name]:
        assert plain(ask(ours, step)) == plain(ask(original, step)), step


@pytest.mark.parametrize(
    ("agent", "path", "status"),
    [("Mozilla/5.0", "/version", 403), ("Mozilla/5.0", "/x", 404), ("mozilla/5", "/version", 200)],
)
def test_browsers_are_turned_away(server: Server, agent: str, path: str, status: int) -> None:
    """A page in a browser must not drive the server."""
    answer = ask(server, ("GET", path, None, status, None), {"user-agent": agent})
    assert answer.status_code == status
    if status == 403:
        assert answer.text == "User agent not allowed\n"
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_taken_port_is_a_500_with_the_systems_words(server: Server) -> None:
    """The text is the one that Go gives."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        answer = ask(server, ("POST", "/proxies", {**P, "listen": listen}, 500, None))
    assert answer.status_code == 500
    assert answer.json()["error"] == f"listen tcp {listen}: bind: address already in use"


def test_populate_keeps_what_is_the_same_with_its_toxics(server: Server) -> None:
    """Same listen and upstream: untouched, and `enabled` is ignored."""
    listen = ask(server, CREATE).json()["listen"]
    ask(server, LATENCY)
    same = [{**P, "listen": listen, "enabled": False}]
    answer = ask(server, ("POST", "/populate", same, 201, None)).json()
    assert answer["proxies"][0]["enabled"] is True
    assert [toxic["name"] for toxic in answer["proxies"][0]["toxics"]] == ["latency_downstream"]
    changed = [{**P, "listen": listen, "upstream": "127.0.0.1:10"}]
    answer = ask(server, ("POST", "/populate", changed, 201, None)).json()
    assert answer["proxies"][0]["toxics"] == []


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("slicer", {}),
        ("slicer", {"average_size": 0}),
        ("slicer", {"average_size": 5, "size_variation": 5}),
        ("slicer", {"average_size": 5, "size_variation": -1}),
        ("bandwidth", {"rate": -1}),
    ],
)
def test_attributes_that_kill_the_original_are_refused(
    ours: Server, kind: str, attributes: dict[str, int]
) -> None:
    """An improvement: 400, and the toxic is not there."""
    ask(ours, CREATE)
    answer = ask(ours, toxic({"type": kind, "attributes": attributes}, 400))
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(BAD)
    assert ours.api.get("/proxies/p/toxics").json() == []


def test_a_refused_update_changes_nothing(ours: Server) -> None:
    """An improvement: the original may have changed half by then."""
    ask(ours, CREATE)
    ask(ours, toxic({"type": "slicer", "attributes": {"average_size": 9}}))
    path = "/proxies/p/toxics/slicer_downstream"
    body = {"toxicity": 0.5, "attributes": {"delay": 5, "size_variation": 9}}
    assert ask(ours, ("PATCH", path, body, 400, None)).status_code == 400
    shown = ours.api.get(path).json()
    assert shown["attributes"] == {"average_size": 9, "size_variation": 0, "delay": 0}
    assert shown["toxicity"] == 1


def test_an_oversized_body_is_refused(ours: Server) -> None:
    """Memory is bounded."""
    answer = ask(ours, ("POST", "/proxies", b" " * (9 * 1024 * 1024), 413, None))
    assert answer.status_code == 413


@pytest.mark.parametrize("ttl_ms", [-1, 10**12, "5", None])
def test_a_lease_has_bounds(ours: Server, ttl_ms: object) -> None:
    """Only a sensible time to live is taken."""
    ask(ours, CREATE)
    answer = ask(ours, ("POST", "/squall/proxies/p/lease", {"ttl_ms": ttl_ms}, 400, None))
    assert answer.status_code == 400
