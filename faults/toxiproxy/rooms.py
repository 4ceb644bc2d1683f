"""The memory that all sides of all connections read into, one after the other."""

from __future__ import annotations

ROOM_BYTES = 256 * 1024
# While many connections are open, each may take less in its turn: 256 KiB each would let two
# hundred busy ones hold up a control call, and as many stalled ones hold four times the memory.
CROWDED_BYTES = 64 * 1024
CROWD = 32
SPARE_BYTES_MAX = 32 * 1024 * 1024
_KEPT_BYTES = 8 * 1024 * 1024


class Rooms:
    """One room at a time, which is read into and written out of before anyone else reads.

    A far side that does not take everything at once keeps the room until it has, and so does a
    toxic that delays what filled one: to copy it would cost as much again as to read it.
    """

    __slots__ = ("_open", "_spare", "now")

    def __init__(self) -> None:
        """Have one room."""
        self._open = 0
        self._spare: list[memoryview] = []
        self.now = memoryview(bytearray(ROOM_BYTES))  # where the next read goes

    def opened(self) -> None:
        """Count a connection."""
        self._open += 1
        self._fit()

    def closed(self) -> None:
        """Count one less."""
        self._open -= 1
        self._fit()

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

    def _fit(self) -> None:
        size_bytes = ROOM_BYTES if self._open <= CROWD else CROWDED_BYTES
        if size_bytes != len(self.now):
            self.now = memoryview(bytearray(size_bytes))
            self._spare.clear()


ROOMS = Rooms()


def keep_freed_memory() -> None:
    """Let the process keep twice 8 MiB of what it frees, for what it will hold next.

    glibc gives memory back as soon as it can, and bytes that a toxic holds for some milliseconds
    would be paid for with a page fault every 4 KiB. It gives back later, and maps less, once a
    piece as large as this has come and gone; other systems' libraries take no notice.
    """
    bytearray(_KEPT_BYTES)
