"""What dead runs have left behind: found, told, undone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from harness import wal
from harness.errors import RigError, UsageError
from harness.rig import births
from harness.rig.undo import (
    SilentError,
    Told,
    leases_on,
    look,
    proxies_on,
    undo_all,
    undo_recorded,
)
from harness.wal import HeldError, Intent, Record, Wal

PREFIX: Final = "squall-"  # of every proxy that a run makes; its id follows
PATIENCE_S: Final = 6.0  # with a server that does not answer
WATCHDOG_S: Final = 10.0  # how long a watchdog at work is waited for
PAUSE_S: Final = 0.05
NAME: Final = "recover"
How = Literal["whole", "open", "running", "busy", "forgotten"]


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """How a run's leftovers stand: `running` and `busy` ones were not touched."""

    how: How
    told: tuple[Told, ...]  # in the order in which they were undone


def open_records(out: Path) -> tuple[Path, ...]:
    """The run folders in `out` whose record is not closed, oldest first; live runs among them."""
    return tuple(_open(sorted(out.glob(f"*/{wal.FILE}"))))


def _open(files: Iterable[Path]) -> Iterator[Path]:
    for file in files:
        with suppress(OSError):  # somebody else's, or removed just now
            if not wal.read(file.parent).closed_by:
                yield file.parent


def recover(folder: Path, *, forget: bool = False) -> Recovered:
    """Undo what a dead run left, prove it, and close its record; a live run is not touched.

    With `forget` the record is closed whether or not everything could be proven. Blocking.

    Raises:
        UsageError: the folder holds no record.
        RigError: the record cannot be opened.
    """
    try:
        with _taken_over(folder) as held:
            return _undo(held, forget=forget)
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder} holds no {wal.FILE}; name a folder that squall run wrote"
        ) from error
    except HeldError:
        return Recovered(how="running" if _runs(wal.read(folder)) else "busy", told=())


def recover_by_name(run_id: str, server: str) -> tuple[Told, ...]:
    """Remove every proxy of a run from a server, for when the run's folder is lost. Blocking.

    Raises:
        UsageError: the server does not answer.
    """
    names = sorted(name for name in _proxies(server) if name.startswith(f"{PREFIX}{run_id}-"))
    intents = [
        Intent(number=number, undo="delete_proxy", what={"server": server, "name": name})
        for number, name in enumerate(names, start=1)
    ]
    return undo_all(intents, patience_s=PATIENCE_S)


def check(out: Path, server: str | None) -> None:
    """Refuse to start over what another run has left; `server` is the Toxiproxy to be used.

    The record of a dead run that turns out to have left nothing is closed. Blocking.

    Raises:
        UsageError: naming what was left, and the mend.
    """
    for folder in open_records(out):
        _check_folder(folder)
    if server is not None:
        _check_server(server.rstrip("/"), out)


def _check_folder(folder: Path) -> None:
    try:
        with Wal.resume(folder) as held:
            stands = [one for one in look(held.left) if not one.whole]
            if not stands:
                held.close(NAME)
                return
    except (HeldError, FileNotFoundError):  # it lives; or was removed just now
        return
    except RigError:  # it is not ours to close
        stands = [one for one in look(wal.read(folder).left) if not one.whole]
        if not stands:
            return
    more = f" (and {len(stands) - 1} more)" if len(stands) > 1 else ""
    raise UsageError(
        f"an earlier run died and may have left something broken: {stands[0].words}{more}; "
        f"mend it with: squall recover {folder}"
    )


def _check_server(server: str, out: Path) -> None:
    """Look for proxies of runs that nobody knows to live."""
    try:
        leases = leases_on(server)
        names = sorted(name for name in proxies_on(server) if name.startswith(PREFIX))
    except SilentError:
        return  # whoever connects to it says so in better words
    if leases is not None:  # what is leased lives, or ends by itself
        names = [name for name in names if leases.get(name) is None]
    living = {wal.read(folder).run_id for folder in open_records(out) if wal.is_held(folder)}
    left = [name for name in names if name.split("-")[1] not in living]
    if not left:
        return
    more = f" (and {len(left) - 1} more)" if len(left) > 1 else ""
    raise UsageError(
        f"Toxiproxy at {server} holds proxy {left[0]}{more} of a run that {out} does not know to "
        f"live; remove it with: squall recover {left[0].split('-')[1]} --toxiproxy {server}; "
        "or, should that run live, start this one with the same --out"
    )


def _proxies(server: str) -> tuple[str, ...]:
    try:
        return tuple(proxies_on(server))
    except SilentError as error:
        raise UsageError(f"Toxiproxy at {server} cannot be asked: {error}") from error


def _runs(record: Record) -> bool:
    return record.born != "" and births.born(record.pid) == record.born


def _taken_over(folder: Path) -> Wal:
    """The dead run's record; a watchdog that is at work is waited for.

    Raises:
        HeldError: its run lives, or its watchdog has still not finished.
        FileNotFoundError: there is no record.
    """
    until_s = time.monotonic() + WATCHDOG_S
    while True:
        try:
            return Wal.resume(folder)
        except HeldError:
            if _runs(wal.read(folder)) or time.monotonic() >= until_s:
                raise
            time.sleep(PAUSE_S)


def _undo(held: Wal, *, forget: bool) -> Recovered:
    told = undo_recorded(held, patience_s=PATIENCE_S)
    if all(one.whole for one in told):
        if held.closed_by in {"", wal.FORGOTTEN}:
            held.close(NAME)
        return Recovered(how="whole", told=told)
    if forget:
        held.close(wal.FORGOTTEN)
        return Recovered(how="forgotten", told=told)
    return Recovered(how="open", told=told)
