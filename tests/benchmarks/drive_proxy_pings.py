"""Times small echoes, straight and through proxies, at a fixed rate; a module of its own process.

Arguments: connections to each target, and how often each pings per second. It prints the port of
its upstream, reads the targets' ports, and then prints for each line `SECONDS` one JSON list: for
each target the round trips in microseconds. The targets are pinged in turn, so what disturbs one
for a while disturbs the others too.
"""

from __future__ import annotations

import heapq
import json
import random
import select
import socket
import sys
import time
from typing import Final

from tests.benchmarks.rounds import asked_rounds, say

MESSAGE: Final = b"p" * 200
WAIT_S: Final = 20.0


class Pings:
    """Connections to each target, and the echo behind them all."""

    def __init__(self, connections: int, per_second: float) -> None:
        """Connect to every target that the bench names."""
        self._every_s = 1 / per_second
        self._rng = random.Random(1)
        self._echoes: dict[int, socket.socket] = {}
        self._clients: dict[int, socket.socket] = {}
        self._targets: dict[int, int] = {}  # which target a client's descriptor belongs to
        self._epoll = select.epoll()
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            listener.settimeout(WAIT_S)
            say(str(listener.getsockname()[1]))
            ports = [int(port) for port in sys.stdin.readline().split()]
            for _ in range(connections):
                for target, port in enumerate(ports):
                    client = socket.create_connection(("127.0.0.1", port), WAIT_S)
                    echo, _ = listener.accept()
                    self._take(client, self._clients)
                    self._take(echo, self._echoes)
                    self._targets[client.fileno()] = target
        self._trips_us: list[list[float]] = [[] for _ in ports]

    def _take(self, end: socket.socket, ends: dict[int, socket.socket]) -> None:
        end.setblocking(False)
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ends[end.fileno()] = end
        self._epoll.register(end.fileno(), select.EPOLLIN)

    def run(self, seconds: float) -> list[list[float]]:
        """Ping for so long; the round trips to each target, in microseconds."""
        self._trips_us = [[] for _ in self._trips_us]
        began_s = time.perf_counter()
        # Spread evenly, so that a ping meets no other one unless the proxy is late; and in another
        # order each time, for who follows the straight way finds the proxies' core asleep.
        spread_s = self._every_s / len(self._clients)
        numbers = list(self._clients)
        self._rng.shuffle(numbers)
        due = [(began_s + n * spread_s, number) for n, number in enumerate(numbers)]
        sent_s: dict[int, float] = {}
        while due or sent_s:
            now_s = time.perf_counter()
            while due and due[0][0] <= now_s:
                due_s, number = heapq.heappop(due)
                if number not in sent_s:  # else its last echo is late: this turn is left out
                    sent_s[number] = time.perf_counter()
                    self._clients[number].send(MESSAGE)
                if due_s + self._every_s < began_s + seconds:
                    heapq.heappush(due, (due_s + self._every_s, number))
            self._wait(max(0.0, due[0][0] - time.perf_counter()) if due else WAIT_S, sent_s)
        return self._trips_us

    def _wait(self, wait_s: float, sent_s: dict[int, float]) -> None:
        events = self._epoll.poll(wait_s)
        assert events or wait_s < WAIT_S, f"{len(sent_s)} pings are lost"
        for number, _ in events:
            if number in self._echoes:
                self._echoes[number].send(self._echoes[number].recv(4096))
                continue
            answer = self._clients[number].recv(4096)
            trip_us = (time.perf_counter() - sent_s.pop(number)) * 1e6
            assert answer == MESSAGE, "a ping came back in parts"
            self._trips_us[self._targets[number]].append(trip_us)


def main() -> None:
    """Connect and serve rounds."""
    pings = Pings(int(sys.argv[1]), float(sys.argv[2]))
    for seconds in asked_rounds():
        say(json.dumps(pings.run(seconds)))


if __name__ == "__main__":
    main()
