"""Redis: found on the path, keeping nothing on disk, for one run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import anyio

from harness.errors import RigError
from harness.rig.databases.database import Recipe

PROGRAMS: Final = ("redis-server", "valkey-server")
PACKAGE: Final = "redis-server"
VERSION_S: Final = 5.0
ANSWER_S: Final = 1.0
ANSWER_BYTES_MAX: Final = 4096


def recipe(folder: Path, password: str, connections: int) -> Recipe:
    """How a server is configured in `folder` and started; blocking.

    Raises:
        RigError: it is not installed.
    """
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise RigError(
            "expected Redis for a dependency, found no redis-server on the path; "
            f"install it: apt-get install {PACKAGE}"
        )
    # A file, since everybody may read the command line of a process.
    settings = folder / "redis.conf"
    settings.write_text(
        f"bind 127.0.0.1\nrequirepass {password}\nmaxclients {connections}\n"
        f'save ""\nappendonly no\ndaemonize no\nlogfile ""\ndir {folder}\n',
        encoding="utf-8",
    )
    settings.chmod(0o600)

    async def is_up(port: int) -> bool:
        return await _answers(port, password)

    return Recipe(
        kind="redis",
        version=_version(program),
        end="TERM",
        prepare=(),
        start=lambda port: (program, str(settings), "--port", str(port)),
        url=lambda port: f"redis://:{password}@127.0.0.1:{port}/0",
        is_up=is_up,
    )


def _version(program: str) -> str:
    argv = (program, "--version")
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=VERSION_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise RigError(f"{program} does not say its version: {type(error).__name__}") from error
    return " ".join(said.stdout.split()[:3])


async def _answers(port: int, password: str) -> bool:
    """Whether it answers a PING to whoever knows the password."""
    try:
        with anyio.fail_after(ANSWER_S):
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(f"AUTH {password}\r\nPING\r\n".encode())
                said = b""
                while b"+PONG" not in said and len(said) < ANSWER_BYTES_MAX:
                    said += await stream.receive()
                return said.startswith(b"+OK")
    except (OSError, TimeoutError, anyio.EndOfStream, anyio.BrokenResourceError):
        return False
