"""The HTTP front: uvicorn, which refuses what is no HTTP in the words of Go's server."""

from __future__ import annotations

import http
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import h11
import uvicorn

from faults.toxiproxy.control.api import Api
from faults.toxiproxy.control.deadlines import IDLE_S, TimedProtocol

HEADER_BYTES_MAX = 1024 * 1024 + 4096  # of one request, as in Go's server
_NO_HOST = "Missing mandatory Host: header"


class Protocol(TimedProtocol):
    """One connection to the API."""

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's own words
        """Answer a request that cannot be read, and close."""
        error = sys.exception()
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        said = f"{hint} {http.HTTPStatus(hint).phrase}"
        if str(error) == _NO_HOST:
            said += ": missing required Host header"
        told = "Unsupported transfer encoding" if hint == http.HTTPStatus.NOT_IMPLEMENTED else said
        head = f"HTTP/1.1 {said}\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close"
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(f"{head}\r\n\r\n{told}".encode())
        self.transport.close()


class Front(uvicorn.Server):
    """uvicorn without its own signal handling, which would end this process by the signal."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs this."""
        yield


def front(api: Api, protocol: type[Protocol] = Protocol) -> Front:
    """A server for an API; `serve` takes the sockets, and ends once `should_exit` is set."""
    return Front(
        uvicorn.Config(
            api,
            loop="none",
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            date_header=False,  # the API writes it, in the original's case
            h11_max_incomplete_event_size=HEADER_BYTES_MAX,
            timeout_keep_alive=IDLE_S,
            timeout_graceful_shutdown=1,
        )
    )
