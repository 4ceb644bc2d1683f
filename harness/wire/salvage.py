"""What a peer said before it reset a connection we were still sending on."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable
from typing import Final

from harness.wire.limits import KIB

SEGMENT_BYTES: Final = 64 * KIB
BYTES_MAX: Final = 1024 * KIB


class Salvage:
    """A second descriptor of a socket, which outlives the loop's close of the first.

    A server that refuses a large body answers 413 and resets; the loop sees its own write fail and
    closes without reading. The answer is then still in the kernel's buffer.
    """

    __slots__ = ("_socket",)

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=os.dup(descriptor))
        self._socket.setblocking(False)

    def read(self, take: Callable[[bytes], None]) -> None:
        """Hand every segment that is still there to `take`, within a bound."""
        received_bytes = 0
        with contextlib.suppress(OSError):
            while received_bytes < BYTES_MAX:
                data = self._socket.recv(SEGMENT_BYTES)
                if not data:
                    break
                received_bytes += len(data)
                take(data)

    def close(self) -> None:
        """Let the socket go."""
        self._socket.close()
