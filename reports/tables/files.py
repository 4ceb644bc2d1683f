"""Writes a run's tables: each file is whole, or is the one that was there before."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reports.tables import TABLES
from reports.tables.table import Cells, Run, rows

Format = Literal["parquet", "csv"]
Writer = Callable[[Path, dict[str, Cells]], None]


@dataclass(frozen=True, kw_only=True)
class Written:
    """One file, and what is in it."""

    file: Path
    rows: int
    columns: int


def write_all(folder: Path, run: Run, form: Format) -> Iterator[Written]:
    """Write every table into a folder that is there, and tell each when it is written.

    Raises:
        UsageError: when Parquet is wanted and nothing that writes it is installed.
        OSError: when the folder cannot be written.
    """
    write = _writer(form)
    for table in TABLES:
        filled = table.fill(run)
        file = folder / f"{table.name}.{form}"
        with _fresh(file) as fresh:
            write(fresh, filled)
        count = max(map(len, filled.values()))
        yield Written(file=file, rows=count, columns=len(filled))


def _writer(form: Format) -> Writer:
    if form == "csv":
        return write_csv
    # It is not installed with the rest, and takes half a second.
    from reports.tables.parquet import write_parquet  # noqa: PLC0415

    return write_parquet


def write_csv(file: Path, filled: dict[str, Cells]) -> None:
    """Write one table as CSV: a missing value is empty, a truth value is true or false."""
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(filled)
        writer.writerows(map(_said, rows(filled)))


def _said(row: tuple[object, ...]) -> list[object]:
    return [str(value).lower() if isinstance(value, bool) else value for value in row]


@contextmanager
def _fresh(file: Path) -> Iterator[Path]:
    """Give a file to write into, which takes the other's place once it is whole."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        yield fresh
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
