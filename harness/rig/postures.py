"""How processes stand as the system tells it: running or stopped, and how they were started."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from harness.rig import births


@dataclass(frozen=True, kw_only=True)
class Posture:
    """One process group; None where the system does not show it."""

    members: tuple[int, ...]  # that run, or could if nobody held them
    stopped: tuple[int, ...]  # of them
    environment: Mapping[str, str] | None = None  # the leader's, as it was started
    directory: str | None = None  # the leader's, now


def of_group(leader: int) -> Posture:
    """Look at a process and all that it has started in its group; blocking."""
    members = births.members(leader)
    environment, directory = None, None
    try:
        process = psutil.Process(leader)
        environment, directory = process.environ(), process.cwd()
    except (psutil.Error, OSError):
        pass
    return Posture(
        members=members,
        stopped=stopped(members),
        environment=environment,
        directory=directory,
    )


def is_in(posture: Posture, directory: str | None) -> bool:
    """Tell whether it works in a directory, or for None in squall's own; blocking."""
    wanted = Path.cwd() if directory is None else Path(directory)
    try:
        return posture.directory is not None and wanted.samefile(posture.directory)
    except OSError:
        return False


def stopped(pids: Iterable[int]) -> tuple[int, ...]:
    """Name those that somebody has stopped; blocking."""
    return tuple(pid for pid in pids if _status(pid) == psutil.STATUS_STOPPED)


def _status(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except (psutil.Error, OSError):
        return ""
