"""Requests that a control API may get: sound ones, damaged ones, and what is hardly HTTP."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

NAMES = ["p", "q", "r", "é", "a b", "<&>", "x" * 300, "..", "%2F", "a/b", "\0", "\u2028", "p?q", ""]
TOXICS = ["latency_downstream", "slicer_upstream", "t", "cut_downstream", *NAMES[:6]]
KINDS = [
    *("latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"),
    *("noop", "packet_loss", "cut", "slow_accept", "Latency", ""),
]
ATTRIBUTES = [
    *("latency", "jitter", "rate", "delay", "timeout", "average_size", "size_variation", "bytes"),
    *("loss_rate", "correlation", "after", "reset", "LATENCY", "none"),
]
LISTENS = [
    *("127.0.0.1:0", "localhost:0", "127.0.0.1:0", "127.0.0.1:", "[::1]:0"),
    *("nonsense", "::1:0", "127.0.0.1:99999", "127.0.0.1:http!", "a..b:0", "192.0.2.1:0"),
    *("127.0.0.1:²", "a\0b:1", f"127.0.0.1:{'9' * 5000}", f"{'a' * 70}:0"),
]
NUMBERS = [
    *(
        0,
        1,
        5,
        10,
        100,
        1000,
        60_000,
        -1,
        -5,
        2**31,
        2**53 + 1,
        2**63 - 1,
        -(2**63),
        2**63,
        10**400,
    ),
    *(0.5, 1.0, -0.5, 1e-7, 1e21, 1e308, 5e-324),
]
TOKENS = [
    *(
        b"NaN",
        b"Infinity",
        b"-",
        b"1e999",
        b"-0",
        b"00",
        b"1.",
        b'"\\ud800"',
        b'"\\u0000"',
        b"null",
    ),
    *(
        b"[" * 3000,
        b'{"a":' * 2000,
        b"9" * 5000,
        b"\xff\xfe",
        b"\xed\xa0\x80",
        b'"',
        b"}",
        b"]",
        b",",
    ),
    *(b"\\", b"\\u12", b"'", b"//", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b" ", b"\n", b"\0", b"true"),
]
METHODS = ["GET", "POST", "POST", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "X-ODD"]


@dataclass(frozen=True)
class Request:
    """What goes over the wire; a rude one has a connection of its own."""

    method: str
    raw: bytes
    rude: bool = False


class Requests:
    """An endless supply of them, the same for the same seed."""

    def __init__(self, seed: int, upstreams: list[str]) -> None:
        """Lead proxies to one of these addresses."""
        self._chance = random.Random(seed)
        self._upstreams = [*upstreams, *upstreams, "127.0.0.1:1", "nonsense", "[::1]:1", "a:²"]

    def next(self) -> Request:
        """One more request."""
        if self._chance.random() < 0.01:
            return self._rude()
        method, path, body = self._polite()
        if body and self._chance.random() < 0.3:
            body = self._damaged(body)
        if self._chance.random() < 0.05:
            path = self._odd(path)
        return Request(method, self._raw(method, path, body))

    def _raw(self, method: str, path: str, body: bytes) -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
        if self._chance.random() < 0.02:
            head += "User-Agent: Mozilla/5.0\r\n"
        if self._chance.random() < 0.02:
            head += f"X-Long: {'x' * self._chance.randrange(20_000)}\r\n"
        if body and self._chance.random() < 0.1:
            cut = self._chance.randrange(len(body))
            pieces = [piece for piece in (body[:cut], body[cut:]) if piece]
            chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
            return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def _polite(self) -> tuple[str, str, bytes]:
        chance = self._chance
        proxy, toxic = (quote(self._name(names), safe="") for names in (NAMES, TOXICS))
        routes: list[tuple[str, Callable[[], object] | None]] = [
            ("/proxies", self._proxy),
            (f"/proxies/{proxy}", self._proxy),
            (f"/proxies/{proxy}/toxics", self._toxic),
            (f"/proxies/{proxy}/toxics/{toxic}", self._toxic),
            (f"/squall/proxies/{proxy}/toxics", self._toxic),
            (f"/squall/proxies/{proxy}/lease", self._lease),
            (f"/squall/proxies/{proxy}/toxics/{toxic}/lease", self._lease),
            ("/populate", lambda: [self._proxy() for _ in range(chance.randrange(4))]),
            ("/squall/changes", lambda: [self._change() for _ in range(chance.randrange(6))]),
            ("/squall/connections", None),
            ("/squall/exposure", None),
            ("/metrics", None),
            ("/version", None),
            ("/squall", None),
            ("/reset", None),
        ]
        weights = [9, 9, 12, 9, 9, 3, 3, 3, 12, 2, 2, 1, 1, 1, 1]
        path, make = chance.choices(routes, weights)[0]
        method = chance.choice(METHODS)
        if chance.random() < 0.7:
            method = "GET" if make is None else "POST"
        if make is None or method in {"GET", "HEAD", "OPTIONS"}:
            return method, path, b""
        return method, path, json.dumps(make(), ensure_ascii=chance.random() < 0.5).encode()

    def _name(self, names: list[str]) -> str:
        """Mostly one of few, so that things meet."""
        return self._chance.choice(names[:2] if self._chance.random() < 0.7 else names)

    def _proxy(self) -> dict[str, object]:
        chance = self._chance
        found: dict[str, object] = {
            "name": self._name(NAMES),
            "listen": chance.choice(LISTENS if chance.random() < 0.2 else LISTENS[:3]),
            "upstream": chance.choice(self._upstreams),
        }
        if chance.random() < 0.2:
            found["enabled"] = chance.choice([True, False, None, "yes", 1])
        return self._spoilt(found)

    def _toxic(self) -> dict[str, object]:
        chance = self._chance
        found: dict[str, object] = {
            "type": chance.choice(KINDS),
            "attributes": {
                chance.choice(ATTRIBUTES): chance.choice(NUMBERS)
                for _ in range(chance.randrange(4))
            },
        }
        if chance.random() < 0.5:
            found["name"] = self._name(TOXICS)
        if chance.random() < 0.5:
            found["stream"] = chance.choice(["upstream", "downstream", "UPSTREAM", "x", 5])
        if chance.random() < 0.3:
            found["toxicity"] = chance.choice(NUMBERS)
        if chance.random() < 0.1:
            found["lease_ms"] = chance.choice(NUMBERS)
        return self._spoilt(found)

    def _lease(self) -> dict[str, object]:
        return self._spoilt({"ttl_ms": self._chance.choice(NUMBERS)})

    def _change(self) -> dict[str, object]:
        chance = self._chance
        op = chance.choice(["create", "update", "delete", "add", "change", "remove", "x"])
        found = {"op": op, "proxy": self._name(NAMES), "toxic": self._name(TOXICS)}
        body = self._proxy() if op in {"create", "update"} else self._toxic()
        return {**body, **found}

    def _spoilt(self, found: dict[str, object]) -> dict[str, object]:
        if self._chance.random() < 0.1 and found:
            odd: list[object] = [None, [], {}, "", "x" * 1000, True, *NUMBERS]
            found[self._chance.choice(list(found))] = self._chance.choice(odd)
        return found

    def _damaged(self, body: bytes) -> bytes:
        chance = self._chance
        for _ in range(chance.randrange(1, 4)):
            start = chance.randrange(len(body) + 1)
            stop = min(len(body), start + chance.randrange(8))
            patch = chance.choice(
                [b"", body[stop : stop + 10], chance.choice(TOKENS), chance.randbytes(3)]
            )
            body = body[:start] + patch + body[stop:]
        return body

    def _odd(self, path: str) -> str:
        tails = ["/", "//", "/../proxies", "?a=b", "%00", "%zz", "#x", "/x/y", "%c3", ";", "/."]
        return path + self._chance.choice(tails)

    def _rude(self) -> Request:
        """What no client should say: cut short, miscounted, oversized, or nothing like HTTP."""
        chance = self._chance
        method, path, body = self._polite()
        whole = self._raw(method, path, body)
        raw = chance.choices(
            [
                whole[: chance.randrange(len(whole))],
                whole.replace(b"Content-Length: ", b"Content-Length: 9"),
                whole.replace(b"Content-Length: ", b"Content-Length: -"),
                whole.replace(b"Host: x\r\n", b""),
                whole.replace(b"HTTP/1.1", chance.choice([b"HTTP/1.0", b"HTTP/9.9", b""])),
                whole.replace(b"\r\n", b"\n"),
                whole.replace(b"Host: x", b"Host: x\r\nTransfer-Encoding: gzip"),
                whole.replace(b"Host: x", b"Host: x\r\nExpect: 100-continue"),
                whole.replace(b"Host: x", b"X: " + b"x" * 1_100_000),
                whole + b"\r\nzz\r\n" + chance.randbytes(50),
                chance.randbytes(chance.randrange(1, 2000)),
                self._raw("POST", "/proxies", b" " * (9 * 1024 * 1024)),
                b"POST /proxies HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            ],
            [4, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 0.1, 1],
        )[0]
        return Request(method, raw, rude=True)
