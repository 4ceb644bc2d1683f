"""Random calls to both servers, half of them nonsense: every answer must be the same.

`python -m tests.faults.toxiproxy.random_calls --calls N --seed N` runs for as many as it is told.
What the vectors list as a difference is not asked for, nor is a reset, which starts proxies in an
order that Go leaves to chance.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import sys
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from tests.faults.toxiproxy.api_vectors import ATTRIBUTES
from tests.faults.toxiproxy.asking import Request, ask, exchange
from tests.faults.toxiproxy.conftest import REAL, Server, end, start_original, start_ours

CALLS_MAX: Final = 25  # in one life of a server's proxies
NAMES: Final = ("p", "p", "p", "q", "r", "é", "<&>", "a b", "")
LISTENS: Final = (
    *("127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:@A", "localhost:@A", ":0", "localhost:0"),
    *("", "nonsense", "127.0.0.1:70000", "127.0.0.1:x", "192.0.2.1:0", "[::1]:0"),
)
ODD: Final[tuple[object, ...]] = (
    None,
    None,
    5,
    1.5,
    True,
    False,
    "x",
    [],
    {},
    2**63,
    -(2**63),
    [None],
    {"x": 1},
)
BEGINNING: Final = [
    ask("POST", "/proxies", {"name": name, "upstream": "127.0.0.1:9", "listen": "127.0.0.1:0"})
    for name in ("p", "q")
]


class Calls:
    """A source of requests."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def one(self) -> Request:
        """Any call."""
        rng = self.rng
        acts: list[tuple[int, Callable[[], tuple[str, str, bytes]]]] = [
            (4, lambda: ("GET", self.path(), b"")),
            (3, lambda: ("DELETE", self.path(), b"")),
            (8, lambda: ("POST", "/proxies", self.body(self.proxy()))),
            (5, lambda: (rng.choice(["POST", "PATCH"]), self.of_proxy(), self.body(self.change()))),
            (8, lambda: ("POST", f"{self.of_proxy()}/toxics", self.body(self.toxic()))),
            (5, lambda: (rng.choice(["POST", "PATCH"]), self.of_toxic(), self.retuning())),
            (3, lambda: ("POST", "/populate", self.populating())),
            (1, lambda: (rng.choice(["PUT", "OPTIONS", "x"]), self.path(), b"")),
        ]
        act = rng.choices([act for _, act in acts], [weight for weight, _ in acts])[0]
        method, path, body = act()
        return Request(method=method, path=path, body=body)

    def name(self) -> str:
        """One of few, so that they meet."""
        return self.rng.choice(NAMES)

    def of_proxy(self) -> str:
        """The path of a proxy."""
        return f"/proxies/{self.rng.choice(['p', 'p', 'p', 'q', 'r', '%C3%A9', 'a%20b', 'nobody'])}"

    def of_toxic(self) -> str:
        """The path of a toxic; the name tells its type, so that no impossible change is asked."""
        stream = self.rng.choice(["upstream", "downstream", "UPSTREAM"])
        kind = self.rng.choice([kind for kind in ATTRIBUTES if kind not in {"slicer", "bandwidth"}])
        return f"{self.of_proxy()}/toxics/{kind}_{stream}"

    def path(self) -> str:
        """Any path, or nearly one."""
        paths = ["/proxies", "/version", "/nonsense", self.of_proxy(), self.of_toxic()]
        paths += [f"{self.of_proxy()}/toxics", f"{self.of_proxy()}/", f"/{self.of_proxy()}"]
        return self.rng.choice(paths) + self.rng.choice(["", "", "", "?x=1"])

    def odd(self, usual: object) -> object:
        """Mostly the usual, at times anything."""
        return self.rng.choice(ODD) if self.rng.random() < 0.08 else usual

    def some(self, fields: dict[str, object], share: float) -> dict[str, object]:
        """Some of the fields, in any order."""
        kept = [key for key in fields if self.rng.random() < share]
        self.rng.shuffle(kept)
        return {key: self.odd(fields[key]) for key in kept}

    def proxy(self) -> dict[str, object]:
        """A proxy to create."""
        rng = self.rng
        fields: dict[str, object] = {
            "name": self.name(),
            "upstream": rng.choice(["127.0.0.1:9", "127.0.0.1:9", "a:1", ""]),
            "listen": rng.choice(LISTENS),
            "enabled": rng.choice([True, True, False]),
            "toxics": [{}],
            "Logger": {},
        }
        return self.some(fields, 0.85)

    def change(self) -> dict[str, object]:
        """A change of a proxy."""
        return self.some(self.proxy(), 0.4)

    def toxic(self) -> dict[str, object]:
        """A toxic to add."""
        rng = self.rng
        kind = rng.choice([*ATTRIBUTES, "nonsense", "Latency"])
        usual = ATTRIBUTES.get(kind, {})
        attributes: dict[str, object] = {
            key: value if kind in {"slicer", "bandwidth"} else self.odd(rng.randint(0, 10**6))
            for key, value in usual.items()
            if kind == "slicer" or rng.random() < 0.7
        }
        fields: dict[str, object] = {
            "type": kind,
            "stream": rng.choice(["upstream", "downstream", "UPSTREAM", "Downstream", "x", ""]),
            "toxicity": rng.choice([0, 1, 0.5, 0.1, 1e-7, 5, -1, 0.3333333]),
        }
        if rng.random() < 0.1:
            fields["name"] = self.name() or "n"
        # Without its attributes a slicer is refused by ours alone.
        kept = self.some(fields, 0.9)
        return {**kept, "attributes": attributes}

    def retuning(self) -> bytes:
        """A change of a toxic; of its attributes only one, for a part must not be changed."""
        rng = self.rng
        attribute = rng.choice(["latency", "jitter", "timeout", "delay", "bytes", "JITTER"])
        value = self.odd(rng.randint(0, 1000))
        fields: dict[str, object] = {
            "attributes": self.odd({attribute: value}),
            "toxicity": rng.choice([0, 1, 0.5, 0.7]),
            "name": self.name(),
            "stream": "upstream",
        }
        return self.body(self.some(fields, 0.6))

    def populating(self) -> bytes:
        """An array of proxies, or something else."""
        entries = [self.odd(self.proxy()) for _ in range(self.rng.randint(0, 4))]
        return self.body(self.odd(entries))

    def body(self, value: object) -> bytes:
        """As JSON, at times in odd case, twice, cut off or with something behind it."""
        rng = self.rng
        if isinstance(value, dict) and rng.random() < 0.15:
            value = {
                rng.choice([str.upper, str.title, str.lower])(key): held
                for key, held in value.items()
            }
        text = json.dumps(value, ensure_ascii=rng.random() < 0.5)
        if rng.random() < 0.05:
            text = text[: rng.randint(0, len(text))]
        if rng.random() < 0.05:
            text += rng.choice([" ", "x", "{}", "]"])
        if isinstance(value, dict) and value and text.endswith("}") and rng.random() < 0.05:
            key = rng.choice([key for key in value if key.lower() != "attributes"] or ["x"])
            text = f"{text[:-1]}, {json.dumps(key)}: {json.dumps(rng.choice(['p', None, 5]))}}}"
        return text.encode()


def quiet_port(rng: random.Random) -> int:
    """A free port from where the system takes none by itself, so that it stays free."""
    while True:
        port = rng.randrange(10_000, 30_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def answers(server: Server, requests: list[Request]) -> list[str]:
    """What a server without proxies answers, less its port."""
    server.clear()
    port = str(quiet_port(random.Random()))
    ready = [
        Request(method=one.method, path=one.path, body=one.body.replace(b"@A", port.encode()))
        for one in requests
    ]
    shown = [answer.shown().replace(port, "@A") for answer in exchange(server.address, *ready)]
    server.clear()
    return shown


def first_difference(
    ours: Server, original: Server, *, calls: int, seed: int
) -> tuple[Counter[str], str | None]:
    """How often which status came, and the first call that the two answered differently."""
    source = Calls(random.Random(seed))
    statuses: Counter[str] = Counter()
    with ThreadPoolExecutor(2) as pool:
        while statuses.total() < calls:
            requests = [*BEGINNING, *(source.one() for _ in range(CALLS_MAX))]
            mine = pool.submit(answers, ours, requests)
            theirs = pool.submit(answers, original, requests)
            for request, here, there in zip(requests, mine.result(), theirs.result(), strict=True):
                statuses[there.split()[1]] += 1
                if here != there:
                    before = [f"{one.method} {one.path} {one.body!r}" for one in requests]
                    asked = "\n".join(before[: requests.index(request) + 1])
                    return statuses, f"{asked}\nours:\n{here}\ntheirs:\n{there}"
    return statuses, None


def main() -> int:
    """Run as many calls as it is told, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if REAL is None:
        sys.stderr.write("set SQUALL_TOXIPROXY_SERVER to the original's binary\n")
        return 2
    ours, original = start_ours(), start_original(REAL)
    try:
        statuses, told = first_difference(ours, original, calls=given.calls, seed=given.seed)
    finally:
        end(ours)
        end(original)
    seen = ", ".join(f"{count} of {status}" for status, count in sorted(statuses.items()))
    sys.stdout.write(f"{statuses.total()} calls answered ({seen}): {told or 'all the same'}\n")
    return 0 if told is None else 1


if __name__ == "__main__":
    sys.exit(main())
