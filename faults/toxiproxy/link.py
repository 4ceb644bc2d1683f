"""The data path: two sockets, a link for each direction, and nothing between them but toxics.

A link without toxics writes what it reads in the same callback. Back-pressure is the transport's
own: a far side that does not read pauses the near side's reading, so nothing grows and nothing here
ever waits, which is why a control call can never be stuck behind data.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections.abc import Callable
from typing import Protocol, cast

from faults.toxiproxy.stage import Next, Stage, Toxic
from faults.toxiproxy.toxics import STAGES

PIECE_BYTES = 32 * 1024  # toxics see pieces of at most this size, as in the original
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Draws(Protocol):
    """Reproducible chance: the same answer for the same toxic and connection number."""

    def draw(self, toxic: Toxic, number: int) -> float:
        """A number in [0, 1) that decides whether a toxic hits a connection."""

    def rng(self, toxic: Toxic, number: int) -> random.Random:
        """A source of numbers for one toxic on one connection."""


class Link:
    """One direction of one connection: from a source side to a far side, through the toxics."""

    __slots__ = (
        "_early", "_source", "bytes", "closed", "connection", "far", "head", "holds", "loop",
        "stages", "upstream", "write",
    )  # fmt: skip

    def __init__(self, connection: Connection, *, upstream: bool) -> None:
        """Hold early bytes until the far side is there."""
        self.connection = connection
        self.loop = connection.loop
        self.upstream = upstream
        self.bytes = 0
        self.closed = False  # the far side has been told, or is gone
        self.head: Stage | None = None
        self.stages: list[Stage] = []
        self.far: asyncio.Transport | None = None
        self._source: asyncio.Transport | None = None
        self.holds = 0
        self._early: list[bytes] = []
        self.write: Callable[[bytes], object] = self._early.append

    def join(self, source: asyncio.Transport, far: asyncio.Transport, toxics: list[Toxic]) -> None:
        """Start carrying between two open transports."""
        self._source = source
        self.far = far
        self.write = far.write
        for toxic in toxics:
            self.add(toxic)
        for data in self._early:
            self.carry(data)
        self._early.clear()

    def carry(self, data: bytes) -> None:
        """Send a read's bytes down the chain, in pieces."""
        if self.head is None:
            self.write(data)
            return
        now_s = time.monotonic()
        if len(data) <= PIECE_BYTES:
            self.head.feed(data, now_s)
            return
        for start in range(0, len(data), PIECE_BYTES):
            # A stage may have ended the link, or been removed, at an earlier piece.
            (self.head or self).feed(data[start : start + PIECE_BYTES], now_s)

    def source_ended(self) -> None:
        """Pass the source's end down the chain."""
        (self.head or self).end()

    def feed(self, piece: bytes, at_s: float) -> None:  # noqa: ARG002 - the chain's last place
        """Write a piece that has passed every toxic."""
        if not self.closed:
            self.write(piece)

    def end(self) -> None:
        """Close the far side once what was written has gone out."""
        if not self.closed:
            self.closed = True
            self.write = _forget
            if self.far is not None:
                self.far.close()

    def far_lost(self) -> None:
        """Nobody is left to write to."""
        self.closed = True
        self.write = _forget
        for stage in self.stages:
            stage.drop()

    def hold(self) -> None:
        """Stop reading the source."""
        self.holds += 1
        if self.holds == 1 and self._source is not None and not self._source.is_closing():
            self._source.pause_reading()

    def unhold(self) -> None:
        """Read the source again once nobody holds it."""
        self.holds -= 1
        if self.holds == 0 and self._source is not None and not self._source.is_closing():
            self._source.resume_reading()

    def reset(self) -> None:
        """Break the whole connection with RST."""
        self.connection.reset()

    def add(self, toxic: Toxic) -> None:
        """Put a toxic at the end of the chain; bytes held before it will pass through it."""
        if self.closed:
            return
        self.stages.append(self._stage(toxic, self))
        self._wire()

    def update(self, toxic: Toxic) -> None:
        """Let a toxic's new attributes and toxicity take effect."""
        for index, stage in enumerate(self.stages):
            if stage.toxic is toxic:
                fresh = self._stage_type(toxic)
                if type(stage) is fresh:
                    stage.changed()
                    return
                replacement = self._stage(toxic, stage.after)
                self.stages[index] = replacement
                self._wire()
                stage.release()
                return

    def remove(self, toxic: Toxic) -> None:
        """Take a toxic out; what it held goes on, in order."""
        for index, stage in enumerate(self.stages):
            if stage.toxic is toxic:
                # Nothing is read between these lines, so held bytes stay ahead of new ones.
                del self.stages[index]
                self._wire()
                if toxic.type == "timeout":
                    stage.drop()
                    stage.after.end()
                else:
                    stage.removed()
                return

    def _stage_type(self, toxic: Toxic) -> type[Stage]:
        connection = self.connection
        if connection.draws.draw(toxic, connection.number) < toxic.toxicity:
            return STAGES[toxic.type]
        return Stage

    def _stage(self, toxic: Toxic, after: Next) -> Stage:
        connection = self.connection
        return self._stage_type(toxic)(
            toxic, self, after, lambda: connection.draws.rng(toxic, connection.number)
        )

    def _wire(self) -> None:
        after: Next = self
        for stage in reversed(self.stages):
            stage.after = after
            after = stage
        self.head = self.stages[0] if self.stages else None


def _forget(data: bytes) -> None:
    """Take bytes for a side that is gone."""


class Side(asyncio.Protocol):
    """One socket of a connection."""

    __slots__ = ("connection", "into", "out", "transport")

    def __init__(self, connection: Connection, *, out: Link, into: Link) -> None:
        """Read into `out`; be written to by `into`."""
        self.connection = connection
        self.out = out
        self.into = into
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Tell the connection that this side is open."""
        self.transport = cast("asyncio.Transport", transport)
        self.connection.opened(self)

    def data_received(self, data: bytes) -> None:
        """Carry what was read; the bare path is a single write."""
        link = self.out
        link.bytes += len(data)
        if link.head is None:
            link.write(data)
        else:
            link.carry(data)

    def eof_received(self) -> bool:
        """Pass the end on; stay open, for toxics may still have something to write here."""
        self.out.source_ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - any end is an end
        """Tell the connection that this side is gone."""
        self.connection.lost(self)

    def pause_writing(self) -> None:
        """Stop whoever writes here."""
        self.into.hold()

    def resume_writing(self) -> None:
        """Let whoever writes here go on."""
        self.into.unhold()


class Owner(Protocol):
    """What a connection needs from the proxy that accepted it."""

    loop: asyncio.AbstractEventLoop
    draws: Draws

    def admitted(self, connection: Connection) -> int:
        """Register a new connection, start its dial, and give its number, from 1."""

    def joined(self, connection: Connection) -> tuple[list[Toxic], list[Toxic]]:
        """The toxics in force, upstream and downstream."""

    def finished(self, connection: Connection) -> None:
        """Forget a connection whose sides are both gone."""


class Connection:
    """A client, the upstream dialled for it, and the two links between them."""

    __slots__ = (
        "_open", "client", "down", "draws", "loop", "number", "owner", "server", "up",
    )  # fmt: skip

    def __init__(self, owner: Owner) -> None:
        """Be ready for the client's transport."""
        self.owner = owner
        self.loop = owner.loop
        self.draws = owner.draws
        self.number = 0
        self.up = Link(self, upstream=True)
        self.down = Link(self, upstream=False)
        self.client = Side(self, out=self.up, into=self.down)
        self.server = Side(self, out=self.down, into=self.up)
        self._open = 0

    def opened(self, side: Side) -> None:
        """Client: wait for the upstream. Upstream: start carrying."""
        self._open += 1
        if side is self.client:
            self.number = self.owner.admitted(self)
            if side.transport is not None and self.server.transport is None:
                side.transport.pause_reading()
            return
        client, server = self.client.transport, side.transport
        assert server is not None
        if client is None or client.is_closing():
            server.abort()
            return
        upstream, downstream = self.owner.joined(self)
        self.up.join(client, server, upstream)
        self.down.join(server, client, downstream)
        if not client.is_closing() and self.up.holds == 0:
            client.resume_reading()

    def lost(self, side: Side) -> None:
        """One socket is gone: the bytes it sent still travel, the bytes for it do not."""
        self._open -= 1
        side.into.far_lost()
        side.out.source_ended()
        if self._open == 0:
            self.up.far_lost()
            self.down.far_lost()
            self.owner.finished(self)

    def abort(self) -> None:
        """Close both sockets now."""
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.abort()
        self.up.far_lost()
        self.down.far_lost()

    def reset(self) -> None:
        """Close both sockets now, with RST."""
        for side in (self.client, self.server):
            if side.transport is not None:
                raw = side.transport.get_extra_info("socket")
                if raw is not None and not side.transport.is_closing():
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()
