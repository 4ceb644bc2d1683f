"""The tables in words: which columns there are, and what each says."""

from __future__ import annotations

from typing import Final

from reports.tables import TABLES

HEAD: Final = """# The tables of a run

`squall export RUN` writes a run as tables for a notebook, one file each, as Parquet or CSV.
Moments are seconds since the run began (`_s`), durations milliseconds (`_ms`), sizes bytes.
A figure that was not measured is missing: null in Parquet, empty in CSV.
Nothing in them is a credential.

```python
import pandas as pd

calls = pd.read_parquet("runs/RUN/tables/calls.parquet")
settled = calls[calls["last"] & (calls["phase"] != "warm-up")]
print(settled.groupby(["arm", "phase"], observed=True)["from_due_ms"].quantile([0.5, 0.99]))
```

Reports count a call that failed as no faster than its deadline; `from_due_ms` is what was measured.
"""


def page() -> str:
    """Give the page that documents them, as Markdown."""
    parts = [HEAD]
    for table in TABLES:
        lines = [
            f"\n## {table.name}\n",
            f"A row is {table.row}.\n",
            "| column | says |",
            "|---|---|",
        ]
        lines += [f"| `{column.name}` | {column.meaning} |" for column in table.columns]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def outline() -> str:
    """Give the names of all columns in a few lines, for `--help`."""
    return "\n\n".join(
        f"{table.name}: {', '.join(column.name for column in table.columns)}" for table in TABLES
    )
