"""Cuts a byte stream into lines, however it arrives, and holds no more of one than it may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HEAD_BYTES: Final = 512  # of a line that is too long, what is kept to tell what it was
SMALL_BYTES: Final = 4096  # pieces below this are joined as they come: each alone costs a header


@dataclass(frozen=True, slots=True)
class Oversized:
    """A line that was longer than allowed: how it began, and its length in bytes."""

    head: bytes
    size_bytes: int


class Lines:
    """The lines of one stream; what has no line end yet is kept, up to a limit."""

    __slots__ = ("_head", "_limit_bytes", "_pieces", "size_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes | bytearray] = []
        self.size_bytes = 0  # of the line that has begun, dropped bytes included
        self._head = b""  # of a line that is too long

    @property
    def begun(self) -> bool:
        """Whether a line has begun that has no end yet."""
        return self.size_bytes > 0

    @property
    def head(self) -> bytes:
        """How the line that has begun begins."""
        if self._head:
            return self._head
        return b"".join(self._pieces[:4])[:HEAD_BYTES]

    def feed(self, data: bytes) -> list[bytes | Oversized]:
        """The lines that `data` completes, without their ends; CR before LF is part of an end."""
        whole: list[bytes | Oversized] = []
        first, *rest = data.split(b"\n")
        self._take(first)
        for piece in rest:
            whole.append(self._end())
            self._take(piece)
        return whole

    def _take(self, piece: bytes) -> None:
        if not piece:
            return
        self.size_bytes += len(piece)
        if self._head:
            return
        if self.size_bytes > self._limit_bytes:
            self._pieces.append(piece)
            self._head = b"".join(self._pieces)[:HEAD_BYTES]
            self._pieces.clear()
        elif self._pieces and len(self._pieces[-1]) < SMALL_BYTES:
            last = self._pieces[-1]
            if not isinstance(last, bytearray):
                last = self._pieces[-1] = bytearray(last)
            last += piece
        else:
            self._pieces.append(piece)

    def _end(self) -> bytes | Oversized:
        pieces, size, head = self._pieces, self.size_bytes, self._head
        self._pieces, self.size_bytes, self._head = [], 0, b""
        if head:
            return Oversized(head, size)
        line = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        return line.removesuffix(b"\r")
