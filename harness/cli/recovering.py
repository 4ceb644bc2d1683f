"""`squall recover`: undo what a killed run left behind, and prove it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import click

from harness.errors import Exit, UsageError
from harness.rig.undo import Told
from harness.running import leftovers
from harness.running.leftovers import Recovered
from harness.scenario.units import counted

WIDTH = 80
RUN_ID = re.compile(r"[0-9a-f]{8}")


@click.command(
    epilog="\b\n"
    "Example: squall recover runs/first_storm-20260101T120000Z-1a2b3c4d\n"
    "Folder lost: squall recover 1a2b3c4d --toxiproxy http://127.0.0.1:8474"
)
@click.argument("runs", nargs=-1, type=click.Path(), metavar="[RUN]...")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Where run folders are, when no RUN is named.",
)
@click.option(
    "--toxiproxy",
    metavar="URL",
    help="Remove the run's proxies from this server, when its folder is lost.",
)
@click.option(
    "--forget",
    is_flag=True,
    help="Close the record even of what cannot be proven, as when a server is gone for good.",
)
def recover(runs: tuple[str, ...], *, out: Path, toxiproxy: str | None, forget: bool) -> int:
    """Undo what killed runs left behind, and prove it.

    RUN is a run's folder, or its id, the last eight letters of the folder's
    name; without one, every run in --out that did not end well. Only what a
    run wrote down as its own is touched, and a run that lives is not.

    Exit code: 0 everything is whole, 2 wrong usage, 5 not proven.
    """
    if toxiproxy is not None:
        return _by_name(runs, toxiproxy.rstrip("/"))
    folders = [_folder(run, out) for run in runs] if runs else leftovers.open_records(out)
    results = []
    for folder in folders:
        click.echo(str(folder))
        results.append(leftovers.recover(folder, forget=forget))
        _show(results[-1])
    click.echo(_conclusion(results))
    return int(Exit.NOT_HEALED if any(one.how == "open" for one in results) else Exit.PASS)


def _folder(run: str, out: Path) -> Path:
    """Give the folder that a RUN means.

    Raises:
        UsageError: there is none.
    """
    for folder in (Path(run), out / run):
        if folder.is_dir():
            return folder
    if RUN_ID.fullmatch(run):
        for folder in out.glob(f"*-{run}"):
            return folder
        raise UsageError(
            f"{out} holds no run {run}; name its folder, or its Toxiproxy server with --toxiproxy"
        )
    raise UsageError(f"there is no folder {run}; name one that squall run wrote, or a run's id")


def _by_name(runs: tuple[str, ...], server: str) -> int:
    """Remove the proxies of runs whose folder is lost."""
    ids = [Path(run).name.rpartition("-")[2] for run in runs]
    if not ids or not all(RUN_ID.fullmatch(each) for each in ids):
        raise UsageError("--toxiproxy needs the id of a run: the last eight letters of its name")
    told: list[Told] = []
    for each in ids:
        found = leftovers.recover_by_name(each, server)
        click.echo(f"run {each}")
        _list(found)
        if not found:
            click.echo(f"  nothing of it is at {server}")
        told += found
    whole = all(one.whole for one in told)
    click.echo("everything is whole" if whole else "not proven whole")
    return int(Exit.PASS if whole else Exit.NOT_HEALED)


def _show(result: Recovered) -> None:
    match result.how:
        case "running":
            click.echo("  it is running; not touched")
        case "busy":
            click.echo("  its watchdog is still at work; not touched")
        case _:
            _list(result.told)
            if not result.told:
                click.echo("  nothing was left")


def _list(told: Sequence[Told]) -> None:
    for one in told:
        click.echo(
            click.wrap_text(one.words, width=WIDTH, initial_indent="  ", subsequent_indent="    ")
        )


def _conclusion(results: Sequence[Recovered]) -> str:
    """Sum up in one line."""
    parts = [
        f"{counted(count, 'runs')} {words}"
        for how, words in (
            ("open", "not proven whole: see above, and repeat this once it can be asked"),
            ("forgotten", "not proven whole, and forgotten"),
            ("whole", "whole"),
            ("running", "in progress"),
            ("busy", "still being undone"),
        )
        if (count := sum(one.how == how for one in results))
    ]
    return ", ".join(parts) or "no run left anything behind"
