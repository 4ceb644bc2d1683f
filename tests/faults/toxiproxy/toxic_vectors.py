"""What the API means for toxics: requests by name, each with its status and its words."""

from __future__ import annotations

from typing import Final

from tests.faults.toxiproxy.api_vectors import (
    ATTRIBUTES,
    BAD,
    INT64_MAX,
    INT64_MIN,
    LATENCY,
    SHOW,
    SHOW_TOXICS,
    STREAM,
    TOXIC,
    create,
    retune,
    toxic,
)
from tests.faults.toxiproxy.asking import Request, ask

# As JSON, since Python would spell some of them otherwise.
TOXICITIES: Final = (
    *("0", "1", "0.1", "0.2", "0.3", "0.30000001", "0.333333333333", "0.5", "0.999999999", "5"),
    *("-1", "-1.5", "1e-7", "1E-7", "1e-6", "1.5e-8", "1e20", "1e21", "123456789", "16777217"),
    *("3.4e38", "1e-45", "1e-46", "1e-400", "-0", "-0.0", "0.0", "1.0", "100", "1e2", "null"),
    *("9007199254740993", "0.1e1", "123456.789", "1e-5", "0.00001234567", "2.5e-10"),
)


def _create() -> dict[str, list[Request]]:
    return {
        "toxic defaults": [
            create(),
            LATENCY,
            SHOW_TOXICS,
            ask("GET", TOXIC),
            ask("GET", "/proxies/p"),
            SHOW,
        ],
        "no toxics": [create(), SHOW_TOXICS],
        "every toxic in both streams": [
            create(),
            *(
                toxic({"type": kind, "stream": stream, "attributes": attributes})
                for stream in ("downstream", "upstream")
                for kind, attributes in ATTRIBUTES.items()
            ),
            SHOW_TOXICS,
            ask("GET", "/proxies/p"),
        ],
        "toxics are shown upstream first, in order of adding": [
            create(),
            *(
                toxic({"type": "noop", "name": name, "stream": stream})
                for name, stream in (("z", "downstream"), ("y", "upstream"), ("a", "downstream"))
            ),
            toxic({"type": "noop", "name": "b", "stream": "upstream"}),
            SHOW_TOXICS,
            ask("DELETE", "/proxies/p/toxics/y", status=204),
            toxic({"type": "noop", "name": "y", "stream": "upstream"}),
            SHOW_TOXICS,
        ],
        "streams in any case": [
            create(),
            *(
                toxic({"type": "noop", "stream": stream})
                for stream in ("UPSTREAM", "Upstream", "DownStream", "downstream", "upstream")
            ),
            ask("GET", "/proxies/p/toxics/noop_UPSTREAM"),
            ask("GET", "/proxies/p/toxics/noop_Downstream", status=404),
            SHOW_TOXICS,
        ],
        "toxics without attributes": [
            create(),
            toxic({"type": "latency", "attributes": None}),
            toxic({"type": "timeout", "attributes": {}}),
            toxic({"type": "limit_data", "attributes": {"bytes": None}}),
            toxic({"type": "bandwidth", "attributes": {"unknown": 5}}),
            toxic({"type": "noop", "attributes": {"latency": 5}}),
            toxic({"type": "reset_peer", "name": None, "stream": None, "toxicity": None}),
            SHOW_TOXICS,
        ],
        "odd keys of a toxic": [
            create(),
            toxic({"TYPE": "latency", "Attributes": {"LATENCY": 5, "Jitter": 1}, "Toxicity": 0.5}),
            toxic({"type": "slicer", "attributes": {"AVERAGE_SIZE": 3, "Size_Variation": 1}}),
            toxic({"type": "timeout", "x": {"y": [1]}, "attributes": {"z": "q", "timeout": 1}}),
        ],
        "odd names of a toxic": [
            create(),
            *(toxic({"type": "noop", "name": name}) for name in ("<é&>", "a/b", "😀", " ", '"')),
            toxic({"type": "noop", "name": ""}),
            ask("GET", "/proxies/p/toxics/%3C%C3%A9%26%3E"),
            ask("DELETE", "/proxies/p/toxics/a%2Fb", status=404),
            ask("DELETE", "/proxies/p/toxics/%20", status=204),
            SHOW_TOXICS,
        ],
        "packet_loss": [
            create(),
            toxic({"type": "packet_loss", "attributes": {"loss_rate": 0.25}}, 400),
        ],
        "types of ours alone": [
            create(),
            *(
                toxic({"type": kind, "attributes": {"after": 1, "delay": 1}}, 400, "invalid toxic")
                for kind in ("cut", "slow_accept", "down", "Noop")
            ),
            SHOW,
        ],
        "a null type": [create(), toxic({"type": None}, 400, "invalid toxic type")],
        "a toxic whose name the other stream has": [
            create(),
            toxic({"type": "noop", "name": "n"}),
            toxic({"type": "latency", "name": "n", "stream": "upstream"}, 409, "toxic already"),
            SHOW_TOXICS,
        ],
        "one name on two proxies": [
            create(),
            create({"name": "q", "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"}),
            LATENCY,
            ask("POST", "/proxies/q/toxics", {"type": "latency"}),
            ask("DELETE", TOXIC, status=204),
            SHOW,
        ],
        "a toxic on a disabled proxy": [
            create(),
            ask("POST", "/proxies/p", {"enabled": False}),
            LATENCY,
            ask("POST", "/proxies/p", {"enabled": True}),
        ],
        "refusals in order": [
            create(),
            LATENCY,
            toxic(b"", 400, BAD + "EOF"),
            toxic(b"[]", 400, BAD),
            toxic({"stream": "x", "type": "x", "attributes": 5}, 400, BAD),
            toxic({"stream": "x", "type": "x"}, 400, STREAM),
            toxic({"stream": "", "type": "x"}, 400, STREAM),
            toxic({"stream": " upstream", "type": "x"}, 400, STREAM),
            toxic({"type": "x"}, 400, "invalid toxic type"),
            toxic({}, 400, "invalid toxic type"),
            toxic(b"null", 400, "invalid toxic type"),
            toxic({"type": "Latency"}, 400, "invalid toxic type"),
            toxic({"type": "down"}, 400, "invalid toxic type"),
            toxic({"type": "latency", "attributes": {"latency": 1.5}}, 409, "toxic already exists"),
            toxic({"type": "noop", "name": "latency_downstream", "stream": "upstream"}, 409),
            SHOW_TOXICS,
        ],
    }


def _kinds() -> dict[str, list[Request]]:
    fields: dict[str, list[object]] = {
        "name": [5, True, [], {}],
        "type": [5, True, [], {}],
        "stream": [5, True, [], {}],
        "toxicity": ["1", True, [], {}, 1e39, -1e39],
        "attributes": [5, "x", True, [], ["latency"]],
    }
    wrong: list[object] = [1.5, "5", True, [], {}, 2**63, INT64_MIN - 1, 10**30]
    return {
        **{
            f"a toxic's {field} of a wrong kind": [
                create(),
                *(toxic({"type": "latency", field: value}, 400, BAD) for value in values),
                SHOW_TOXICS,
            ]
            for field, values in fields.items()
        },
        **{
            f"{kind} with {attribute} of a wrong kind": [
                create(),
                *(
                    toxic({"type": kind, "attributes": {**attributes, attribute: value}}, 400, BAD)
                    for value in wrong
                ),
                *(
                    toxic(
                        f'{{"type":"{kind}","attributes":{{"{attribute}":{value}}}}}'.encode(), 400
                    )
                    for value in ("100.0", "1e3", "1e2", "-1e0", "1E1", "5.")
                ),
                SHOW_TOXICS,
            ]
            for kind, attributes in ATTRIBUTES.items()
            for attribute in attributes
        },
        **{
            f"{kind} at the edges": [
                create(),
                *(
                    toxic({"type": kind, "name": f"{name}{value}", "attributes": {name: value}})
                    for name in ATTRIBUTES[kind]
                    for value in (INT64_MAX, INT64_MIN, -1, 0)
                    if not (kind == "bandwidth" and value < 0)
                ),
                SHOW_TOXICS,
            ]
            for kind in ATTRIBUTES
            if kind not in {"slicer", "noop"}
        },
        "slicer at the edges": [
            create(),
            toxic(
                {
                    "type": "slicer",
                    "attributes": {
                        "average_size": INT64_MAX,
                        "size_variation": INT64_MAX - 1,
                        "delay": INT64_MIN,
                    },
                }
            ),
        ],
        "integers as JSON writes them": [
            create(),
            toxic(b'{"type":"latency","attributes":{"latency":-0}}'),
            toxic(b'{"type":"latency","name":"n","attributes":{"latency":00}}', 400, BAD),
            SHOW_TOXICS,
        ],
        **{
            f"toxicity {toxicity}": [
                create(),
                toxic(b'{"type":"noop","toxicity":%s}' % toxicity.encode()),
                ask("PATCH", "/proxies/p/toxics/noop_downstream", b'{"toxicity":0.25}'),
                ask(
                    "PATCH",
                    "/proxies/p/toxics/noop_downstream",
                    b'{"toxicity":%s}' % toxicity.encode(),
                ),
                SHOW,
            ]
            for toxicity in TOXICITIES
        },
        "toxicity beyond 32 bits": [
            create(),
            *(
                toxic(b'{"type":"noop","toxicity":%s}' % toxicity, 400, BAD)
                for toxicity in (b"1e39", b"3.5e38", b"-1e39", b"1e400", b"NaN", b"9" * 50)
            ),
        ],
    }


def _update() -> dict[str, list[Request]]:
    with_latency = [create(), toxic({"type": "latency", "attributes": {"latency": 5, "jitter": 1}})]
    return {
        "toxic update by POST and by PATCH": [
            *with_latency,
            ask("POST", TOXIC, {"toxicity": 0.5}),
            ask("POST", TOXIC, {"attributes": {"jitter": 2}}),
            retune({"attributes": {"LATENCY": 7}}),
            retune({"Toxicity": 0.25, "ATTRIBUTES": {"Latency": 8}}),
            retune({}),
            retune(b"null"),
            retune({"attributes": None, "toxicity": None}),
            retune({"attributes": {"latency": None}}),
            retune({"attributes": {}, "x": 1}),
            retune(b'{"toxicity":0.75} trailing'),
            SHOW_TOXICS,
        ],
        "toxic update ignores name, type and stream": [
            *with_latency,
            retune({"name": "x", "type": "x", "stream": "x", "toxicity": 0.5}),
            retune({"name": 5, "type": [], "stream": {}}),
            SHOW_TOXICS,
        ],
        "toxic update from nonsense": [
            *with_latency,
            retune(b"", 400, BAD + "EOF"),
            retune(b"[]", 400, BAD),
            retune(b"{", 400, BAD),
            retune({"toxicity": "1"}, 400, BAD),
            retune({"attributes": 5}, 400, BAD),
            retune({"attributes": {"latency": 1.5}}, 400, BAD),
            retune({"attributes": {"latency": "1"}, "toxicity": 0.5}, 400, BAD),
            SHOW_TOXICS,
        ],
        "toxic update that fails half-way": [
            *with_latency,
            retune({"attributes": {"latency": 7, "jitter": "x"}, "toxicity": 0.5}, 400, BAD),
            SHOW_TOXICS,
        ],
        "toxic update of one that is not there": [
            create(),
            *(
                ask(method, "/proxies/p/toxics/other", b"", 404, "toxic not found")
                for method in ("GET", "POST", "PATCH", "DELETE")
            ),
            ask("GET", "/proxies/p/toxics/NOOP_downstream", status=404),
        ],
        "toxic update in the middle of a chain": [
            create(),
            *(toxic({"type": "latency", "name": name}) for name in ("a", "b", "c")),
            ask("PATCH", "/proxies/p/toxics/b", {"attributes": {"latency": 5}}),
            SHOW_TOXICS,
        ],
        "toxic delete": [
            *with_latency,
            ask("DELETE", TOXIC, status=204),
            ask("DELETE", TOXIC, status=404, text="toxic not found"),
            SHOW_TOXICS,
            LATENCY,
            ask("DELETE", TOXIC, b"nonsense", 204),
            SHOW_TOXICS,
        ],
        "toxic delete in the middle of a chain": [
            create(),
            *(toxic({"type": "noop", "name": name}) for name in ("a", "b", "c")),
            ask("DELETE", "/proxies/p/toxics/b", status=204),
            toxic({"type": "noop", "name": "b"}),
            SHOW_TOXICS,
        ],
        "toxics at the edge of an update": [
            *with_latency,
            retune({"attributes": {"latency": INT64_MAX, "jitter": INT64_MIN}}),
            retune({"attributes": {"latency": INT64_MAX + 1}}, 400, BAD),
        ],
    }


TOXIC_VECTORS: Final = {**_create(), **_kinds(), **_update()}
