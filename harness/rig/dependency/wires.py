"""The dependency's connections: counted, and within reach, so that one can be cut or reset."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

_RESET: Final = struct.pack("ii", 1, 0)  # linger for no time at all: the kernel sends a reset


class Wires:
    """Every connection there is, and how many are waited on."""

    def __init__(self) -> None:
        """Begin with none."""
        self.open = 0
        self.opened = 0
        self.busy = 0
        self.busy_max = 0  # since it was last looked at
        self.refused = 0

    def take(self) -> None:
        """A request has come."""
        self.busy += 1
        self.busy_max = max(self.busy_max, self.busy)

    def give(self) -> None:
        """It is done with."""
        self.busy -= 1


class Wire(H11Protocol):
    """One connection; a request finds it as `state.wire`, and `state.wires` is the book."""

    number = 0
    counted = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Count it and put it within reach of its requests."""
        super().connection_made(transport)
        wires = _wires(self.app_state)
        wires.open += 1
        wires.opened += 1
        self.number = wires.opened
        self.app_state = {**self.app_state, "wire": self}

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it out."""
        super().connection_lost(exc)
        self.forget()

    def forget(self) -> None:
        """Count it out; it is gone, or squall's own."""
        if self.counted:
            _wires(self.app_state).open -= 1
        self.counted = False

    @property
    def gone(self) -> bool:
        """Whether nothing more can be said on it."""
        return bool(self.transport.is_closing())

    def cut(self) -> None:
        """Close it after what has been said."""
        self.transport.close()

    def reset(self) -> None:
        """Reset it, whatever has been said."""
        raw = self.transport.get_extra_info("socket")
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()


def _wires(state: dict[str, Any]) -> Wires:
    wires: Wires = state["wires"]
    return wires
