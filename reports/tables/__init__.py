"""A run as plain tables, for a notebook: which there are, and the files they are written to."""

from __future__ import annotations

from typing import Final

from reports.tables import calls, faults, findings, sessions
from reports.tables.table import Table

TABLES: Final[tuple[Table, ...]] = (
    calls.TABLE,
    sessions.TABLE,
    faults.TABLE,
    findings.TABLE,
    findings.EVIDENCE,
)
