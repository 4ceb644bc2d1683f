"""Writes a climb's reports into its run folder: each file is whole, or the one there was before."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.capacity.ruling import Capacity
from reports.capacity.document import capacity
from reports.capacity.page import page
from reports.folder import PAGE, write_whole
from reports.report import Facts

CAPACITY: Final = "capacity.json"


def write_all(folder: Path, result: Capacity, facts: Facts | None = None) -> None:
    """Write capacity.json and report.html.

    Raises:
        OSError: when the folder cannot be written.
    """
    write_whole(folder / CAPACITY, capacity(result))
    write_whole(folder / PAGE, page(result, facts))
