"""Streams of random pieces through toxics that come, change and go at random: no byte may be lost.

`python -m tests.faults.toxiproxy.streams --seconds N --seed N` runs for as long as it is told. Many
connections at once send and read in pieces of random size with random pauses, some end as soon as
they have sent, some read slowly, some break off; meanwhile toxics that preserve bytes change on
both streams. Both ends compare digests, and every wait has an end.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import itertools
import random
import socket
import struct
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import httpx

from tests.faults.toxiproxy.conftest import REAL, Server, end, start_original, start_ours

HEAD = struct.Struct("!B3xIQQ")  # kind, connection's number, bytes up, bytes down
STREAM_S = 60.0  # a connection that takes longer hangs
CALL_S = 5.0  # a control call that takes longer hangs
TOXICS_MAX = 6
CALM_EVERY_S, CALM_S = 4.0, 1.5
KINDS = ("both", "up", "down", "abandon", "idle")
WEIGHTS = (5, 3, 3, 2, 1)
BYTES_MAX = 400_000
BIG_BYTES = 9_000_000  # more than the system keeps for a reader that sleeps
PAUSES_MAX = 100


@dataclass
class Outcome:
    """What a run has seen."""

    streams: Counter[str] = field(default_factory=Counter)
    changes: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    slowest_call_s: float = 0.0
    defects: list[str] = field(default_factory=list)

    def said(self) -> str:
        """In one line."""
        streams = ", ".join(f"{count} {kind}" for kind, count in sorted(self.streams.items()))
        changes = ", ".join(f"{count} {kind}" for kind, count in sorted(self.changes.items()))
        return (
            f"{self.streams.total()} connections ({streams}), {self.bytes / 1e6:.1f} MB, "
            f"{self.changes.total()} changes ({changes}), slowest call "
            f"{self.slowest_call_s * 1000:.0f} ms, {len(self.defects)} defects"
        )


def _bytes_of(seed: int, number: int, direction: str, size_bytes: int) -> bytes:
    return random.Random(f"{seed} {number} {direction}").randbytes(size_bytes)


def _size(rng: random.Random) -> int:
    some, much = rng.randint(0, BYTES_MAX), rng.randint(BYTES_MAX, BIG_BYTES)
    return rng.choices([0, 1, some, much], [10, 10, 20, 2])[0]


def _narrow(stream: socket.socket, size_bytes: int, rng: random.Random) -> None:
    """At times leave the system little room, as much as lets so many bytes through in time."""
    if rng.random() < 0.4:
        room_bytes = 4096 if size_bytes <= BYTES_MAX // 4 else 128 * 1024
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_bytes)


async def _send(stream: socket.socket, data: bytes, rng: random.Random) -> None:
    """In pieces of random size, with random pauses."""
    loop = asyncio.get_running_loop()
    most = rng.choice([7, 500, 5000, 70_000])
    most = max(most, len(data) // 300)
    start = 0
    while start < len(data):
        size_bytes = rng.randint(1, most)
        await loop.sock_sendall(stream, data[start : start + size_bytes])
        start += size_bytes
        if rng.random() < 0.1:
            await asyncio.sleep(rng.random() * 0.02)


async def _read(stream: socket.socket, size_bytes: int, rng: random.Random) -> bytes:
    """At random speed, that many bytes, or up to the end; at times it begins late."""
    loop = asyncio.get_running_loop()
    pauses = PAUSES_MAX if rng.random() < 0.3 else 0
    if size_bytes > BYTES_MAX and rng.random() < 0.7:
        await asyncio.sleep(rng.random() * 1.5)
    got = bytearray()
    while len(got) < size_bytes:
        data = await loop.sock_recv(stream, min(rng.randint(1, 70_000), size_bytes - len(got)))
        if not data:
            break
        got += data
        if pauses and rng.random() < 0.3:
            pauses -= 1
            await asyncio.sleep(rng.random() * 0.05)
    return bytes(got)


async def _exchange(
    stream: socket.socket, data: bytes, size_bytes: int, rng: random.Random
) -> bytes:
    """Send and read at the same time, each at its own pace."""
    sending = asyncio.create_task(_send(stream, data, rng))
    try:
        got = await _read(stream, size_bytes, random.Random(rng.random()))
        await sending
    finally:
        sending.cancel()
    return got


class Streams:
    """One run: the upstream, the clients, and whoever changes the toxics."""

    def __init__(self, server: Server, seed: int, until_s: float) -> None:
        """Make ready for one server; nothing runs yet."""
        self.server = server
        self.seed = seed
        self.until_s = until_s
        self.outcome = Outcome()
        self.numbers = itertools.count(1)
        self.heard: dict[int, asyncio.Future[tuple[int, bytes, bool]]] = {}
        self.live: dict[str, str] = {}  # toxics by name, with their kind
        self.upstreams: set[asyncio.Task[None]] = set()

    def wrong(self, what: str) -> None:
        """Note a defect."""
        self.outcome.defects.append(what)
        sys.stderr.write(f"seed {self.seed}: {what}\n")

    async def listen(self, listener: socket.socket) -> None:
        """Accept for the upstream."""
        loop = asyncio.get_running_loop()
        while True:
            stream, _ = await loop.sock_accept(listener)
            stream.setblocking(False)
            task = asyncio.create_task(self.serve(stream))
            self.upstreams.add(task)
            task.add_done_callback(self.upstreams.discard)

    async def serve(self, stream: socket.socket) -> None:
        """The upstream's end of one connection."""
        loop = asyncio.get_running_loop()
        with stream, suppress(OSError, TimeoutError):
            async with asyncio.timeout(STREAM_S):
                head = await _read(stream, HEAD.size, random.Random(0))
                if len(head) < HEAD.size:
                    return
                kind, number, up_bytes, down_bytes = HEAD.unpack(head)
                rng = random.Random(f"{self.seed} {number} upstream")
                _narrow(stream, up_bytes, rng)
                if KINDS[kind] == "down":  # speaks and leaves at once
                    await _send(stream, _bytes_of(self.seed, number, "down", down_bytes), rng)
                    return
                heard = (0, b"", False)
                try:
                    down = _bytes_of(self.seed, number, "down", down_bytes)
                    got = await _exchange(stream, down, up_bytes, rng)
                    ended = not await loop.sock_recv(stream, 1)
                    heard = (len(got), hashlib.sha256(got).digest(), ended)
                finally:
                    future = self.heard.get(number)
                    if future is not None and not future.done():
                        future.set_result(heard)

    async def client(self, address: tuple[str, int], rng: random.Random) -> None:
        """One connection after the other until the time is over."""
        while time.monotonic() < self.until_s:
            number = next(self.numbers)
            kind = rng.choices(KINDS, WEIGHTS)[0]
            self.outcome.streams[kind] += 1
            try:
                async with asyncio.timeout(STREAM_S):
                    await self.connection(address, kind, number, rng)
            except TimeoutError:
                self.wrong(f"connection {number} ({kind}) hangs")
            except OSError as error:
                if kind != "abandon":
                    self.wrong(f"connection {number} ({kind}) breaks: {error!r}")
            finally:
                self.heard.pop(number, None)

    async def connection(
        self, address: tuple[str, int], kind: str, number: int, rng: random.Random
    ) -> None:
        """The client's end of one connection."""
        loop = asyncio.get_running_loop()
        up_bytes, down_bytes = _size(rng), _size(rng)
        if kind in {"up", "down"}:
            down_bytes, up_bytes = (0, up_bytes) if kind == "up" else (down_bytes, 0)
        heard: asyncio.Future[tuple[int, bytes, bool]] = loop.create_future()
        self.heard[number] = heard
        up = _bytes_of(self.seed, number, "up", up_bytes)
        down = _bytes_of(self.seed, number, "down", down_bytes)
        with socket.socket() as stream:
            stream.setblocking(False)
            _narrow(stream, down_bytes, rng)
            await loop.sock_connect(stream, address)
            if kind == "idle":
                await asyncio.sleep(rng.random())
            head = HEAD.pack(KINDS.index(kind), number, up_bytes, down_bytes)
            await loop.sock_sendall(stream, head)
            if kind == "abandon":
                await self.abandon(stream, up, rng)
                return
            got = await _exchange(stream, up, down_bytes, rng)
            if kind == "down" and await loop.sock_recv(stream, 1):
                self.wrong(f"connection {number} brings more than was sent")
            if kind != "down":
                stream.shutdown(socket.SHUT_WR)
                count, digest, ended = await heard
                if digest != hashlib.sha256(up).digest() or not ended:
                    self.wrong(f"connection {number} ({kind}): {count} of {up_bytes} bytes up")
        self.outcome.bytes += len(up) + len(got)
        if got != down:
            self.wrong(f"connection {number} ({kind}): {len(got)} of {down_bytes} bytes down")

    async def abandon(self, stream: socket.socket, up: bytes, rng: random.Random) -> None:
        """Break off somewhere, mostly with a reset."""
        with suppress(TimeoutError):
            async with asyncio.timeout(rng.random() * 0.2):
                await _send(stream, up, rng)
        if rng.random() < 0.7:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    async def call(self, api: httpx.AsyncClient, method: str, path: str, body: object) -> int:
        """One control call, which must be answered soon."""
        began = time.monotonic()
        try:
            answer = await api.request(method, path, json=body)
        except httpx.HTTPError as error:
            self.wrong(f"{method} {path}: {error!r}")
            return 0
        took_s = time.monotonic() - began
        self.outcome.slowest_call_s = max(self.outcome.slowest_call_s, took_s)
        if answer.status_code >= 500:
            self.wrong(f"{method} {path} answers {answer.status_code}: {answer.text}")
        return answer.status_code

    async def change(self, api: httpx.AsyncClient, rng: random.Random, mark: str) -> None:
        """Add, change and remove toxics at random until the time is over."""
        numbers = itertools.count()
        while time.monotonic() < self.until_s:
            await asyncio.sleep(rng.random() * 0.05)
            act = rng.choices(["add", "update", "remove", "reset"], [6, 6, 5, 0.2])[0]
            if time.monotonic() % CALM_EVERY_S < CALM_S:  # bytes also go without any toxic
                act = "remove"
            mine = [name for name in self.live if name.startswith(mark)]
            if act == "reset":
                self.live.clear()
                await self.call(api, "POST", "/reset", None)
            elif act == "add" and len(mine) < TOXICS_MAX:
                kind = rng.choice(PRESERVING)
                name = f"{mark}{next(numbers)}"
                self.live[name] = kind
                stream = rng.choice(["upstream", "downstream"])
                toxic = {"name": name, "type": kind, "stream": stream, **_settings(kind, rng)}
                await self.call(api, "POST", "/proxies/p/toxics", toxic)
            elif mine and act in {"update", "remove"}:
                name = rng.choice(mine)
                method = "PATCH" if act == "update" else "DELETE"
                body = _settings(self.live[name], rng) if act == "update" else None
                if act == "remove":
                    del self.live[name]
                await self.call(api, method, f"/proxies/p/toxics/{name}", body)
            else:
                continue
            self.outcome.changes[act] += 1

    async def run(self, clients: int, changers: int, first: Mapping[str, object] | None) -> Outcome:
        """Everything at once, under a first toxic if there is one, then an orderly end."""
        rng = random.Random(self.seed)
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        listener.setblocking(False)
        address = self.server.proxy(f"127.0.0.1:{listener.getsockname()[1]}")
        async with _client(self.server) as api:
            if first is not None:
                await self.call(api, "POST", "/proxies/p/toxics", first)
            accepting = asyncio.create_task(self.listen(listener))
            crowd = [
                asyncio.create_task(self.client(address, random.Random(rng.random())))
                for _ in range(clients)
            ]
            async with asyncio.TaskGroup() as group:
                for mark in "abcdefgh"[:changers]:
                    group.create_task(self.change(api, random.Random(rng.random()), mark))
            await asyncio.sleep(self.until_s - time.monotonic())
            await self.call(api, "POST", "/reset", None)  # so that whatever is held may end
            await asyncio.gather(*crowd)
            await self.settle(api)
            accepting.cancel()
            for task in tuple(self.upstreams):
                task.cancel()
            await asyncio.gather(accepting, *self.upstreams, return_exceptions=True)
            listener.close()
        return self.outcome

    async def settle(self, api: httpx.AsyncClient) -> None:
        """Once all clients are gone, ours must hold no connection any more."""
        if self.server.kind != "ours":
            return
        deadline = time.monotonic() + 15
        while True:
            exposure = (await api.get("/squall/exposure")).json()["proxies"]["p"]
            if not exposure["open"]:
                return
            if time.monotonic() > deadline:
                self.wrong(f"{exposure['open']} connections stay open")
                return
            await asyncio.sleep(0.05)


PRESERVING = ("latency", "bandwidth", "slicer", "slow_close", "noop")


def _attributes(kind: str, rng: random.Random) -> dict[str, int]:
    if kind == "latency":
        return {"latency": rng.randint(0, 30), "jitter": rng.randint(0, 20)}
    if kind == "bandwidth":
        return {"rate": rng.choice([0, 100, 500, 3000, 50_000])}
    if kind == "slicer":
        size = rng.choice([60, 500, 5000, 60_000])
        delay_us = rng.choice([0, 0, 10, 200])
        return {"average_size": size, "size_variation": rng.randrange(size // 2), "delay": delay_us}
    return {"delay": rng.randint(0, 50)} if kind == "slow_close" else {}


def _settings(kind: str, rng: random.Random) -> dict[str, object]:
    """Attributes and toxicity at random."""
    return {"attributes": _attributes(kind, rng), "toxicity": rng.choice([0, 0.3, 1, 1])}


@asynccontextmanager
async def _client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    host, port = server.address
    async with httpx.AsyncClient(
        base_url=f"http://{host}:{port}", trust_env=False, timeout=CALL_S
    ) as api:
        yield api


def run(
    server: Server,
    *,
    seconds: float,
    seed: int,
    clients: int = 40,
    changers: int = 3,
    first: Mapping[str, object] | None = None,
) -> Outcome:
    """Run against a server that has no proxy."""
    streams = Streams(server, seed, time.monotonic() + seconds)
    return asyncio.run(streams.run(clients, changers, first))


def main() -> int:
    """Run for as long as it is told, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--clients", type=int, default=40)
    parser.add_argument("--original", action="store_true", help="the original instead of ours")
    given = parser.parse_args()
    server = start_original(REAL or "") if given.original else start_ours("--seed", str(given.seed))
    try:
        outcome = run(server, seconds=given.seconds, seed=given.seed, clients=given.clients)
        alive = server.process.poll() is None
    finally:
        end(server)
    sys.stdout.write(f"{outcome.said()}; server {'alive' if alive else 'DEAD'}\n")
    return 1 if outcome.defects or not alive else 0


if __name__ == "__main__":
    sys.exit(main())
