"""`squall export`: a run's calls, sessions, faults and findings as tables, for a notebook."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.conclusion import climbed, judged, read
from harness.cli.conducting import shown
from harness.errors import Exit, UsageError, full_disk
from harness.scenario.units import counted
from reports.tables.files import Format, write_all
from reports.tables.page import outline, page
from reports.tables.table import Run

FOLDER = "tables"


@click.command(
    epilog="The columns; --columns says what each one says.\n\n"
    f"{outline()}\n\n"
    "Example: squall export runs/first_storm-20260101T120000Z-1a2b3c4d"
)
@click.argument(
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="RUN",
    required=False,
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["parquet", "csv"]),
    default="parquet",
    show_default=True,
    help="Parquet needs pyarrow: pip install 'mcp-squall[parquet]'.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the files are put; default: RUN/tables.",
)
@click.option("--columns", is_flag=True, help="Print what each column says; write nothing.")
def export(folder: Path | None, form: Format, out: Path | None, *, columns: bool) -> int:
    """Write a run's calls, sessions, faults and findings as tables.

    One file a table, for a notebook. Times are in seconds since the run began
    (_s), how long something took in milliseconds (_ms), sizes in bytes.
    """
    if columns:
        click.echo(page(), nl=False)
        return int(Exit.PASS)
    if folder is None:
        raise UsageError("expected the folder of a run; squall export RUN")
    if climbed(folder) is not None:
        raise UsageError(
            f"{folder} holds a search for capacity; its figures are in capacity.json there"
        )
    evidence, facts = read(folder)
    place = out or folder / FOLDER
    run = Run(evidence=evidence, judgement=judged(evidence, facts))
    try:
        place.mkdir(parents=True, exist_ok=True)
        for one in write_all(place, run, form):
            click.echo(f"{shown(one.file)}  {counted(one.rows, 'rows')}, {one.columns} columns")
    except OSError as error:
        if full_disk(error):
            raise
        raise UsageError(
            f"cannot write to {place}: {error.strerror}; name another with --out"
        ) from error
    return int(Exit.PASS)
