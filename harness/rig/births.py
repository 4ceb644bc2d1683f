"""Which process a number means: ids are used again, and only the moment of birth tells them apart.

The standard library is enough for this module, for the watchdog has to be up at once.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
RUN_VARIABLE: Final = "SQUALL_RUN"  # in the environment of everything that a run starts
# In the environment of every server that is spoken to over pipes, and the file that lists them.
SERVER_VARIABLE: Final = "SQUALL_SERVER"
SERVERS: Final = "servers.txt"
PS_S: Final = 5.0


@dataclass(frozen=True, kw_only=True)
class Living:
    """A process that runs; one that merely waits to be reaped does not."""

    pid: int
    group: int
    born: str


def born(pid: int) -> str | None:
    """When a process began, in words for comparing only; None if it does not run."""
    found = _look(pid)
    return None if found is None else found.born


def members(group: int) -> tuple[int, ...]:
    """The processes of a group that run."""
    return tuple(one.pid for one in _all() if one.group == group)


def belongs(pid: int, run_id: str) -> bool:
    """Whether a process was started by a run, by its own environment; True where that is hidden."""
    if not PROC.is_dir():
        return True
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{RUN_VARIABLE}={run_id}".encode() in environment.split(b"\0")


def servers(run_id: str, folder: Path) -> tuple[Living, ...]:
    """What runs of the servers that a run has started to speak to over pipes, and of theirs."""
    known: set[tuple[int, str]] = set()
    with suppress(OSError):
        for line in (folder / SERVERS).read_text(encoding="utf-8").splitlines():
            pid, _, born_at = line.partition(" ")
            if pid.isdigit():
                known.add((int(pid), born_at))
    living = _all()
    leaders = {one.pid for one in living if (one.pid, one.born) in known}
    mark = f"{SERVER_VARIABLE}={run_id}".encode()
    return tuple(one for one in living if one.group in leaders or _bears(one.pid, mark))


def _bears(pid: int, mark: bytes) -> bool:
    """Whether the mark is in a process's environment; False where that is hidden."""
    try:
        return mark in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _look(pid: int) -> Living | None:
    if (PROC / "self").exists():
        return _from_proc(pid)
    return next((one for one in _from_ps("-p", str(pid)) if one.pid == pid), None)


def _all() -> tuple[Living, ...]:
    if (PROC / "self").exists():
        numbers = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]
        return tuple(one for one in map(_from_proc, numbers) if one is not None)
    return _from_ps("-ax")


def _from_proc(pid: int) -> Living | None:
    try:
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The name in brackets may hold blanks and brackets; what follows the last one does not.
    fields = text.rpartition(")")[2].split()
    state, group, ticks = fields[0], int(fields[2]), fields[19]
    if state in "ZXx":
        return None
    return Living(pid=pid, group=group, born=f"{_boot()}:{ticks}")


def _boot() -> str:
    """Which start of the system this is; ticks are counted from it."""
    try:
        return (PROC / "sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""


def _from_ps(*which: str) -> tuple[Living, ...]:
    argv = ("ps", *which, "-o", "pid=,pgid=,stat=,lstart=")
    try:
        answer = subprocess.run(argv, capture_output=True, text=True, timeout=PS_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    rows = [line.split(maxsplit=3) for line in answer.stdout.splitlines()]
    return tuple(
        Living(pid=int(row[0]), group=int(row[1]), born=row[3])
        for row in rows
        if len(row) == 4 and not row[2].startswith("Z")  # noqa: PLR2004
    )
