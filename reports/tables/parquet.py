"""Writes Parquet: the one file that knows pyarrow, which is an extra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.errors import UsageError
from reports.tables.table import Cells

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError as error:
    raise UsageError(
        "nothing that writes Parquet is installed; pip install 'mcp-squall[parquet]', "
        "or say --format csv"
    ) from error


def write_parquet(file: Path, filled: dict[str, Cells]) -> None:
    """Write one table: texts as dictionaries of words, missing values as nulls."""
    columns = {name: _array(cells) for name, cells in filled.items()}
    pq.write_table(pa.table(columns), file, compression="zstd")


def _array(cells: Cells) -> Any:
    values = pa.array(cells.values, mask=cells.missing)
    if cells.words is None:
        return values
    return pa.DictionaryArray.from_arrays(values, pa.array(cells.words, type=pa.string()))
