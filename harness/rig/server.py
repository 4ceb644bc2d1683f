"""The server under test: starts the one that squall launches, and ends it with all it started."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
import psutil
from anyio.abc import ByteStream

from faults.process import OWNER_VARIABLE
from harness.errors import RigError
from harness.flaws import Flaw
from harness.rig.probe import probe
from harness.rig.process import Child, child, leashed
from harness.rig.reaching import http_client
from harness.trust import SYSTEM, Trust, tls_failure

__all__ = ["Target", "launch", "probe", "reference"]

READY = "listening "
READY_S = 20.0
DEPENDENCY_VARIABLE = "SQUALL_DEPENDENCY_URL"
POLL_S = 0.05
GONE_S = 2.0  # how long the processes of a killed group may take to vanish


@dataclass(frozen=True, kw_only=True)
class Again:
    """All that it takes to start a launched server once more."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    log: Path | None
    client: Callable[[], httpx.AsyncClient]  # to see whether it answers
    directory: str | None = None  # where it is started; None: where squall was


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server to be tested; `pid` leads the process group of one that squall launched."""

    url: str
    pid: int | None = None
    child: Child | None = None
    again: Again | None = None  # how to start it once more, on the same address


def check_program(argv: Sequence[str], env: Mapping[str, str]) -> None:
    """See that there is a program to launch.

    Raises:
        RigError: there is none of that name.
    """
    if shutil.which(argv[0], path=env.get("PATH")) is None:
        raise RigError(
            f"expected a program to launch, but {argv[0]!r} is none; give its path, or install it"
        )


@asynccontextmanager
async def launch(
    argv: Sequence[str],
    *,
    url: str | None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    ready_s: float = READY_S,
    trust: Trust = SYSTEM,
    unix_socket: str = "",
) -> AsyncIterator[Target]:
    """A server started by `argv` for as long as the block lasts, ready to answer HTTP.

    `env` is added to our own environment. With `url` None the program has to print a line
    `listening URL` itself; otherwise it is ready when something answers HTTP there.

    Raises:
        RigError: there is no such program, it ends early, is not ready in time, or `url` is taken.
    """
    merged = {**os.environ, **(env or {})}
    check_program(argv, merged)
    held = leashed(argv)
    if url is None:
        async with (
            _whole_group() as group,
            child(held, env=merged, ready=READY, log=log, ready_s=ready_s) as process,
        ):
            group.append(process.pid)
            yield Target(url=process.ready_line.removeprefix(READY).strip(), pid=process.pid)
        return
    where = unix_socket or url
    if await _accepts(url, unix_socket):
        raise RigError(
            f"expected nothing at {where} before the target is launched, but something listens "
            "there; end it, or give the target another port"
        )
    async with (
        _whole_group() as group,
        child(held, env=merged, ready=None, log=log) as process,
    ):
        group.append(process.pid)

        def client() -> httpx.AsyncClient:
            return http_client(url, trust=trust, unix_socket=unix_socket, timeout_s=ready_s)

        await _await_http(url, process, client(), argv=argv, log=log, ready_s=ready_s)
        again = Again(argv=held, env=merged, log=log, client=client)
        yield Target(url=url, pid=process.pid, child=process, again=again)


@asynccontextmanager
async def _whole_group() -> AsyncIterator[list[int]]:
    """A list for the id of a process group; returns when no process of it is left.

    The leash is our child and is reaped, the program under it is not: killed, it still needs a
    moment to let go of its port, and the next run may want that.
    """
    group: list[int] = []
    try:
        yield group
    finally:
        with anyio.move_on_after(GONE_S, shield=True):
            # Not our children: there is nothing to wait for but their absence.
            while group and _is_alive(group[0]):  # noqa: ASYNC110 - nothing tells us
                await anyio.sleep(POLL_S / 5)


def _is_alive(group: int) -> bool:
    """Whether a process of this group still runs; one that nobody has reaped does not."""
    try:
        os.killpg(group, 0)
    except OSError:
        return False
    for process in psutil.process_iter():
        try:
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
        except (OSError, psutil.Error):
            continue
    return False


@asynccontextmanager
async def reference(
    *,
    issuer: str | None,
    ledger: Path | None,
    flaws: Sequence[str] = (),
    manner: str = "",
    log: Path | None = None,
    port: int = 0,
    sse: bool = False,
    dependency: str = "",
    env: Mapping[str, str] | None = None,
) -> AsyncIterator[Target]:
    """The bundled server, hardened but for `flaws`; open to everybody when `issuer` is None.

    It keeps its things in the file `ledger` or, where it is given one, at a dependency's URL.
    `env` is added to our own environment.

    Raises:
        RigError: it did not start.
    """
    argv = [sys.executable, "-m", "harness.reference", "--stdin-lease"]
    env = {**os.environ, **_found_from_anywhere(), OWNER_VARIABLE: "squall", **(env or {})}
    file = _absolute(ledger)  # it may be started elsewhere
    # Where the path that the flaw leans on leads somewhere.
    home = str(file.parent) if file is not None and Flaw.CWD_RELATIVE in flaws else None
    argv += ["--owner-variable", OWNER_VARIABLE]
    if dependency:
        env[DEPENDENCY_VARIABLE] = dependency  # never an argument: there is a secret in it
        database = dependency.startswith("postgresql:")
        which = "--database-variable" if database else "--dependency-variable"
        argv += [which, DEPENDENCY_VARIABLE]
    else:
        argv += ["--ledger", str(file)]
    argv += ["--issuer", issuer] if issuer is not None else ["--no-auth"]
    argv += ["--sse"] if sse else []
    argv += ["--manner", manner] if manner else []
    for flaw in flaws:
        argv += ["--flaw", flaw]
    first = (*argv, "--port", str(port))
    async with child(first, env=env, ready=READY, log=log, ready_s=READY_S, cwd=home) as process:
        url = process.ready_line.removeprefix(READY)
        again = Again(
            argv=(*argv, "--port", str(urlsplit(url).port)),
            env=env,
            log=log,
            client=lambda: http_client(url, timeout_s=READY_S),
            directory=home,
        )
        yield Target(url=url, pid=process.pid, child=process, again=again)


def _absolute(path: Path | None) -> Path | None:
    return None if path is None else path.absolute()


def _found_from_anywhere() -> dict[str, str]:
    """What it takes to import squall in another directory, where it is run from a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "pyproject.toml").is_file():
        return {}
    return {
        "PYTHONPATH": os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    }


def piped_reference(
    *, ledger: Path, flaws: Sequence[str] = (), manner: str = ""
) -> tuple[str, ...]:
    """The command of the bundled server over its standard input and output; open to everybody."""
    argv = [sys.executable, "-m", "harness.reference", "--stdio", "--no-auth"]
    argv += ["--ledger", str(ledger.absolute())]
    argv += ["--manner", manner] if manner else []
    for flaw in flaws:
        argv += ["--flaw", flaw]
    return tuple(argv)


async def _accepts(url: str, unix_socket: str) -> bool:
    """Whether something accepts connections where the target will be."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with anyio.fail_after(1):
            stream: ByteStream
            if unix_socket:
                stream = await anyio.connect_unix(unix_socket)
            else:
                stream = await anyio.connect_tcp(parts.hostname or "", port)
    except (OSError, TimeoutError):
        return False
    await stream.aclose()
    return True


async def _await_http(
    url: str,
    process: Child,
    client: httpx.AsyncClient,
    *,
    argv: Sequence[str],
    log: Path | None,
    ready_s: float,
) -> None:
    """Return once anything answers HTTP at `url`."""
    name = Path(argv[0]).name
    where = f"; what it wrote is in {log}" if log is not None else ""
    try:
        with anyio.fail_after(ready_s):
            async with client as http:
                while not await _answers(http, url):
                    if process.returncode is not None:
                        raise RigError(
                            f"{name} ended with status {process.returncode} before it answered "
                            f"at {url}{where}"
                        )
                    await anyio.sleep(POLL_S)
    except TimeoutError:
        raise RigError(f"{name} did not answer at {url} within {ready_s:g} s{where}") from None


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        # A GET may open an event stream that never ends: the status line is answer enough.
        async with http.stream("GET", url, headers={"accept": "text/event-stream"}):
            return True
    except httpx.HTTPError as error:
        # It stands, and TLS is its word on us: the probe says what is wrong.
        return tls_failure(error) is not None
