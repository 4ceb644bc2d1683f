"""A Toxiproxy server for a block: the one that is named, or one that is started for it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx

from harness import wal as wals
from harness.errors import NotHealedError, RigError
from harness.rig.process import Origin
from harness.rig.toxiproxy.answers import RefusalError, read_version
from harness.rig.toxiproxy.library import CALL_S, Library
from harness.rig.toxiproxy.programs import embedded, program
from harness.rig.toxiproxy.server import ServerKind, Toxiproxy, ToxiproxyServer
from harness.wal import Wal


@asynccontextmanager
async def serve(
    *, url: str | None = None, prefer_binary: bool = True, log_dir: Path | None
) -> AsyncIterator[Toxiproxy]:
    """A Toxiproxy server for the block, and none of our proxies left on it afterwards.

    With `url`, that server, which is never started, stopped or reset. Otherwise
    `toxiproxy-server` from PATH (unless `prefer_binary` is false), else the embedded one; both run
    on a free loopback port and end with the block, or with us.

    Raises:
        RigError: no server can be started or reached.
        NotHealedError: at the end, a proxy of ours cannot be shown to be gone.
    """
    async with AsyncExitStack() as stack:
        kind: ServerKind
        origin: Origin | None = None
        binary = shutil.which("toxiproxy-server") if prefer_binary else None
        wal = wals.CURRENT.get()
        if url is not None:
            kind = "external"
        elif binary is not None:
            kind = "shopify-process"
        else:
            kind = "embedded"
        kept: list[Toxiproxy] = []
        stack.push(lambda *failure: _end_of_own(kept, failure[1]))
        if kind != "external":
            standing = program(binary, log_dir) if binary is not None else embedded(log_dir)
            started = await stack.enter_async_context(standing)
            url, origin = started.url, started.origin
        assert url is not None
        server = await _connect(url.rstrip("/"), kind, stack, origin=origin, wal=wal)
        kept += [server] if kind != "external" else []
        try:
            async with _beating(server):
                yield server
        finally:
            with anyio.CancelScope(shield=True):
                await server.heal()


def _end_of_own(ended: Sequence[Toxiproxy], failure: BaseException | None) -> bool:
    """Know that what lived in a server of our own has ended with it, if that did."""
    if not isinstance(failure, NotHealedError):
        for server in ended:
            server.promises.all_kept()
    return False


@asynccontextmanager
async def _beating(server: Toxiproxy) -> AsyncIterator[None]:
    """Renew leases and look for signs of life while the block lasts."""
    failure: Exception | None = None
    # The body's error is carried past the task group, which would wrap it in a group of one.
    async with anyio.create_task_group() as group:
        group.start_soon(server.beat)
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again below, unchanged
            failure = error
        finally:
            group.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _connect(
    url: str, kind: ServerKind, stack: AsyncExitStack, *, origin: Origin | None, wal: Wal | None
) -> Toxiproxy:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise RigError("a Toxiproxy address takes no user and no password: its API knows neither")
    if parts.scheme != "http" or not parts.hostname or parts.path or parts.query:
        raise RigError(f"{url!r} is no Toxiproxy address; expected one like http://127.0.0.1:8474")
    library = Library(parts.hostname, parts.port or 80)
    stack.callback(library.close)
    direct = httpx.Client(base_url=url, timeout=CALL_S, trust_env=False)
    stack.callback(direct.close)
    unknown = ToxiproxyServer(url=url, kind=kind, version="unknown")
    server = Toxiproxy(unknown, library, direct, origin=origin, wal=wal)
    try:
        answer = await server.ask_directly("tell its version", "GET", "/version")
    except RigError as error:
        if kind != "external":
            raise
        raise RigError(
            f"{error}; start it, correct --toxiproxy, or leave that out for squall's own"
        ) from None
    server.server = ToxiproxyServer(url=url, kind=kind, version=read_version(answer))
    try:
        await server.ask_directly("count", "GET", "/squall/exposure")
        server.ours = True
    except RefusalError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
    return server
