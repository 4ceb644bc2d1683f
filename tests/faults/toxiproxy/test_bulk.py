"""Streams large enough to fill the rooms that are read into, which are lent and never copied."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from faults.toxiproxy.path.rooms import ROOM_BYTES
from tests.faults.toxiproxy.conftest import Server, Upstream

WAIT_S = 20.0
SIZE_BYTES = 12 * 1024 * 1024  # more than the system buffers on a connection's way


def echoed_digest(address: tuple[str, int], data: bytes, pause: random.Random) -> bytes:
    """What comes back of data that is sent at once, taken by a reader that pauses now and then."""
    digest, left = hashlib.sha256(), len(data)
    with socket.socket() as stream:
        stream.settimeout(WAIT_S)
        # Little room in the system, so that a pause is felt in the proxy.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        stream.connect(address)
        sender = threading.Thread(target=stream.sendall, args=(data,), daemon=True)
        sender.start()
        while left and (got := stream.recv(pause.randrange(1, 4 * ROOM_BYTES))):
            digest.update(got)
            left -= len(got)
            if pause.random() < 0.1:
                threading.Event().wait(0.01)  # long enough to fill every buffer on the way
        sender.join(WAIT_S)
    return digest.digest()


@pytest.mark.parametrize("latency_ms", [None, 0, 15])
@pytest.mark.parametrize("connections", [1, 4])
def test_large_streams_arrive_whole_whoever_stalls(
    ours: Server, upstream: Upstream, latency_ms: int | None, connections: int
) -> None:
    """Bare and held, alone and beside others, with readers that let everything back up."""
    address = ours.proxy(upstream.address)
    if latency_ms is not None:
        ours.toxic("latency", "downstream", latency=latency_ms)
    data = random.Random(connections).randbytes(SIZE_BYTES)
    with ThreadPoolExecutor(connections) as pool:
        digests = [
            pool.submit(echoed_digest, address, data, random.Random(number))
            for number in range(connections)
        ]
        assert {one.result(WAIT_S) for one in digests} == {hashlib.sha256(data).digest()}


def test_toxics_that_come_and_go_meet_no_room_that_is_read_over(
    ours: Server, upstream: Upstream
) -> None:
    """Held rooms pass to stages that cut and pace, which get copies, and to the far side."""
    address, rng, done = ours.proxy(upstream.address), random.Random(3), threading.Event()
    data = rng.randbytes(SIZE_BYTES)

    def change() -> None:
        kinds = {
            "latency": {"latency": 5, "jitter": 3},
            "slicer": {"average_size": 20_000, "size_variation": 5_000, "delay": 0},
            "bandwidth": {"rate": 200_000},
        }
        while not done.is_set():
            for kind in rng.sample(list(kinds), 3):
                ours.toxic(kind, "downstream", **kinds[kind])
            for kind in rng.sample(list(kinds), 3):
                ours.remove(f"{kind}_downstream")

    with ThreadPoolExecutor(4) as pool:
        changes = pool.submit(change)
        digests = [pool.submit(echoed_digest, address, data, random.Random(n)) for n in range(3)]
        try:
            assert {one.result(WAIT_S) for one in digests} == {hashlib.sha256(data).digest()}
        finally:
            done.set()
        changes.result(WAIT_S)
