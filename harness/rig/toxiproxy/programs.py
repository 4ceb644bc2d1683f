"""Starts a Toxiproxy server of our own, and proves that it has ended.

Its end is the proof that whatever it had broken is whole again: proxies and toxics live in its
memory and nowhere else.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio

import faults
from harness.errors import NotHealedError, RigError
from harness.rig.process import Child, Origin, child, leashed

UP_S = 10.0  # how long a started server may take to listen
GONE_S = 5.0  # how long a killed server may take to leave its port
LOG_NAME = "toxiproxy.log"


@dataclass(frozen=True, kw_only=True)
class Started:
    """A server of our own, for as long as its process runs."""

    url: str
    origin: Origin | None


@asynccontextmanager
async def embedded(log_dir: Path | None) -> AsyncIterator[Started]:
    """The server in `faults/toxiproxy`, in a process of its own.

    Raises:
        RigError: it does not start.
        NotHealedError: it is still there at the end.
    """
    # -P: a module in the user's folder must not stand in for ours or Python's own.
    argv = (sys.executable, "-P", "-m", "faults.toxiproxy", "--port", "0", "--stdin-lease")
    root = str(Path(faults.__file__).parents[1])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    url = ""
    try:
        async with child(argv, env=env, ready="listening ", log=_log(log_dir)) as running:
            url = f"http://{running.ready_line.split()[1]}"
            yield Started(url=url, origin=running.origin)
    finally:
        await _prove_ended(url)


@asynccontextmanager
async def program(path: str, log_dir: Path | None) -> AsyncIterator[Started]:
    """Shopify's server, which says nothing to wait for and takes no port 0.

    Raises:
        RigError: it does not start.
        NotHealedError: it is still there at the end.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    argv = leashed((path, "-host", "127.0.0.1", "-port", str(port)))
    url = f"http://127.0.0.1:{port}"
    try:
        async with child(argv, ready=None, log=_log(log_dir)) as running:
            await _await_listening(running, path, port)
            yield Started(url=url, origin=running.origin)
    finally:
        await _prove_ended(url)


def _log(log_dir: Path | None) -> Path | None:
    return None if log_dir is None else log_dir / LOG_NAME


async def _await_listening(running: Child, path: str, port: int) -> None:
    with anyio.move_on_after(UP_S):
        # Another program's first accept is no event of ours.
        while running.returncode is None:
            if await _listens(port):
                return
            await anyio.sleep(0.02)
    if running.returncode is None:
        raise RigError(f"{path} did not listen on port {port} within {UP_S:g} s")
    raise RigError(f"{path} ended with status {running.returncode} when it was started")


async def _listens(port: int) -> bool:
    try:
        await (await anyio.connect_tcp("127.0.0.1", port)).aclose()
    except OSError:
        return False
    return True


async def _prove_ended(url: str) -> None:
    """Nothing may answer where our server was; it has been killed by now, if not yet buried.

    Raises:
        NotHealedError: something does.
    """
    port = urlsplit(url).port
    if port is None:
        return
    with anyio.CancelScope(shield=True), anyio.move_on_after(GONE_S):
        # A process that is no child of ours ends without an event for us.
        while await _listens(port):  # noqa: ASYNC110
            await anyio.sleep(0.01)
        return
    raise NotHealedError(
        f"the Toxiproxy started at {url} is still there after it was killed; "
        f"find it with: lsof -i :{port}"
    )
