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

from faults.toxiproxy.path.alarm import Alarm
from faults.toxiproxy.path.rooms import ROOMS
from faults.toxiproxy.path.stage import Budget, Next, Stage, Toxic
from faults.toxiproxy.path.toxics import STAGES

SMALL_BYTES = 4096  # cheaper to copy than to lend
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
        "_early", "_ended_early", "_lent", "_source", "alarm", "budget", "bytes", "closed",
        "connection", "far", "full_reads", "head", "holds", "stages", "stalled", "upstream",
        "withheld_bytes", "write",
    )  # fmt: skip

    def __init__(self, connection: Connection, *, upstream: bool) -> None:
        """Hold early bytes until the far side is there."""
        self.connection = connection
        self.alarm = connection.owner.alarm
        self.budget = connection.owner.budget
        self.upstream = upstream
        self.bytes = 0
        self.withheld_bytes = 0  # what has come in but not gone out: held, dropped or cut off
        self.closed = False  # the far side has been told, or is gone
        self.head: Stage | None = None
        self.stages: list[Stage] = []
        self.far: asyncio.Transport | None = None
        self._source: asyncio.Transport | None = None
        self.holds = 0
        self.full_reads = 0  # since it last gave way
        self.stalled = False
        self._lent: list[memoryview] = []  # pieces of rooms that the far side has yet to write out
        self._early: list[bytes] = []
        self._ended_early = False
        self.write: Callable[[bytes | memoryview], object] = self._keep

    def join(self, source: asyncio.Transport, far: asyncio.Transport, toxics: list[Toxic]) -> None:
        """Start carrying between two open transports."""
        self._source = source
        self.far = far
        if self.closed:  # the far side has come and gone
            return
        # From the first byte that the system does not take: so whoever writes knows at once.
        far.set_write_buffer_limits(high=0)
        self.write = far.write
        for toxic in toxics:
            self.add(toxic)
        for data in self._early:
            self.carry(data)
        self._early.clear()
        if self._ended_early:
            self.source_ended()

    def _keep(self, data: bytes | memoryview) -> None:
        self._early.append(bytes(data))

    @property
    def moved_bytes(self) -> int:
        """What has come in on the whole connection, in both directions."""
        return self.connection.up.bytes + self.connection.down.bytes

    def carry(self, data: bytes) -> None:
        """Send bytes down the chain."""
        self.withheld_bytes += len(data)
        (self.head or self).feed(data, time.monotonic())

    def settle(self, piece: memoryview) -> None:
        """Give back the room of a piece that was written, as soon as all of it has gone out."""
        if self.stalled:
            self._lent.append(piece)
        else:
            ROOMS.take_back(piece)

    def _withhold(self, data: bytes | memoryview) -> None:
        """Take bytes for a side that is gone."""
        self.withheld_bytes += len(data)

    def source_ended(self) -> None:
        """Pass the source's end down the chain."""
        (self.head or self).end()

    def feed(self, piece: bytes | memoryview, at_s: float) -> None:  # noqa: ARG002 - written now
        """Write a piece that has passed every toxic."""
        if not self.closed:
            self.withheld_bytes -= len(piece)
            self.write(piece)
            if isinstance(piece, memoryview):
                self.settle(piece)

    def end(self) -> None:
        """Close the far side once what was written has gone out."""
        if self.far is None:
            self._ended_early = True
        elif not self.closed:
            self.closed = True
            self.write = self._withhold
            self.far.close()

    def far_lost(self) -> None:
        """Nobody is left to write to."""
        self.closed = True
        self.write = self._withhold
        self._lent.clear()
        for stage in self.stages:
            stage.drop()

    def far_stalled(self) -> None:
        """The far side has more than it can take."""
        self.stalled = True
        self.hold()

    def far_resumed(self) -> None:
        """The far side takes bytes again."""
        self.stalled = False
        while self._lent:  # all that was written has gone out
            ROOMS.take_back(self._lent.pop())
        self.unhold()
        for stage in tuple(self.stages):
            stage.resume()

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

    def give_way(self) -> None:
        """Read on in the next turn of the loop, so that others are read in between."""
        self.full_reads = 0
        self.hold()
        asyncio.get_running_loop().call_soon(self.unhold)

    def reset(self) -> None:
        """Break the whole connection with RST."""
        self.connection.reset()

    def abort(self) -> None:
        """Close the whole connection now."""
        self.connection.abort()

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
                replacement.hits, replacement.bytes = stage.hits, stage.bytes
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


class Side(asyncio.BufferedProtocol):
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

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - one size serves
        """Room for one read."""
        return ROOMS.now

    def buffer_updated(self, nbytes: int) -> None:
        """Carry what was read; large reads are not even copied where that can be."""
        link = self.out
        link.bytes += nbytes
        if link.head is None and nbytes <= SMALL_BYTES:
            link.write(bytes(ROOMS.now[:nbytes]))
            return
        room_bytes = len(ROOMS.now)
        if link.head is None:
            link.write(ROOMS.now[:nbytes])
            if link.stalled:
                link.settle(ROOMS.lend())
        elif nbytes * 4 < room_bytes * 3:
            link.carry(bytes(ROOMS.now[:nbytes]))
        else:  # a room that is held is mostly full
            link.withheld_bytes += nbytes
            link.head.feed_view(ROOMS.lend()[:nbytes], time.monotonic())
        if nbytes == room_bytes:
            link.full_reads += 1
            if link.full_reads >= ROOMS.full_reads_max and not link.holds:
                link.give_way()

    def eof_received(self) -> bool:
        """Pass the end on; stay open, for toxics may still have something to write here."""
        self.out.source_ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - any end is an end
        """Tell the connection that this side is gone."""
        self.connection.lost(self)

    def pause_writing(self) -> None:
        """Stop whoever writes here."""
        self.into.far_stalled()

    def resume_writing(self) -> None:
        """Let whoever writes here go on."""
        self.into.far_resumed()


class Owner(Protocol):
    """What a connection needs from the proxy that accepted it."""

    alarm: Alarm
    draws: Draws
    budget: Budget
    toxics: tuple[list[Toxic], list[Toxic]]  # in force, upstream and downstream

    def finished(self, connection: Connection) -> None:
        """Forget a connection whose sides are both gone."""


class Connection:
    """A client, the upstream dialled for it, and the two links between them."""

    __slots__ = (
        "_open", "client", "down", "draws", "number", "owner", "server", "up",
    )  # fmt: skip

    def __init__(self, owner: Owner, number: int) -> None:
        """Be ready for both transports; `number` counts the proxy's connections, from 1."""
        self.owner = owner
        self.draws = owner.draws
        self.number = number
        self.up = Link(self, upstream=True)
        self.down = Link(self, upstream=False)
        self.client = Side(self, out=self.up, into=self.down)
        self.server = Side(self, out=self.down, into=self.up)
        self._open = 0

    def opened(self, side: Side) -> None:  # noqa: ARG002 - either may come first
        """Start carrying once both sides are there."""
        self._open += 1
        if self._open == 1:
            ROOMS.opened()
        client, server = self.client.transport, self.server.transport
        if client is None or server is None:
            return
        upstream, downstream = self.owner.toxics
        self.up.join(client, server, upstream)
        self.down.join(server, client, downstream)

    def lost(self, side: Side) -> None:
        """One socket is gone: the bytes it sent still travel, the bytes for it do not."""
        self._open -= 1
        if self._open == 0:
            ROOMS.closed()
        side.into.far_lost()
        side.out.source_ended()
        if self._open == 0 and self.client.transport is not None:
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
