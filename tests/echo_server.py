"""A small server on the official SDK that a run may use as its target, over any socket.

In this process with `standing`, or as a program: `python -m tests.echo_server --port N ...`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import trustme
import uvicorn
from anyio import fail_after
from mcp.server import MCPServer
from mcp.server.transport_security import TransportSecuritySettings

START_S = 15


def server() -> MCPServer:
    """One with the tool `echo`."""
    mcp = MCPServer("echoing", version="1")

    @mcp.tool()
    async def echo(text: str) -> str:
        """Say it back."""
        return text

    @mcp.tool()
    async def slow(seconds: float) -> str:
        """Take a while."""
        await asyncio.sleep(seconds)
        return "done"

    return mcp


def config(app: Any, **options: Any) -> uvicorn.Config:
    """How uvicorn serves it: quietly, and gone soon."""
    return uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1, **options)


@contextlib.asynccontextmanager
async def standing(
    app: Any, *, family: socket.AddressFamily = socket.AF_INET, **options: Any
) -> AsyncIterator[str]:
    """Its `host:port`, for as long as the block lasts."""
    runner = uvicorn.Server(config(app, **options))
    host = "::1" if family is socket.AF_INET6 else "127.0.0.1"
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        port = listener.getsockname()[1]
        task = asyncio.ensure_future(runner._serve(sockets=[listener]))
        try:
            with fail_after(START_S):
                while not runner.started and not task.done():  # noqa: ASYNC110 - no event tells
                    await asyncio.sleep(0.005)
            yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        finally:
            runner.should_exit = True
            with fail_after(START_S):
                await task


class Papers:
    """An authority, a server's certificate and a client's, as PEM files in a folder."""

    def __init__(self, folder: Path, *names: str) -> None:
        """Issue them for `names`, or for this machine."""
        self.authority = trustme.CA()
        issued = self.authority.issue_cert(*(names or ("localhost", "127.0.0.1", "::1")))
        self.ca = str(folder / "ca.pem")
        self.certificate, self.key = str(folder / "server.pem"), str(folder / "server.key")
        self.authority.cert_pem.write_to_path(self.ca)
        for number, blob in enumerate(issued.cert_chain_pems):
            blob.write_to_path(self.certificate, append=number > 0)
        issued.private_key_pem.write_to_path(self.key)
        self.client = str(folder / "client.pem")
        self.authority.issue_cert("client.test").private_key_and_cert_chain_pem.write_to_path(
            self.client
        )

    def options(self, *, mutual: bool = False) -> dict[str, Any]:
        """What uvicorn wants to know; `mutual` asks the client for its certificate."""
        found: dict[str, Any] = {"ssl_certfile": self.certificate, "ssl_keyfile": self.key}
        if mutual:
            found |= {"ssl_ca_certs": self.ca, "ssl_cert_reqs": int(ssl.CERT_REQUIRED)}
        return found


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--socket")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--sse", action="store_true")
    asked = parser.parse_args()
    mcp = server()
    # A socket's clients say `Host: localhost`, without the port that the SDK's guard wants there.
    lax = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    guard = lax if asked.socket else None
    app = (
        mcp.sse_app(transport_security=guard)
        if asked.sse
        else mcp.streamable_http_app(transport_security=guard)
    )
    where = {"uds": asked.socket} if asked.socket else {"host": asked.host, "port": asked.port}
    papers = {"ssl_certfile": asked.certificate, "ssl_keyfile": asked.key}
    uvicorn.Server(config(app, **where, **papers)).run()


if __name__ == "__main__":
    main()
