"""`squall judge` and `squall report`: from a stored run, without any traffic."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from harness.cli.conclusion import climbed, conclude, judged, read
from reports.capacity.document import capacity
from reports.capacity.folder import write_all as write_climb
from reports.capacity.terminal import summary as climb_summary
from reports.document import verdict
from reports.folder import PAGE
from reports.terminal import summary, wants_color

RUN = click.Path(path_type=Path, file_okay=False)


@click.command(epilog="Example: squall judge runs/first_storm-20260101T120000Z-1a2b3c4d")
@click.argument("folder", type=RUN, metavar="RUN")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print verdict.json (of a search for capacity: capacity.json), and nothing else.",
)
def judge(folder: Path, *, as_json: bool) -> int:
    """Judge a run again from its journal; the same journal gives the same bytes."""
    climb = climbed(folder)
    if climb is not None:
        text = capacity(climb.result) if as_json else f"{climb.result.headline}\n"
        click.echo(text, nl=False)
        return climb.result.exit_code
    evidence, facts = read(folder)
    judgement = judged(evidence, facts)
    if as_json:
        click.echo(verdict(judgement), nl=False)
    else:
        click.echo(judgement.headline)
    return judgement.exit_code


@click.command(epilog="Example: squall report runs/first_storm-20260101T120000Z-1a2b3c4d")
@click.argument("folder", type=RUN, metavar="RUN")
def report(folder: Path) -> int:
    """Write a run's reports again, and show its result."""
    climb = climbed(folder)
    if climb is not None:
        write_climb(folder, climb.result, climb.facts)
        color = wants_color(sys.stdout, os.environ)
        click.echo(climb_summary(climb.result, color=color, folder=str(folder)), nl=False)
        click.echo(f"wrote {folder / PAGE}", err=True)
        return climb.result.exit_code
    conclusion = conclude(folder)
    click.echo(
        summary(
            conclusion.report,
            width=min(100, shutil.get_terminal_size((80, 24)).columns),
            color=wants_color(sys.stdout, os.environ),
            folder=str(folder),
        ),
        nl=False,
    )
    click.echo(f"wrote {folder / PAGE}", err=True)
    return conclusion.judgement.exit_code
