"""One proxy: a listener, an upstream, its toxics, and the connections that pass through it."""

from __future__ import annotations

import asyncio
import hashlib
import random
import socket
import time
from dataclasses import dataclass

from faults.toxiproxy.addresses import (
    UNIX,
    ListenError,
    format_address,
    open_listener,
    split_address,
)
from faults.toxiproxy.ledger import Ledger
from faults.toxiproxy.lookups import Lookups
from faults.toxiproxy.path.alarm import Alarm
from faults.toxiproxy.path.arrivals import SLOW_ACCEPT, Arrival, Arrivals
from faults.toxiproxy.path.link import Connection, Draws, Link
from faults.toxiproxy.path.stage import Budget, Toxic

DIAL_S = 10.0  # a black-holed upstream costs its own client this long and nobody else anything
ACCEPTS_MAX = 256  # in one turn of the loop
ACCEPT_AGAIN_S = 0.1
PAST_TOXICS_MAX = 1000  # removed toxics whose exposure is kept


class Chance:
    """Draws that depend on the seed, the proxy, the toxic and the connection's number alone."""

    def __init__(self, seed: int, proxy: str) -> None:
        """Serve one proxy."""
        self._prefix = f"{seed}\0{proxy}\0".encode()

    def draw(self, toxic: Toxic, number: int) -> float:
        """A number in [0, 1) that decides whether a toxic hits a connection."""
        return self._hash(toxic, number, b"hit") / 2**64

    def rng(self, toxic: Toxic, number: int) -> random.Random:
        """A source of numbers for one toxic on one connection."""
        return random.Random(self._hash(toxic, number, b"rng"))

    def _hash(self, toxic: Toxic, number: int, purpose: bytes) -> int:
        text = self._prefix + f"{toxic.name}\0{number}\0".encode() + purpose
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


@dataclass(slots=True)
class Traffic:
    """What a proxy has carried and cut since it was created."""

    connections: int = 0
    upstream_bytes: int = 0
    downstream_bytes: int = 0
    closed_by_disable: int = 0
    failed_dials: int = 0


class Proxy:
    """A named way to an upstream; down while it is not enabled."""

    def __init__(
        self,
        name: str,
        listen: str,
        upstream: str,
        *,
        seed: int,
        budget: Budget,
        alarm: Alarm,
        ledger: Ledger | None = None,
    ) -> None:
        """Be known but not yet listening; what finished connections carried goes into `ledger`."""
        self.budget = budget
        self.alarm = alarm
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.enabled = False
        self.loop = asyncio.get_running_loop()
        self.draws: Draws = Chance(seed, name)
        self.toxics: tuple[list[Toxic], list[Toxic]] = ([], [])  # upstream, downstream
        self.past_toxics: dict[str, Toxic] = {}
        self.traffic = Traffic()
        self.connections: dict[Connection, Arrival] = {}
        self._arrivals = Arrivals(self._delaying)
        self._ledger = ledger
        self._lookups = Lookups()
        self._openings: dict[Connection, asyncio.Task[None]] = {}
        self._listener: socket.socket | None = None

    def start(self, resolved: str) -> None:
        """Listen on an address that is resolved, unless the proxy is up already.

        Raises:
            ListenError: the address cannot be had.
        """
        if not self.enabled:
            self.adopt(open_listener(resolved))

    def adopt(self, listener: socket.socket) -> None:
        """Take clients from a socket that listens."""
        name = listener.getsockname()
        self.listen = format_address(str(name[0]), int(name[1]))
        self.enabled = True
        self._listener = listener
        self.loop.add_reader(listener, self._accept, listener)

    def stop(self) -> None:
        """Refuse new connections and close those that are open, now."""
        if not self.enabled:
            return
        self.enabled = False
        self.close_listener()
        self.traffic.closed_by_disable += len(self.connections)
        for opening in self._openings.values():
            opening.cancel()
        for connection in tuple(self.connections):
            connection.abort()
        self._lookups.close()

    def close_listener(self) -> None:
        """Refuse new connections; open ones go on."""
        if self._listener is not None:
            self.loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        """Take every client that waits; libuv would take one in each turn of a busy loop."""
        for _ in range(ACCEPTS_MAX):
            try:
                client, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors: let some close
                self.loop.remove_reader(listener)
                self.loop.call_later(ACCEPT_AGAIN_S, self._resume_accepting, listener)
                return
            host = str(address[0]).removeprefix("::ffff:")  # IPv4 on a socket for both families
            self._admit(client, format_address(host, int(address[1])))

    def _resume_accepting(self, listener: socket.socket) -> None:
        if self._listener is listener:
            self.loop.add_reader(listener, self._accept, listener)

    def all_toxics(self) -> list[Toxic]:
        """Every toxic in force, upstream's first."""
        return [*self.toxics[0], *self.toxics[1]]

    def find(self, name: str) -> Toxic | None:
        """The toxic of that name, whichever its direction."""
        return next((toxic for toxic in self.all_toxics() if toxic.name == name), None)

    def add(self, toxic: Toxic) -> None:
        """Put a toxic into force, on open connections too."""
        self.past_toxics.pop(toxic.name, None)
        self.toxics[0 if toxic.upstream else 1].append(toxic)
        for link in self._links(toxic):
            link.add(toxic)
        self._arrivals.changed()

    def update(self, toxic: Toxic) -> None:
        """Let a toxic's changed attributes take effect on open connections."""
        for link in self._links(toxic):
            link.update(toxic)
        self._arrivals.changed()

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic out of force; what it touched stays on record."""
        self.toxics[0 if toxic.upstream else 1].remove(toxic)
        self.past_toxics[toxic.name] = toxic
        while len(self.past_toxics) > PAST_TOXICS_MAX:
            del self.past_toxics[next(iter(self.past_toxics))]
        for link in self._links(toxic):
            link.remove(toxic)
        self._arrivals.changed()

    def _links(self, toxic: Toxic) -> list[Link]:
        """The links that a toxic works in; connections still dialling take it when they join."""
        return [
            connection.up if toxic.upstream else connection.down
            for connection in self.connections
            if connection.up.far is not None
        ]

    def carried(self) -> tuple[int, int]:
        """Bytes from clients and bytes to clients, open connections included."""
        up = sum(connection.up.bytes for connection in self.connections)
        down = sum(connection.down.bytes for connection in self.connections)
        return self.traffic.upstream_bytes + up, self.traffic.downstream_bytes + down

    def _delaying(self, number: int) -> list[Toxic]:
        """The toxics that keep the connection of that number waiting before it is let in."""
        return [
            toxic
            for toxic in self.all_toxics()
            if toxic.type == SLOW_ACCEPT and self.draws.draw(toxic, number) < toxic.toxicity
        ]

    def _admit(self, client: socket.socket, address: str) -> None:
        """Count a new connection and dial for it, beside all others."""
        self.traffic.connections += 1
        connection = Connection(self, self.traffic.connections)
        way = (self.name, self.listen, self.upstream)
        self.connections[connection] = Arrival(client=address, at_s=time.monotonic(), way=way)
        client.setblocking(False)
        opening = self.loop.create_task(self._open(connection, client))
        self._openings[connection] = opening
        opening.add_done_callback(lambda _: self._opened(connection, client))

    async def _open(self, connection: Connection, client: socket.socket) -> None:
        """Dial, and only then read the client: uvloop may read a new transport while paused."""
        try:
            await self._arrivals.admit(self.connections[connection], connection.number)
            async with asyncio.timeout(DIAL_S):
                await self._dial(connection)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.connect_accepted_socket(lambda: connection.client, client)
        except (OSError, TimeoutError, ListenError, ValueError, OverflowError):
            self.traffic.failed_dials += connection.server.transport is None

    async def _dial(self, connection: Connection) -> None:
        """Connect to the first of the upstream's addresses that answers, or to its Unix socket."""
        if self.upstream.startswith(UNIX):
            path = self.upstream.removeprefix(UNIX)
            await self.loop.create_unix_connection(lambda: connection.server, path)
            return
        host, port = split_address(self.upstream)
        *others, last = await self._lookups.hosts(host or "localhost", int(port))
        for candidate in others:
            try:
                await self.loop.create_connection(lambda: connection.server, candidate, int(port))
            except OSError:
                continue
            return
        await self.loop.create_connection(lambda: connection.server, last, int(port))

    def _opened(self, connection: Connection, client: socket.socket) -> None:
        """Close what has not come to be, even where a stop came before the first step."""
        del self._openings[connection]
        if connection.client.transport is None:
            client.close()
            connection.abort()
            self.finished(connection)

    def finished(self, connection: Connection) -> None:
        """Add a closed connection's bytes to the totals, once."""
        arrival = self.connections.pop(connection, None)
        if arrival is None:
            return
        if self._ledger is not None:
            self._ledger.add(arrival.way, connection)
        self.traffic.upstream_bytes += connection.up.bytes
        self.traffic.downstream_bytes += connection.down.bytes
