"""What every command that conducts a run does around it: shows it, and hands out its result."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Final, TextIO

import anyio
import click

from harness.errors import UsageError, full_disk
from harness.recent import ARMS
from harness.run import Order, conduct
from harness.running.exposition import serve
from harness.running.status import Status
from harness.storm import Ran
from reports.folder import write_whole
from reports.live import Live
from reports.snapshot import ArmSnapshot, LiveSnapshot, Segment
from reports.terminal import wants_color

RECENT_S: Final = 5
PIPED: Final = "-"  # for a file's name: standard output is for it alone


def conducted(order: Order, *, quiet: bool, metrics_port: int | None = None) -> Ran:
    """Conduct a run and show it while it lasts, to Prometheus too where it has a port.

    Raises:
        UsageError: when the port is taken.
        SquallError: as `conduct` says.
    """
    with ExitStack() as shown:
        to: list[Callable[[Status], None]] = []
        if metrics_port is not None:
            page, url = shown.enter_context(serve(metrics_port, scenario=order.loaded.name))
            click.echo(f"squall: metrics for Prometheus at {url}", err=True)
            if order.workers:
                told = f"of all {order.workers} workers together; process_* is the master's alone"
                click.echo(f"squall: they are {told}", err=True)
            to.append(page.update)
        live = shown.enter_context(
            Live(order.loaded.name, sys.stderr, environment=os.environ, quiet=quiet)
        )
        to.append(lambda status: live.update(_snapshot_of(status)))

        def show(status: Status) -> None:
            for each in to:
                each(status)

        ran: Ran = anyio.run(partial(conduct, order, show), backend_options={"use_uvloop": True})
    return ran


def check_place(flag: str, place: str | None) -> None:
    """See that a file may be written where a flag says, before there is anything to write.

    Raises:
        UsageError: when its folder is not there, or it could not be written there.
    """
    if not place or place == PIPED:
        return
    file = Path(place)
    folder = file.absolute().parent
    if file.is_dir():
        raise UsageError(f"--{flag} {place} is a folder; name a file in it")
    if not folder.is_dir():
        raise UsageError(
            f"--{flag} {place}: there is no folder {file.parent}; make it, or name another file"
        )
    # What is no regular file, as /dev/stdout, is written as it stands; any other is replaced.
    standing = file.exists() and not file.is_file()
    if not os.access(file if standing else folder, os.W_OK):
        raise UsageError(f"--{flag} {place} cannot be written; name a file elsewhere")


def write_json(text: str, place: str | None) -> None:
    """Write a JSON document where the flag says, if it says."""
    if place == PIPED:
        print_result(text, piped=False)
    elif place:
        write_file(text, place)


def write_file(text: str, place: str) -> None:
    """Write a file that a flag names.

    Raises:
        UsageError: it cannot be written.
    """
    try:
        write_whole(Path(place), text)
    except OSError as error:
        if full_disk(error) or isinstance(error, BrokenPipeError):
            raise
        raise UsageError(
            f"{place} cannot be written: {error.strerror or error}; what was found is in the "
            "run's folder"
        ) from error


def colored(*, piped: bool) -> bool:
    """Say whether the result is to be coloured where `print_result` prints it."""
    return wants_color(sys.stderr if piped else sys.stdout, os.environ)


def print_result(text: str, *, piped: bool) -> None:
    """Print the result, beside standard output where that is for the JSON alone.

    Whoever reads it may go when he has seen enough, as `head` does: what it came to stays as it is.
    """
    try:
        click.echo(text, nl=False, err=piped)
    except BrokenPipeError:
        _read_no_more(sys.stderr if piped else sys.stdout)
    except OSError as error:
        if error.errno != errno.EIO:  # the terminal has gone; the result is in the folder
            raise


def _read_no_more(stream: TextIO) -> None:
    """Let what is still to be printed go nowhere, or the interpreter fails on it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


def shown(folder: Path) -> str:
    """Give a folder's path as short as it can be typed here."""
    with suppress(ValueError):
        return str(folder.resolve().relative_to(Path.cwd()))
    return str(folder)


def _snapshot_of(status: Status) -> LiveSnapshot:
    """Make what the live view shows of a run's status."""
    total = status.recent.total.values()
    arms = tuple(_arm_of(status, arm) for arm in ARMS)
    return LiveSnapshot(
        run_s=status.run_s,
        total_s=status.total_s,
        phase=status.phase,
        fault=", ".join(status.faults),
        calls=sum(part.calls for part in total),
        errors=sum(part.errors for part in total),
        rate_per_s=sum(arm.rate_per_s for arm in arms),
        exposure=status.exposure,
        fault_left_s=status.fault_left_s,
        sessions=status.sessions,
        lag_ms=status.lag_ms,
        arms=arms,
        segments=tuple(
            Segment(start_s=start_s, end_s=end_s, label=str(number))
            for number, (start_s, end_s) in enumerate(status.windows, 1)
        ),
    )


def _arm_of(status: Status, arm: str) -> ArmSnapshot:
    recent, last = (status.recent.window(arm, seconds) for seconds in (RECENT_S, 1))
    return ArmSnapshot(
        arm=arm,
        p50_ms=recent.quantile_ms(0.5),
        p99_ms=recent.quantile_ms(0.99),
        rate_per_s=float(last.calls),
        calls=recent.calls,
        errors=recent.errors,
        sessions=status.alive.get(arm, 0),
        last_p99_ms=last.quantile_ms(0.99),
    )
