"""Serves one ASGI application on a port in a process of its own, and ends with its parent.

The parent holds the write end of this process's standard input. When the parent dies, by whatever
signal, the kernel closes it, and the reader below sees the end of the file.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from harness.errors import RigError, UsageError

BACKLOG_MAX = 4096
DRAIN_S = 1  # how long open streams may hold up a clean end
LEASE_GRACE_S = 2.5  # after the parent's death, how long a clean end may take

# uvicorn's own loose type: an ASGI application is a callable of three arguments.
Application = Callable[..., Any]


def bind(host: str, port: int) -> socket.socket:
    """A listening socket on `host:port`; port 0 asks the system for a free one.

    Raises:
        RigError: the address cannot be had, with the reason and the mend.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG_MAX)
    except OSError as error:
        listener.close()
        raise RigError(
            f"expected to listen on {host}:{port}, got {error.strerror or error}; "
            "choose another port, or 0 for any free one"
        ) from error
    listener.setblocking(False)
    return listener


def address(listener: socket.socket) -> str:
    """The base URL that a client of this socket uses, without a trailing slash."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def public_url(text: str) -> str:
    """The base URL by which others call a server that listens somewhere else, as in a container.

    Raises:
        UsageError: it is not of the form `http://HOST:PORT`.
    """
    parts = urlsplit(text)
    try:
        right = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        right = False
    if not right or parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise UsageError(f"expected --url http://HOST:PORT without a path, got {text!r}")
    return f"{parts.scheme}://{parts.netloc.lower()}"


def announce(url: str) -> None:
    """Print the one line of standard output that the parent waits for."""
    sys.stdout.write(f"listening {url}\n")
    sys.stdout.flush()


class _Server(uvicorn.Server):
    """A uvicorn server that says where it listens once the application is up."""

    def __init__(
        self, config: uvicorn.Config, *, url: str, drain: Callable[[], Awaitable[None]] | None
    ) -> None:
        super().__init__(config)
        self._url = url
        self._drain = drain

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            announce(self._url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._drain is not None:
            await self._drain()
        await super().shutdown(sockets)


def serve(
    app: Application,
    listener: socket.socket,
    *,
    url: str,
    stdin_lease: bool,
    # httptools leaves the blanks that trail a header's value
    protocol: type[asyncio.Protocol] = H11Protocol,
    head_max_bytes: int | None = None,
    drain: Callable[[], Awaitable[None]] | None = None,
) -> None:
    """Serve `app` until a signal or, under `stdin_lease`, the end of standard input.

    Prints `listening <url>` when the first request can be answered. `protocol` speaks on each
    connection; heads longer than `head_max_bytes` (64 KiB when left out) are refused.
    Told to end, it first waits for `drain`, which is to bring what is under way to its end, and
    bounded by itself.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    config = uvicorn.Config(
        app,
        http=protocol,
        h11_max_incomplete_event_size=head_max_bytes,
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        backlog=BACKLOG_MAX,
        timeout_keep_alive=120,  # an agent that thinks for a minute keeps its connection
        timeout_graceful_shutdown=DRAIN_S,
    )
    server = _Server(config, url=url, drain=drain)
    if stdin_lease:
        threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    anyio.run(server.serve, [listener], backend_options={"use_uvloop": sys.platform != "win32"})


def _end_with_parent(server: uvicorn.Server) -> None:
    """Wait for the end of standard input, then end cleanly, and surely soon after."""
    with suppress(OSError):  # no standard input at all is an end, too
        while os.read(0, 4096):
            pass  # the lease carries no words
    server.should_exit = True
    time.sleep(LEASE_GRACE_S)
    # A blocked loop never looks at `should_exit`; the port must come free all the same.
    os._exit(0)
