"""PostgreSQL: found on the path or where Debian keeps it, on a cluster made for one run."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Final

from harness.errors import RigError
from harness.rig.databases.database import Recipe
from harness.rig.process import given_to

USER: Final = "squall"
OWNER: Final = "postgres"  # it refuses to run as root
PACKAGE: Final = "postgresql"
VERSION_S: Final = 5.0
_READY_LINE: Final = 7  # of postmaster.pid, counted from 0: what pg_ctl waits for
# Nothing of it has to outlive a crash of this machine, and it may share the machine with others.
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "jit": "off",
}


def recipe(folder: Path, password: str, connections: int) -> Recipe:
    """How a cluster below `folder` is made and served; blocking.

    Raises:
        RigError: it is not installed, or nobody is there whom it would run as.
    """
    programs = find_programs()
    if programs is None:
        raise RigError(
            "expected PostgreSQL for a dependency, found no initdb on the path nor under "
            f"/usr/lib/postgresql; install it: apt-get install {PACKAGE}"
        )
    cluster, secret = folder / "cluster", folder / "password"
    secret.write_text(password, encoding="utf-8")
    owner = _owner()
    if owner is not None:
        account = pwd.getpwnam(owner)
        for place in (folder, secret):
            os.chown(place, account.pw_uid, account.pw_gid)
    secret.chmod(0o600)
    settings = {**_SETTINGS, "max_connections": str(connections)}

    def owned(*argv: str) -> tuple[str, ...]:
        return argv if owner is None else given_to(owner, argv)

    async def is_up(_: int) -> bool:
        return _says_ready(cluster / "postmaster.pid")

    return Recipe(
        kind="postgres",
        version=_version(programs),
        end="INT",  # on SIGTERM it would wait for its clients
        prepare=owned(
            str(programs / "initdb"),
            *("-D", str(cluster), "-U", USER, "--encoding=UTF8", "--locale=C"),
            *("--auth=scram-sha-256", "--pwfile", str(secret), "--no-sync", "--no-instructions"),
        ),
        start=lambda port: owned(
            str(programs / "postgres"),
            *("-D", str(cluster), "-p", str(port)),
            *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
        ),
        url=lambda port: f"postgresql://{USER}:{password}@127.0.0.1:{port}/postgres",
        is_up=is_up,
    )


def find_programs() -> Path | None:
    """The folder with its programs: on the path, or where Debian keeps the newest."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    places = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    return max((place.parent for place in places), key=_major, default=None)


def _major(folder: Path) -> int:
    name = folder.parent.name
    return int(name) if name.isdecimal() else 0


def _owner() -> str | None:
    """Whom it has to run as: us, unless we are root.

    Raises:
        RigError: we are root, and there is nobody else.
    """
    if os.geteuid() != 0:
        return None
    if shutil.which("setpriv") is None:
        raise RigError(
            "PostgreSQL refuses to run as root, and there is no setpriv to run it as another "
            "user; run squall as one who is not root, or install it: apt-get install util-linux"
        )
    for name in (OWNER, "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise RigError(
        f"PostgreSQL refuses to run as root, and there is no user {OWNER!r} nor 'nobody' to run "
        "it as; make one: useradd --system postgres"
    )


def _version(programs: Path) -> str:
    argv = (str(programs / "postgres"), "--version")
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=VERSION_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise RigError(f"{argv[0]} does not say its version: {type(error).__name__}") from error
    return said.stdout.strip()


def _says_ready(file: Path) -> bool:
    """Whether the server says of itself that it takes connections."""
    try:
        lines = file.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    return len(lines) > _READY_LINE and lines[_READY_LINE].strip() == "ready"
