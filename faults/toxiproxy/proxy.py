"""One proxy: a listener, an upstream, its toxics, and the connections that pass through it."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import socket
from dataclasses import dataclass

from faults.toxiproxy.link import Connection, Draws, Link
from faults.toxiproxy.stage import Budget, Toxic

DIAL_S = 10.0  # a black-holed upstream costs its own client this long and nobody else anything
BACKLOG = 4096
ACCEPTS_MAX = 256  # in one turn of the loop
ACCEPT_AGAIN_S = 0.1
PORT_MAX = 65535
PAST_TOXICS_MAX = 1000  # removed toxics whose exposure is kept


class ListenError(Exception):
    """A listener could not be opened; the text is the one that Go's net package gives."""


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


def split_address(address: str) -> tuple[str, str]:
    """Host and port of `host:port`, as Go reads it.

    Raises:
        ListenError: there is no port, or a colon too many.
    """
    host, colon, port = address.rpartition(":")
    if address and not colon:
        raise ListenError(f"address {address}: missing port in address")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ListenError(f"address {address}: too many colons in address")
    return host, port


def format_address(host: str, port: int) -> str:
    """`host:port`, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolve(address: str) -> str:
    """The numeric form of an address, by which Toxiproxy compares two of them.

    Raises:
        ListenError: the name or the port means nothing.
    """
    host, port = split_address(address)
    loop = asyncio.get_running_loop()
    if port and not port.removeprefix("-").isdigit():
        raise ListenError(f"lookup tcp/{port}: unknown port")
    if port and not 0 <= int(port) <= PORT_MAX:
        raise ListenError(f"address {port}: invalid port")
    if not host:
        return f":{int(port or 0)}"
    try:
        found = await loop.getaddrinfo(host, int(port or 0), type=socket.SOCK_STREAM)
    except OSError:
        raise ListenError(f"lookup {host}: no such host") from None
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)  # Go prefers IPv4
    name = found[0][4]
    return format_address(str(name[0]), int(name[1]))


def open_listener(resolved: str) -> socket.socket:
    """A listening socket; an empty host, or zeros, mean every interface in both families.

    Raises:
        ListenError: the system refuses the address.
    """
    host, port = split_address(resolved)
    everywhere = host in {"", "0.0.0.0", "::"}
    both = everywhere and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or (":" in host and not everywhere) else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if both:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("" if everywhere else host, int(port)))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno or 0)
        text = f"listen tcp {resolved}: bind: {reason[:1].lower()}{reason[1:]}"
        raise ListenError(text) from None
    return listener


class Proxy:
    """A named way to an upstream; down while it is not enabled."""

    def __init__(self, name: str, listen: str, upstream: str, *, seed: int, budget: Budget) -> None:
        """Be known but not yet listening."""
        self.budget = budget
        self.name = name
        self.listen = listen
        self.upstream = upstream
        self.enabled = False
        self.loop = asyncio.get_running_loop()
        self.draws: Draws = Chance(seed, name)
        self.toxics: tuple[list[Toxic], list[Toxic]] = ([], [])  # upstream, downstream
        self.past_toxics: dict[str, Toxic] = {}
        self.traffic = Traffic()
        self.connections: set[Connection] = set()
        self._openings: dict[Connection, asyncio.Task[None]] = {}
        self._listener: socket.socket | None = None

    async def start(self) -> None:
        """Listen, on the same port as before if there was one.

        Raises:
            ListenError: the address cannot be had.
        """
        if self.enabled:
            return
        try:
            resolved = await resolve(self.listen or ":0")
        except ListenError as error:
            raise ListenError(f"listen tcp: {error}") from None
        if self.enabled:  # another call was quicker while a name was looked up
            return
        listener = open_listener(resolved)
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
        self._close_listener()
        self.traffic.closed_by_disable += len(self.connections)
        for opening in self._openings.values():
            opening.cancel()
        for connection in tuple(self.connections):
            connection.abort()

    def _close_listener(self) -> None:
        if self._listener is not None:
            self.loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        """Take every client that waits; libuv would take one in each turn of a busy loop."""
        for _ in range(ACCEPTS_MAX):
            try:
                client, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # out of descriptors: let some close
                self.loop.remove_reader(listener)
                self.loop.call_later(ACCEPT_AGAIN_S, self._resume_accepting, listener)
                return
            self._admit(client)

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

    def update(self, toxic: Toxic) -> None:
        """Let a toxic's changed attributes take effect on open connections."""
        for link in self._links(toxic):
            link.update(toxic)

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic out of force; what it touched stays on record."""
        self.toxics[0 if toxic.upstream else 1].remove(toxic)
        self.past_toxics[toxic.name] = toxic
        while len(self.past_toxics) > PAST_TOXICS_MAX:
            del self.past_toxics[next(iter(self.past_toxics))]
        for link in self._links(toxic):
            link.remove(toxic)

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

    def _admit(self, client: socket.socket) -> None:
        """Count a new connection and dial for it, beside all others."""
        self.traffic.connections += 1
        connection = Connection(self, self.traffic.connections)
        self.connections.add(connection)
        client.setblocking(False)
        opening = self.loop.create_task(self._open(connection, client))
        self._openings[connection] = opening
        opening.add_done_callback(lambda _: self._openings.pop(connection, None))

    async def _open(self, connection: Connection, client: socket.socket) -> None:
        """Dial, and only then read the client: uvloop may read a new transport while paused."""
        try:
            host, port = split_address(self.upstream)
            async with asyncio.timeout(DIAL_S):
                await self.loop.create_connection(
                    lambda: connection.server, host or "localhost", int(port)
                )
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self.loop.connect_accepted_socket(lambda: connection.client, client)
        except (OSError, TimeoutError, ListenError, ValueError, OverflowError):
            self.traffic.failed_dials += connection.server.transport is None
        finally:
            if connection.client.transport is None:
                client.close()
                connection.abort()
                self.finished(connection)

    def finished(self, connection: Connection) -> None:
        """Add a closed connection's bytes to the totals, once."""
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        self.traffic.upstream_bytes += connection.up.bytes
        self.traffic.downstream_bytes += connection.down.bytes
