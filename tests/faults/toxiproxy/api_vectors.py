"""What the API means: requests by name, each with the status and the words that it must get.

`@A`, `@B` and `@C` stand for ports that are free when the vector starts.
"""

from __future__ import annotations

import json
from typing import Final

from tests.faults.toxiproxy.asking import Request, ask

P: Final = {"name": "p", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"}
FIXED: Final = {**P, "listen": "127.0.0.1:@A"}
OFF: Final = {**P, "listen": "127.0.0.1:1", "enabled": False}
BAD: Final = "bad request body: "
STREAM: Final = "stream was invalid, can be either upstream or downstream"
TOXIC: Final = "/proxies/p/toxics/latency_downstream"

INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)

ATTRIBUTES: Final[dict[str, dict[str, int]]] = {
    "latency": {"latency": 5, "jitter": 1},
    "bandwidth": {"rate": 7},
    "slow_close": {"delay": 8},
    "timeout": {"timeout": 9},
    "reset_peer": {"timeout": 10},
    "slicer": {"average_size": 11, "size_variation": 2, "delay": 3},
    "limit_data": {"bytes": 12},
    "noop": {},
}


def create(body: object = P, status: int = 201, text: str | None = None) -> Request:
    """Ask for a proxy."""
    return ask("POST", "/proxies", body, status, text)


def toxic(body: object, status: int = 200, text: str | None = None) -> Request:
    """Ask for a toxic on p."""
    return ask("POST", "/proxies/p/toxics", body, status, text)


def patch(body: object, status: int = 200, text: str | None = None) -> Request:
    """Change p."""
    return ask("PATCH", "/proxies/p", body, status, text)


def retune(body: object, status: int = 200, text: str | None = None) -> Request:
    """Change the latency of p."""
    return ask("PATCH", TOXIC, body, status, text)


def populate(body: object, status: int = 201, text: str | None = None) -> Request:
    """Ask for several proxies."""
    return ask("POST", "/populate", body, status, text)


SHOW: Final = ask("GET", "/proxies")
SHOW_TOXICS: Final = ask("GET", "/proxies/p/toxics")
LATENCY: Final = toxic({"type": "latency"})
RESET: Final = ask("POST", "/reset", status=204)


def _create() -> dict[str, list[Request]]:
    names = ["<é&>", "\u2028\u2029", "😀", 'quote"back\\slash', "\t\x01\x7f", " ", "a b%c?d#e"]
    listens = ["0.0.0.0:0", ":0", "[::]:0", "[::1]:0", "127.0.0.1:", "[127.0.0.1]:0", "localhost:0"]
    refused = ["::1:0", "127.0.0.1:x", "127.0.0.1:-1", "nosuchhost.invalid:0", "a:b:c", "nonsense"]
    return {
        "no proxies": [SHOW],
        "create and show": [create(), ask("GET", "/proxies/p"), SHOW],
        "create several, shown by name": [
            *(create({**P, "name": name}) for name in ("q", "p", "Z", "é", "10", "9")),
            SHOW,
        ],
        "create disabled": [create(OFF), SHOW],
        "create disabled on nonsense": [create({**OFF, "listen": "nonsense"}), SHOW],
        "create disabled twice": [create(OFF), create(OFF, 409, "proxy already exists")],
        "create twice": [create(), create(P, 409, "proxy already exists"), SHOW],
        "create twice, badly": [create(), create({**P, "listen": "nonsense"}, 409)],
        "create without name": [
            create({"upstream": "a:1"}, 400, "missing required field: name"),
            create(b"null", 400, "missing required field: name"),
            create(b"{}", 400, "missing required field: name"),
            create({**P, "name": None}, 400, "missing required field: name"),
            create({**P, "name": ""}, 400, "missing required field: name"),
        ],
        "create without upstream": [
            create({"name": "p"}, 400, "missing required field: upstream"),
            create({**P, "upstream": None}, 400, "missing required field: upstream"),
            create({**P, "upstream": ""}, 400, "missing required field: upstream"),
        ],
        "create with nulls": [create({**P, "listen": None, "enabled": None, "toxics": None}), SHOW],
        "create with an odd upstream": [
            create({**P, "name": f"p{number}", "upstream": upstream})
            for number, upstream in enumerate(["nonsense", ":1", "a:b:c", " ", "é:1"])
        ],
        "create with odd keys": [
            create({"NAME": "p", "Upstream": "127.0.0.1:9", "lISTEN": "127.0.0.1:0", "x": [1]})
        ],
        "create with keys that only Unicode folds": [
            create({**P, "li\u017ften": "192.0.2.1:1"}, 500),
            create({"name": "p", "up\u017ftream": "127.0.0.1:9", "li\u017ften": "127.0.0.1:0"}),
        ],
        "create with keys that only look alike": [
            create({"name": "p", "up\ufb06ream": "a:1"}, 400, "missing required field: upstream"),
            create({"name ": "p", "upstream": "a:1"}, 400, "missing required field: name"),
        ],
        "create with the stray field": [
            create({**P, "Logger": {}}),
            create({**P, "name": "q", "logger": {"x": 1}}),
            create({**P, "name": "r", "Logger": None}),
        ],
        "create with toxics, ignored": [create({**P, "toxics": [{"type": "latency"}]})],
        "create on every interface": [create({"name": "p", "upstream": "127.0.0.1:9"})],
        "create on a fixed port": [create(FIXED), SHOW],
        "create twice on one port": [create(FIXED), create({**FIXED, "name": "q"}, 500), SHOW],
        "create beyond the ports": [
            create({**P, "listen": "127.0.0.1:70000"}, 500, "listen tcp: address 70000: invalid"),
            create({**P, "listen": "127.0.0.1:99999999999999999999"}, 500),
        ],
        "create where nobody is": [create({**P, "listen": "192.0.2.1:0"}, 500), SHOW],
        **{
            f"create the name {name!a}": [
                create({**P, "name": name}),
                create(json.dumps({**P, "name": name}, ensure_ascii=False).encode(), 409),
                SHOW,
            ]
            for name in names
        },
        **{f"create on {listen}": [create({**P, "listen": listen})] for listen in listens},
        **{
            f"refuse to listen on {listen}": [create({**P, "listen": listen}, 500), SHOW]
            for listen in refused
        },
    }


def _bodies() -> dict[str, list[Request]]:
    nonsense = [
        *(b"{", b"[]", b'"p"', b"5", b"true", b"nonsense", b"{'name': 'p'}", b"nul", b"{,}"),
        *(b'{"name":}', b'{"name" "p"}', b'{"name":"p",}', b'{"a":01}', b'{"a":+1}', b'{"a":.5}'),
        *(b'{"a":1.}', b'{"a":1e}', b'{"a":NaN}', b'{"a":-Infinity}', b'{"a":-}', b'{"a":tru}'),
        *(b'{"a":"\n"}', b'{"a":"\\x"}', b'{"a":"\\u12"}', b'{"a":[1,]}', b'{"a":"', b"}", b"]"),
        *(b"\xef\xbb\xbf{}", b"/* */ {}", b"\x00", b"\x0b{}", b"\xc2\xa0{}"),
    ]
    good = json.dumps(P).encode()
    wrong: list[object] = [5, True, [], {}, 1.5]
    return {
        "empty body": [create(b"", 400, BAD + "EOF"), create(b" \r\n\t", 400, BAD + "EOF")],
        **{f"nonsense {body!r}": [create(body, 400, BAD), SHOW] for body in nonsense},
        "trailing data": [
            create(good + trailing)
            if not number
            else create(good.replace(b'"p"', b'"p%d"' % number) + trailing)
            for number, trailing in enumerate([b" trailing", b"{}", b"\n\n", b"\x00", b"\xff"])
        ],
        "null and more": [create(b"nullx", 400, "missing required field: name")],
        "leading space": [create(b" \t\r\n" + good)],
        "duplicate keys, the last counts": [
            create(b'{"name":"x","upstream":"127.0.0.1:9","name":"p","listen":"127.0.0.1:0"}'),
            create(b'{"name":"q","upstream":"127.0.0.1:9","NAME":"r","name":"s","listen":":0"}'),
            create(b'{"name":"t","upstream":"127.0.0.1:9","name":null,"listen":":0"}'),
            SHOW,
        ],
        "duplicate keys, the first is wrong": [
            create(b'{"name":5,"upstream":"127.0.0.1:9","name":"p","listen":":0"}', 400, BAD),
        ],
        "duplicate keys of attributes": [
            create(),
            toxic(b'{"type":"latency","attributes":{"latency":5},"attributes":{"jitter":6}}'),
            toxic(b'{"type":"noop","attributes":{},"attributes":null}'),
            SHOW_TOXICS,
        ],
        "attributes that are null and then an object": [
            create(),
            toxic(b'{"type":"noop","attributes":null,"attributes":{}}', 400, BAD),
        ],
        "big and deep values that nobody asked for": [
            create({**P, "x": 10**400, "y": "z" * 100_000}),
            create(good[:-1] + b',"x":' + b"9" * 5000 + b"}", 409),
            create(good[:-1] + b',"x":1e999999}', 409),
            create(good[:-1] + b',"x":' + b"[" * 500 + b"]" * 500 + b"}", 409),
        ],
        "nested deeper than ten thousand": [
            create(good[:-1] + b',"x":' + b"[" * 10_001 + b"]" * 10_001 + b"}", 400, BAD)
        ],
        "nested nine thousand deep": [
            create(good[:-1] + b',"x":' + b"[" * 9000 + b"]" * 9000 + b"}")
        ],
        "bytes that are no UTF-8": [
            create(good.replace(b'"p"', b'"p' + spoiled + b'"'), status)
            for spoiled, status in (
                *((b"\xff", 201), (b"\xe2\x82", 201), (b"\xf0\x9f\x98", 201)),
                *((b"\xed\xa0\x80", 409), (b"\xc0\xaf", 409)),
            )
        ]
        + [SHOW],
        "half a pair of escapes": [
            create(b'{"name":"\\ud800","upstream":"127.0.0.1:9","listen":"127.0.0.1:0"}'),
            create(b'{"name":"\\udc00x","upstream":"127.0.0.1:9","listen":"127.0.0.1:0"}'),
            create(b'{"name":"\\ud83d\\ude00","upstream":"127.0.0.1:9","listen":"127.0.0.1:0"}'),
            create(b'{"name":"\\u0000","upstream":"127.0.0.1:9","listen":"127.0.0.1:0"}'),
            SHOW,
        ],
        "escapes": [
            create(
                b'{"n\\u0061me":"\\u002d\\b\\f\\n\\r\\t","upstream":"127.0.0.1:9","listen":":0"}'
            )
        ],
        **{
            f"{field} of a wrong kind": [
                create({**P, field: value}, 400, BAD)
                for value in [*wrong, *(["x"] if field in {"enabled", "Logger"} else [])]
                if not (field == "enabled" and value is True)
                and not (field == "Logger" and value == {})
            ]
            for field in ("name", "listen", "upstream", "enabled", "Logger")
        },
    }


def _update() -> dict[str, list[Request]]:
    return {
        "unknown proxy": [
            ask(method, f"/proxies/q{rest}", b"{}", 404, "proxy not found")
            for method, rest in (
                *(("GET", ""), ("POST", ""), ("PATCH", ""), ("DELETE", ""), ("GET", "/toxics")),
                *(("POST", "/toxics"), ("GET", "/toxics/t"), ("POST", "/toxics/t")),
                *(("PATCH", "/toxics/t"), ("DELETE", "/toxics/t")),
            )
        ],
        "unknown proxy before a bad body": [
            ask("POST", "/proxies/q", b"", 404),
            ask("POST", "/proxies/q/toxics", b"nonsense", 404),
            ask("PATCH", "/proxies/q/toxics/t", b"nonsense", 404),
        ],
        "update": [
            create(),
            ask("POST", "/proxies/p", {"enabled": False}),
            ask("GET", "/proxies/p"),
            patch({"enabled": True}),
            patch({"enabled": True}),
            patch({"name": "other"}),
            patch({"upstream": "127.0.0.1:10"}),
            patch({"listen": "localhost:0"}),
            patch(b"null"),
            patch(b"{}"),
            patch({"ENABLED": None, "listen": None, "upstream": None}),
            patch({"listen": "nonsense"}, 500, "address nonsense: missing port in address"),
            patch(b"", 400, BAD + "EOF"),
            patch({"enabled": 1}, 400, BAD),
            patch({"name": 5}, 400, BAD),
            patch({"Logger": "x"}, 400, BAD),
            ask("GET", "/proxies/p"),
        ],
        "update the name to another's": [
            create(),
            create({**P, "name": "q"}),
            patch({"name": "q", "upstream": "127.0.0.1:10"}),
            SHOW,
        ],
        "update to nothing": [
            create(FIXED),
            patch({"upstream": ""}),
            patch({"listen": ""}),
            ask("GET", "/proxies/p"),
        ],
        "update to the same, otherwise spelled": [
            create(FIXED),
            LATENCY,
            patch({"listen": "localhost:@A"}),
            patch({"listen": "127.0.0.1:@A", "upstream": "127.0.0.1:9"}),
            patch({"listen": "[127.0.0.1]:@A"}),
            patch({"listen": "127.0.0.1:0@A"}),
        ],
        "update keeps the toxics": [create(), LATENCY, patch({"upstream": "127.0.0.1:10"})],
        "update to a port that is taken": [
            create(FIXED),
            create({**P, "name": "q", "listen": "127.0.0.1:@B"}),
            patch({"listen": "127.0.0.1:@B"}, 500),
            ask("GET", "/proxies/p"),
            patch({"enabled": True}, 500),
            patch({"listen": "127.0.0.1:@A", "enabled": True}),
            SHOW,
        ],
        "update where nobody is": [
            create(FIXED),
            patch({"listen": "192.0.2.1:0"}, 500),
            SHOW,
        ],
        "update and disable at once": [
            create(FIXED),
            patch({"upstream": "127.0.0.1:10", "enabled": False}),
            patch({"upstream": "127.0.0.1:11"}),
            patch({"enabled": True}),
        ],
        "update a disabled one": [
            create(OFF),
            patch({"listen": "127.0.0.1:0"}),
            patch({"listen": "localhost:@A"}),
            patch({"enabled": True}),
            patch({"enabled": False}),
            patch({"enabled": False}),
        ],
        "update a disabled one to nonsense": [
            create(OFF),
            patch({"listen": "nonsense"}, 500),
            ask("GET", "/proxies/p"),
        ],
        "delete": [
            create(FIXED),
            ask("DELETE", "/proxies/p", status=204),
            ask("DELETE", "/proxies/p", status=404, text="proxy not found"),
            create(FIXED),
            ask("DELETE", "/proxies/p", b"nonsense", 204),
            SHOW,
        ],
        "delete a disabled one": [create(OFF), ask("DELETE", "/proxies/p", status=204), SHOW],
        "delete takes the toxics along": [
            create(FIXED),
            LATENCY,
            ask("DELETE", "/proxies/p", status=204),
            create(FIXED),
        ],
        "reset": [
            create(),
            LATENCY,
            toxic({"type": "noop", "stream": "upstream"}),
            patch({"enabled": False}),
            RESET,
            SHOW,
            RESET,
            ask("POST", "/reset", b"nonsense", 204),
        ],
        "reset of nothing": [RESET],
        "reset of one that cannot start": [
            create(FIXED),
            LATENCY,
            patch({"enabled": False}),
            create({**FIXED, "name": "q"}),
            ask("DELETE", TOXIC, status=204),
            ask("POST", "/reset", status=500),
            ask("GET", "/proxies/p"),
        ],
    }


def _populate() -> dict[str, list[Request]]:
    q = {**P, "name": "q", "listen": "127.0.0.1:@B"}
    return {
        "populate": [
            create(),
            LATENCY,
            populate([P, {**P, "name": "r", "enabled": False}]),
            populate([]),
            populate(b"null"),
            SHOW,
        ],
        "populate with the same keeps all of it": [
            create(FIXED),
            LATENCY,
            populate([FIXED]),
            populate([{**FIXED, "enabled": False}]),
            populate([{**FIXED, "listen": "localhost:@A"}]),
            SHOW,
        ],
        "populate with the same that is disabled": [
            create(FIXED),
            patch({"enabled": False}),
            populate([FIXED]),
            populate([{**FIXED, "enabled": True}]),
        ],
        "populate with another upstream replaces": [
            create(FIXED),
            LATENCY,
            populate([{**FIXED, "upstream": "127.0.0.1:10"}]),
            SHOW,
        ],
        "populate with another listen replaces": [
            create(FIXED),
            LATENCY,
            populate([{**FIXED, "listen": "127.0.0.1:@B"}]),
            SHOW,
        ],
        "populate with port 0 always replaces": [
            populate([P]),
            LATENCY,
            populate([P]),
            populate([{**P, "enabled": False}]),
            populate([{**P, "enabled": False}]),
        ],
        "populate on every interface": [
            populate([{"name": "p", "upstream": "127.0.0.1:9"}]),
            populate([{"name": "p", "upstream": "127.0.0.1:9"}]),
        ],
        "populate twice within one array": [
            populate([FIXED, FIXED]),
            populate([{**P, "upstream": "127.0.0.1:10"}, P]),
            populate([q, {**q, "upstream": "127.0.0.1:10"}, q]),
            SHOW,
        ],
        "populate two on one port": [
            populate([FIXED, {**FIXED, "name": "q"}], 500, "listen tcp 127.0.0.1:"),
            SHOW,
        ],
        "populate swaps two ports": [
            populate([FIXED, q]),
            populate([{**FIXED, "listen": "127.0.0.1:@B"}, {**q, "listen": "127.0.0.1:@A"}], 500),
            SHOW,
        ],
        "populate half-way": [
            create({**P, "name": "q", "listen": "127.0.0.1:@B"}),
            populate([FIXED, {**P, "name": "q", "listen": "nonsense"}, {**P, "name": "r"}], 500),
            SHOW,
            populate([FIXED, {**P, "name": "r", "listen": "nonsense"}], 500, "listen tcp: address"),
            populate([{**P, "listen": "nonsense"}], 500, "address nonsense"),
            populate([{**P, "listen": "192.0.2.1:1"}], 500),
            SHOW,
        ],
        "populate with nulls": [
            populate([{**P, "enabled": None, "listen": None}]),
            populate([None], 400, "missing required field: name at proxy 1"),
            populate([P, None], 400, "missing required field: name at proxy 2"),
        ],
        "populate without a field": [
            populate([P, {"upstream": "a:1"}], 400, "missing required field: name at proxy 2"),
            populate([{"name": "p"}], 400, "missing required field: upstream at proxy 1"),
            populate([P, q, {**P, "upstream": ""}], 400, "missing required field: upstream at"),
            SHOW,
        ],
        "populate from nonsense": [
            populate(b"", 400, BAD + "EOF"),
            populate(b"{}", 400, BAD),
            populate(b"[", 400, BAD),
            populate(b"5", 400, BAD),
            populate([5], 400, BAD),
            populate([[]], 400, BAD),
            populate(["p"], 400, BAD),
            populate([{**P, "enabled": "yes"}], 400, BAD),
            populate([{**P, "name": 5}], 400, BAD),
            populate([{**P, "Logger": 5}], 400, BAD),
            populate([P, 5], 400, BAD),
            SHOW,
        ],
        "populate with odd keys": [
            populate([{"NAME": "p", "UPSTREAM": "127.0.0.1:9", "ENABLED": False, "x": {}}])
        ],
        "populate ignores toxics": [populate([{**P, "toxics": [{"type": "latency"}]}])],
        "populate with trailing data": [populate(json.dumps([P]).encode() + b"]]")],
    }


API_VECTORS: Final = {**_create(), **_bodies(), **_update(), **_populate()}
