"""The memory that all sides of all connections read into, one after the other."""

from __future__ import annotations

ROOM_BYTES = 256 * 1024
# While many connections are open, each may take less in its turn, or two hundred busy ones would
# hold up a control call for half a second; and as many stalled ones would hold four times as much.
CROWDED_BYTES = 64 * 1024
CROWD = 32
# Of all connections in one turn of the loop, which by itself makes it 32 of each. To stop and start
# reading costs as much as a room, so a few connections are left alone.
FULL_READS_MAX = 128
SPARE_BYTES_MAX = 32 * 1024 * 1024
_KEPT_BYTES = 8 * 1024 * 1024


class Rooms:
    """One room at a time, which is read into and written out of before anyone else reads.

    A far side that does not take everything at once keeps the room until it has, and so does a
    toxic that delays what filled one: to copy it would cost as much again as to read it.
    """

    __slots__ = ("_open", "_spare", "crowded", "full_reads_max", "now")

    def __init__(self) -> None:
        """Have one room."""
        self._open = 0
        self._spare: list[memoryview] = []
        self.crowded = False  # whether each should take little in its turn
        self.full_reads_max = FULL_READS_MAX  # that a connection may make before it gives way
        self.now = memoryview(bytearray(ROOM_BYTES))  # where the next read goes

    def opened(self) -> None:
        """Count a connection."""
        self._fit(self._open + 1)

    def closed(self) -> None:
        """Count one less."""
        self._fit(self._open - 1)

    def lend(self) -> memoryview:
        """The room that was just read into; the next read gets another."""
        lent = self.now
        self.now = self._spare.pop() if self._spare else memoryview(bytearray(len(lent)))
        return lent

    def take_back(self, piece: memoryview) -> None:
        """Have the room of a piece again, all of which has gone out."""
        room = memoryview(piece.obj)
        if len(room) == len(self.now) and len(room) * len(self._spare) < SPARE_BYTES_MAX:
            self._spare.append(room)

    def _fit(self, connections: int) -> None:
        self._open = connections
        crowded = connections > CROWD
        self.full_reads_max = 1 if crowded else FULL_READS_MAX // max(connections, 1)
        if crowded != self.crowded:
            self.crowded = crowded
            self.now = memoryview(bytearray(CROWDED_BYTES if crowded else ROOM_BYTES))
            self._spare.clear()


ROOMS = Rooms()


def keep_freed_memory() -> None:
    """Let the process keep twice 8 MiB of what it frees, for what it will hold next.

    glibc gives memory back as soon as it can, and bytes that a toxic holds for some milliseconds
    would be paid for with a page fault every 4 KiB. It gives back later, and maps less, once a
    piece as large as this has come and gone; other systems' libraries take no notice.
    """
    bytearray(_KEPT_BYTES)
