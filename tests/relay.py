"""A TCP relay whose server can be taken away and replaced, and which counts whom it turned down."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Final, Self

_CHUNK: Final = 65_536
_WAIT_S: Final = 5.0
_POLL_S: Final = 0.1


class Relay:
    """Listens on a port of the kernel's choice; a context manager around its threads."""

    def __init__(self, backend: int | None) -> None:
        """`backend` is the port behind it; None closes every connection as soon as it is there."""
        self.backend = backend
        self.refused = 0
        self.carried_bytes = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(_POLL_S)
        self.port: int = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(_WAIT_S)
        self._listener.close()

    def _serve(self) -> None:
        while not self._over.is_set():
            try:
                near, _ = self._listener.accept()
            except TimeoutError:
                continue
            far = self._dial()
            if far is None:
                self.refused += 1
                near.close()
                continue
            threading.Thread(target=self._carry, args=(near, far), daemon=True).start()

    def _dial(self) -> socket.socket | None:
        if self.backend is None:
            return None
        with suppress(OSError):
            return socket.create_connection(("127.0.0.1", self.backend), _WAIT_S)
        return None

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        """Carry bytes both ways; only when neither is in use any more are they closed."""
        with near, far:
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            back.start()
            self._pump(near, far)
            back.join()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        """Carry bytes one way; when that ends, so does the other."""
        source.settimeout(_POLL_S)
        with suppress(OSError):
            while not self._over.is_set():
                try:
                    data = source.recv(_CHUNK)
                except TimeoutError:
                    continue
                if not data:
                    break
                sink.sendall(data)
                self.carried_bytes += len(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
