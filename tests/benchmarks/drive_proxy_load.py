"""Bounces small messages, or floods, through a proxy; a module of its own process.

Arguments: `small` or `bulk`, and how many connections. It prints the port of its upstream, reads
the proxy's port, connects, and then serves rounds as `rounds` says: a round's calls are messages
echoed, or bytes that arrived. No library stands between its loop and the sockets, so that it costs
less than what it measures.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.rounds import run_rounds, say

MESSAGE: Final = b"m" * 200
BULK: Final = bytes(256 * 1024)
WAIT_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Pair:
    """Both ends of one connection through the proxy."""

    client: socket.socket
    upstream: socket.socket


def connect_pairs(connections: int) -> list[Pair]:
    """Open so many connections, one after the other, and find the ends that belong together."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.settimeout(WAIT_S)
        say(str(listener.getsockname()[1]))
        proxy = ("127.0.0.1", int(sys.stdin.readline()))
        pairs = []
        for _ in range(connections):
            client = socket.create_connection(proxy, WAIT_S)
            upstream, _ = listener.accept()
            upstream.settimeout(WAIT_S)
            for end in (client, upstream):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pairs.append(Pair(client, upstream))
    return pairs


class Bounces:
    """Each connection has one message under way; both ends answer a whole message with another."""

    def __init__(self, pairs: list[Pair]) -> None:
        self._clients = {pair.client.fileno(): pair.client for pair in pairs}
        upstreams = {pair.upstream.fileno(): pair.upstream for pair in pairs}
        self._ends = self._clients | upstreams
        self._missing_bytes = dict.fromkeys(self._ends, len(MESSAGE))
        self._epoll = select.epoll()
        for number, end in self._ends.items():
            end.setblocking(False)
            self._epoll.register(number, select.EPOLLIN)

    def run(self, seconds: float) -> int:
        """Bounce for so long, then let the last messages come home; the messages echoed."""
        ends, clients, missing_bytes = self._ends, self._clients, self._missing_bytes
        room = bytearray(64 * 1024)
        echoed, under_way = 0, len(clients)
        for client in clients.values():
            client.send(MESSAGE)
        until_s = time.monotonic() + seconds
        while under_way:
            events = self._epoll.poll(WAIT_S)
            assert events, f"{under_way} messages are lost"
            running = time.monotonic() < until_s
            for number, _ in events:
                end = ends[number]
                size_bytes = end.recv_into(room)
                assert size_bytes, "the proxy closed a connection"
                missing_bytes[number] -= size_bytes
                if missing_bytes[number]:
                    continue
                missing_bytes[number] = len(MESSAGE)
                if number in clients:
                    echoed += 1
                    if not running:
                        under_way -= 1
                        continue
                end.send(MESSAGE)
        return echoed


class Floods:
    """Every upstream sends as fast as it can; every client throws away what it gets."""

    def __init__(self, pairs: list[Pair]) -> None:
        self._pairs = pairs
        self._pool = ThreadPoolExecutor(2 * len(pairs))

    def run(self, seconds: float) -> int:
        """Flood for so long, then take what is still under way; the bytes that arrived."""
        until_s = time.monotonic() + seconds
        totals = [-1] * len(self._pairs)  # not known yet

        def send(index: int) -> None:
            upstream, sent_bytes = self._pairs[index].upstream, len(BULK)
            while time.monotonic() < until_s:
                upstream.sendall(BULK)
                sent_bytes += len(BULK)
            totals[index] = sent_bytes  # before the last piece, which wakes the other end
            upstream.sendall(BULK)

        def take(index: int) -> int:
            client, room, got_bytes = self._pairs[index].client, bytearray(1 << 20), 0
            while got_bytes != totals[index]:
                # MSG_TRUNC: the kernel throws the bytes away, nothing is copied here.
                size_bytes = client.recv_into(room, len(room), socket.MSG_TRUNC)
                assert size_bytes, "the proxy closed a connection"
                got_bytes += size_bytes
            return got_bytes

        indexes = range(len(self._pairs))
        senders = [self._pool.submit(send, index) for index in indexes]
        takers = [self._pool.submit(take, index) for index in indexes]
        for sender in senders:
            sender.result()
        return sum(taker.result() for taker in takers)


def main() -> None:
    """Connect and serve rounds."""
    kind, connections = sys.argv[1], int(sys.argv[2])
    pairs = connect_pairs(connections)
    run_rounds(Bounces(pairs).run if kind == "small" else Floods(pairs).run)


if __name__ == "__main__":
    main()
