"""Soaks our server: hot changes of its toxics under many live connections, for half an hour.

`make soak`, or `python -m tests.faults.toxiproxy.soak --minutes 2` for a taste. Every connection
talks to an echo and checks each byte that comes back, for as long as no toxic breaks it; then it
is opened again. The server's memory is read all the while: what it holds at the end of the soak
must be what it held after the warm-up, within a tenth.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import anyio
import httpx
import psutil
from anyio.abc import SocketAttribute, SocketStream

from harness.rig.toxiproxy.programs import embedded

MESSAGE_BYTES = 1024
PAUSE_S = 0.2  # between two messages of one connection
CHANGE_EVERY_S = 0.1
SAMPLE_EVERY_S = 2.0
TOXICS_MAX = 6  # in force at once
ECHO_S = 30.0  # an answer that takes longer never comes
WARM_UP_SHARE = 0.2
PARTS = 8  # of the time after the warm-up; the median of each is compared
FLAT_RATIO = 1.10

# What only delays must lose nothing; what breaks connections makes the server clean up after them.
DELAYING: dict[str, Callable[[random.Random], dict[str, int]]] = {
    "latency": lambda chance: {"latency": chance.randrange(50), "jitter": chance.randrange(20)},
    "bandwidth": lambda chance: {"rate": chance.randrange(50, 500)},
    "slicer": lambda chance: {"average_size": chance.randrange(64, 512), "size_variation": 32},
    "slow_close": lambda chance: {"delay": chance.randrange(100)},
    "noop": lambda _: {},
}
BREAKING: dict[str, Callable[[random.Random], dict[str, int]]] = {
    "timeout": lambda chance: {"timeout": chance.randrange(1, 500)},
    "reset_peer": lambda chance: {"timeout": chance.randrange(100)},
    "limit_data": lambda chance: {"bytes": chance.randrange(1, 20_000)},
}
BREAKING_TOXICITY = 0.1


@dataclass
class Soak:
    """What has happened so far."""

    messages: int = 0
    broken: int = 0  # connections that a toxic ended, and that were opened again
    wrong: int = 0  # messages that came back as something else
    changes: int = 0
    refused: list[str] = field(default_factory=list)
    slowest_s: float = 0.0  # control call
    samples: list[tuple[float, int]] = field(default_factory=list)  # seconds, bytes


async def _echo(stream: SocketStream) -> None:
    async with stream:
        try:
            while True:
                await stream.send(await stream.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            return


async def _talk(port: int, number: int, soak: Soak) -> None:
    """Send and check messages for ever, over as many connections as it takes."""
    chance = random.Random(number)
    while True:
        try:
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                while True:
                    await _exchange(stream, chance.randbytes(MESSAGE_BYTES), soak)
                    await anyio.sleep(PAUSE_S * chance.uniform(0.5, 1.5))
        except (anyio.EndOfStream, anyio.BrokenResourceError, OSError):
            soak.broken += 1
            await anyio.sleep(PAUSE_S)


async def _exchange(stream: SocketStream, message: bytes, soak: Soak) -> None:
    await stream.send(message)
    back = b""
    # A toxic that swallows the message ends the connection only when it is removed.
    with anyio.move_on_after(ECHO_S) as patience:
        while len(back) < len(message):
            back += await stream.receive()
    if patience.cancelled_caught:
        raise anyio.EndOfStream
    soak.wrong += back != message
    soak.messages += 1


async def _change(api: httpx.AsyncClient, chance: random.Random, soak: Soak) -> None:
    """Add, update and remove toxics for ever."""
    in_force: dict[str, str] = {}
    for number in range(sys.maxsize):
        name = chance.choice(sorted(in_force)) if in_force else ""
        verb = chance.choice(["add", "update", "remove"] if name else ["add"])
        if verb == "add" and len(in_force) >= TOXICS_MAX:
            verb = "remove"
        if verb == "add":
            name = f"t{number}"
            in_force[name] = chance.choice([*DELAYING, *BREAKING])
            await _call(api, soak, "POST", "/proxies/p/toxics", _toxic(name, in_force, chance))
        elif verb == "update":
            attributes = (DELAYING | BREAKING)[in_force[name]](chance)
            body = {"attributes": attributes}
            await _call(api, soak, "PATCH", f"/proxies/p/toxics/{name}", body)
        else:
            del in_force[name]
            await _call(api, soak, "DELETE", f"/proxies/p/toxics/{name}", None)
        await anyio.sleep(CHANGE_EVERY_S)


def _toxic(name: str, in_force: dict[str, str], chance: random.Random) -> dict[str, object]:
    kind = in_force[name]
    return {
        "name": name,
        "type": kind,
        "stream": chance.choice(["upstream", "downstream"]),
        "toxicity": BREAKING_TOXICITY if kind in BREAKING else chance.random(),
        "attributes": (DELAYING | BREAKING)[kind](chance),
    }


async def _call(
    api: httpx.AsyncClient, soak: Soak, method: str, path: str, body: Mapping[str, object] | None
) -> None:
    began_s = time.monotonic()
    answer = await api.request(method, path, json=body)
    soak.slowest_s = max(soak.slowest_s, time.monotonic() - began_s)
    soak.changes += 1
    if answer.is_error:
        soak.refused.append(f"{method} {path}: {answer.status_code} {answer.text.strip()}")


async def _sample(server: psutil.Process, soak: Soak, began_s: float) -> None:
    while True:
        soak.samples.append((time.monotonic() - began_s, server.memory_info().rss))
        await anyio.sleep(SAMPLE_EVERY_S)


def _server(url: str) -> psutil.Process:
    """The process that listens where the API is."""
    port = int(url.rpartition(":")[2])
    for child in psutil.Process().children(recursive=True):
        if any(one.laddr.port == port for one in child.net_connections("tcp") if one.laddr):
            return child
    raise LookupError(f"no child of this process listens on port {port}")


async def run(*, seconds: float, connections: int, seed: int) -> Soak:
    """Soak a server of our own."""
    soak = Soak()
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0) as listener,
        embedded(None) as started,
        anyio.create_task_group() as group,
    ):
        port = int(listener.extra(SocketAttribute.local_port))  # noqa: S610 - anyio's, not Django's
        group.start_soon(listener.serve, _echo)
        async with httpx.AsyncClient(base_url=started.url, trust_env=False, timeout=30) as api:
            body = {"name": "p", "upstream": f"127.0.0.1:{port}", "listen": "127.0.0.1:0"}
            made = (await api.post("/proxies", json=body)).json()
            door = int(made["listen"].rpartition(":")[2])
            for number in range(connections):
                group.start_soon(_talk, door, number, soak)
            group.start_soon(_sample, _server(started.url), soak, time.monotonic())
            with anyio.move_on_after(seconds):
                await _change(api, random.Random(seed), soak)
            group.cancel_scope.cancel()
    return soak


def growth(samples: list[tuple[float, int]]) -> tuple[list[float], float]:
    """The median memory of each part after the warm-up, in MiB; the largest over the first."""
    end_s = samples[-1][0]
    start_s = end_s * WARM_UP_SHARE
    part_s = (end_s - start_s) / PARTS
    parts = [
        [rss for at_s, rss in samples if start_s + part_s * n <= at_s <= start_s + part_s * (n + 1)]
        for n in range(PARTS)
    ]
    medians = [statistics.median(part) / 2**20 for part in parts if part]
    return medians, max(medians) / medians[0]


def main() -> int:
    """Soak, and say how it went; 1 when anything was lost, refused or kept growing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    seconds = given.minutes * 60
    soak = anyio.run(
        lambda: run(seconds=seconds, connections=given.connections, seed=given.seed),
        backend_options={"use_uvloop": True},
    )
    medians, ratio = growth(soak.samples)
    print(  # noqa: T201 - a report at the terminal
        f"{given.minutes:g} min, {given.connections} connections, {soak.messages:,} messages, "
        f"{soak.changes:,} hot changes, {soak.broken:,} connections broken by a toxic\n"
        f"memory, MiB: {', '.join(f'{each:.1f}' for each in medians)} "
        f"(largest {ratio:.3f} of the first)\n"
        f"slowest control call {soak.slowest_s * 1000:.0f} ms, refused {len(soak.refused)}, "
        f"messages that came back wrong {soak.wrong}"
    )
    for line in soak.refused[:5]:
        print(line)  # noqa: T201
    return int(bool(soak.wrong or soak.refused or ratio > FLAT_RATIO or not soak.messages))


if __name__ == "__main__":
    sys.exit(main())
