"""Every vector by name, and what both servers make of it.

`python -m tests.faults.toxiproxy.vectors` runs all of them and says how many agree. A vector is
something to do to a server, and what must come of it. Each runs against ours and, where that is
installed, against the original, in the same run. Both must give the same observation, save those in
DIFFERENCES, where each must behave as it is written there.
"""

from __future__ import annotations

import argparse
import re
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import httpx

from tests.faults.toxiproxy.api_vectors import API_VECTORS
from tests.faults.toxiproxy.asking import Request, converse, exchange
from tests.faults.toxiproxy.conftest import REAL, Server, end, start_original, start_ours
from tests.faults.toxiproxy.cut_vectors import CUT_VECTORS
from tests.faults.toxiproxy.delay_vectors import DELAY_VECTORS, Probe
from tests.faults.toxiproxy.differences import DIFFERENCES
from tests.faults.toxiproxy.end_vectors import END_VECTORS
from tests.faults.toxiproxy.http_vectors import HTTP_VECTORS, ROUTE_VECTORS
from tests.faults.toxiproxy.link_vectors import LINK_VECTORS
from tests.faults.toxiproxy.peers import Bench
from tests.faults.toxiproxy.start_vectors import START_VECTORS
from tests.faults.toxiproxy.toxic_vectors import TOXIC_VECTORS

PORTS: Final = (b"@A", b"@B", b"@C")
IN_USE: Final = "address already in use"  # a port that was free is anyone's until it is listened on
TRIES: Final = 3
ROOM: Final = 1500  # characters of an observation in what a failing vector says


@dataclass(frozen=True, kw_only=True)
class Vector:
    """Something to do to a server; the observation as text, and what is wrong with it."""

    name: str
    observe: Callable[[Server], str]
    complain: Callable[[str], str | None]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


_BETWEEN: Final = "\n--------\n"


def _ask(server: Server, requests: Iterable[Request]) -> str:
    ports = _free_ports(len(PORTS))
    ready = []
    for request in requests:
        body = request.body
        for mark, port in zip(PORTS, ports, strict=True):
            body = body.replace(mark, str(port).encode())
        ready.append(replace(request, body=body))
    shown = _BETWEEN.join(answer.shown() for answer in exchange(server.address, *ready))
    for mark, port in zip(PORTS, ports, strict=True):
        shown = shown.replace(str(port), mark.decode())
    return shown


def _wrong_answers(requests: list[Request], shown: str) -> str | None:
    for request, answer in zip(requests, shown.split(_BETWEEN), strict=True):
        begins = f'{{"error":"{request.text}' if request.text else ""
        status = answer.split(" ")[1]
        body = answer.partition("\n\n")[2]
        if status != str(request.status) or not body.startswith(begins):
            asked = f"{request.method} {request.path} {request.body[:200]!r}"
            return f"{asked} must get {request.status} {request.text or ''}, but got {answer[:300]}"
    return None


def _talk(server: Server, pieces: list[bytes], expected: str) -> str:
    count = sum(word.isdigit() for word in expected.split())
    return _BETWEEN.join(converse(server.address, *pieces, count=count))


def _wrong_talk(expected: str, shown: str) -> str | None:
    heard = [
        part.split(" ")[1] if part.startswith("HTTP/") else part for part in shown.split(_BETWEEN)
    ]
    said = " ".join(heard)
    return None if said == expected else f"expected {expected!r}, heard {said!r}"


def _probe(server: Server, probe: Probe) -> str:
    with ExitStack() as stack:
        seen = probe[0](Bench(server, stack))
    return "\n".join(f"{key}: {value!r}" for key, value in seen.items())


def _wrong_probe(expected: Probe, shown: str) -> str | None:
    wanted = "\n".join(f"{key}: {value!r}" for key, value in expected[1].items())
    return None if shown == wanted else f"expected\n{wanted}"


def _vectors() -> Iterator[Vector]:
    for name, requests in {**API_VECTORS, **TOXIC_VECTORS, **ROUTE_VECTORS}.items():
        yield Vector(
            name=name,
            observe=partial(_ask, requests=requests),
            complain=partial(_wrong_answers, requests),
        )
    for name, (pieces, expected) in HTTP_VECTORS.items():
        yield Vector(
            name=f"HTTP: {name}",
            observe=partial(_talk, pieces=pieces, expected=expected),
            complain=partial(_wrong_talk, expected),
        )
    for name, probe in {**DELAY_VECTORS, **CUT_VECTORS, **LINK_VECTORS, **END_VECTORS}.items():
        yield Vector(
            name=f"bytes: {name}",
            observe=partial(_probe, probe=probe),
            complain=partial(_wrong_probe, probe),
        )
    for name, probe in START_VECTORS.items():
        yield Vector(
            name=f"start: {name}",
            observe=partial(_probe, probe=probe),
            complain=partial(_wrong_probe, probe),
        )


VECTORS: Final = {vector.name: vector for vector in _vectors()}


def observe(vector: Vector, server: Server) -> str:
    """Do it to a server that has no proxy."""
    server.clear()
    try:
        return vector.observe(server)
    except (OSError, AssertionError, httpx.HTTPError) as error:
        return f"failed: {error!r}"
    finally:
        server.clear()


def complaint_of_ours(vector: Vector, ours: str) -> str | None:
    """What is wrong with our observation, judged without the original."""
    difference = DIFFERENCES.get(vector.name)
    if difference is None:
        complaint = vector.complain(ours)
        return complaint and f"{complaint}\nours:\n{ours[:ROOM]}"
    if re.search(difference.ours, ours) is None:
        return f"ours is not as listed:\n{difference.ours}\nours:\n{ours[:ROOM]}"
    return None


def complaint(vector: Vector, ours: str, theirs: str) -> str | None:
    """What is wrong with a pair of observations; None when they are as they must be."""
    difference = DIFFERENCES.get(vector.name)
    both = f"ours:\n{ours[:ROOM]}\ntheirs:\n{theirs[:ROOM]}"
    if difference is not None:
        if re.search(difference.theirs, theirs) is None:
            return f"theirs is not as listed:\n{difference.theirs}\n{both}"
        if ours == theirs:
            return f"no difference any more: take it off the list\n{both}"
        return complaint_of_ours(vector, ours)
    if ours != theirs:
        return f"the servers differ\n{both}"
    wrong = vector.complain(theirs)
    return wrong and f"both are not as expected: {wrong}\n{both}"


def observe_both(vector: Vector, ours: Server, original: Server) -> tuple[str, str]:
    """Both observations, made side by side; again when another process took a port meanwhile."""
    for _ in range(TRIES - 1):
        seen = _observe_both(vector, ours, original)
        if not any(IN_USE in one for one in seen) or complaint(vector, *seen) is None:
            return seen
    return _observe_both(vector, ours, original)


def _observe_both(vector: Vector, ours: Server, original: Server) -> tuple[str, str]:
    with ThreadPoolExecutor(2) as pool:
        mine = pool.submit(observe, vector, ours)
        theirs = pool.submit(observe, vector, original)
        return mine.result(), theirs.result()


def main() -> int:
    """Run all, and say how many agree."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="?", default="", help="a part of the names to run")
    only = parser.parse_args().only
    if REAL is None:
        sys.stderr.write("set SQUALL_TOXIPROXY_SERVER to the original's binary\n")
        return 2
    chosen = [vector for vector in VECTORS.values() if only in vector.name]
    ours, original = start_ours("--seed", "7"), start_original(REAL)
    wrong = 0
    try:
        for vector in chosen:
            told = complaint(vector, *observe_both(vector, ours, original))
            if told is not None:
                wrong += 1
                sys.stdout.write(f"--- {vector.name}: {told}\n")
    finally:
        end(ours)
        end(original)
    listed = sum(vector.name in DIFFERENCES for vector in chosen)
    agree = len(chosen) - listed - wrong
    counts = f"{agree} agree, {listed} are listed differences, {wrong} are wrong"
    sys.stdout.write(f"{len(chosen)} vectors: {counts}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
