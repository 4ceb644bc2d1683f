"""`squall judge` and `squall report`: from a stored run, without any traffic."""

from __future__ import annotations

import os
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from harness.cli import telling
from harness.cli.conclusion import Climbed, Conclusion, climbed, conclude, judged, read
from harness.cli.conducting import print_result
from harness.cli.failing import tell
from harness.cli.gating import (
    Files,
    entry_of,
    entry_of_climb,
    entry_without,
    gated,
    publish,
    show,
)
from harness.cli.waiting import under_way
from harness.errors import Exit, SquallError, UsageError, worst_exit
from harness.verdict import Judgement
from reports.capacity.document import capacity
from reports.capacity.folder import write_all as write_climb
from reports.capacity.terminal import summary as climb_summary
from reports.document import verdict
from reports.folder import PAGE, RECORD
from reports.gate.entries import Entry, gather
from reports.terminal import wants_color

RUN = click.Path(path_type=Path, file_okay=False)


@click.command(epilog="Example: squall judge runs/first_storm-20260101T120000Z-1a2b3c4d")
@click.argument("folders", type=RUN, metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print verdict.json (of a search for capacity: capacity.json), and nothing else.",
)
def judge(folders: tuple[Path, ...], *, as_json: bool) -> int:
    """Judge runs again from their journals; the same journal gives the same bytes.

    The exit code is the run's, of several the worst, as `squall run` says.
    """
    if as_json and len(folders) > 1:
        raise UsageError("--json takes one run; every run folder has its own verdict.json")
    codes = []
    for folder in folders:
        try:
            codes.append(_judged(folder, as_json=as_json))
        except SquallError as error:
            if len(folders) == 1:
                raise
            codes.append(tell(error).code)
    return int(worst_exit(codes))


def _judged(folder: Path, *, as_json: bool) -> Exit:
    with under_way(f"judging {folder.name}"):
        found = climbed(folder) or judged(*read(folder))
    result = found.result if isinstance(found, Climbed) else found
    if not as_json:
        text = f"{result.headline}\n"
    else:
        text = verdict(result) if isinstance(result, Judgement) else capacity(result)
    print_result(text, piped=False)
    return Exit(result.exit_code)


@click.command(epilog="Example: squall report runs/* --junit all.xml --markdown all.md")
@click.argument("folders", type=RUN, metavar="RUN...", nargs=-1, required=True)
@gated
@telling.flags
@click.option("--open", "opened", is_flag=True, help="Show the page in a browser.")
def report(
    folders: tuple[Path, ...],
    junit: str | None,
    markdown: str | None,
    *,
    opened: bool,
    **given: Any,
) -> int:
    """Write runs' reports again, and show their result; of several together.

    The exit code is the run's, of several the worst, as `squall run` says.
    """
    files = Files(junit=junit, markdown=markdown)
    files.check()
    listener = telling.listener(given)
    entries = []
    for folder in folders:
        entry = _reported(folder, listener, several=len(folders) > 1)
        entries.append(entry)
        if entry.report is not None and len(folders) > 1:
            show(entry, piped=False, apart=True)
        if opened and (folder / PAGE).is_file():
            _open(folder / PAGE)
    return publish(gather(entries), files, piped=False)


def _open(page: Path) -> None:
    """Open a page in the user's browser; without one, say where it is."""
    with suppress(webbrowser.Error):
        if webbrowser.open(page.resolve().as_uri()):
            return
    click.echo(f"no browser was found here; open {page.resolve()}", err=True)


def _reported(folder: Path, listener: telling.Listener | None, *, several: bool) -> Entry:
    """Write one run's reports again; of several one that cannot be read hides no other."""
    try:
        with under_way(f"judging {folder.name}"):
            found = climbed(folder) or conclude(folder)
        entry = _climb(found, listener) if isinstance(found, Climbed) else _run(found, listener)
    except SquallError as error:
        if not several:
            raise
        return entry_without(str(folder), tell(error))
    for name in (PAGE, RECORD):
        if (folder / name).is_file():
            click.echo(f"wrote {folder / name}", err=True)
    return entry


def _run(conclusion: Conclusion, listener: telling.Listener | None) -> Entry:
    telling.tell(conclusion, listener)
    return entry_of(conclusion)


def _climb(climb: Climbed, listener: telling.Listener | None) -> Entry:
    write_climb(climb.folder, climb.result, climb.facts)
    color = wants_color(sys.stdout, os.environ)
    text = climb_summary(climb.result, color=color, folder=str(climb.folder))
    print_result(text, piped=False)
    if listener is not None:
        click.echo("squall: warning: a search for capacity is not sent by --otlp", err=True)
    return entry_of_climb(climb)
