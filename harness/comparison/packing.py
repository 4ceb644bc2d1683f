"""Counts and histograms as text that a JSON file can hold, and back; nothing is trusted on the way.

Raises `ValueError` where a text is not what its sizes say.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from hdrh.codec import (
    HdrCookieException,
    HdrHistogramSettingsException,
    HdrLengthException,
)
from hdrh.histogram import HdrHistogram

from harness.comparison.digest import Drawn
from harness.comparison.tables import Fine, Table, Whole
from harness.evidence.draws import small
from harness.evidence.latencies import DIGITS, HIGHEST_US, LOWEST_US, bucket_index, fill

_COLUMNS: Final = 3  # calls, errors, losses
_BROKEN: Final = (
    HdrCookieException,
    HdrHistogramSettingsException,
    HdrLengthException,
    TypeError,
    ValueError,
    IndexError,
    zlib.error,
)


def packed(tables: Sequence[Table]) -> dict[str, Any]:
    """Write tables: of each its counts of calls, errors and losses, buckets, latencies by row."""
    shapes, parts = [], []
    for table in tables:
        latency = small(table.latency)
        columns = np.stack([table.calls, table.errors, table.losses])
        shapes.append([table.rows, len(table.buckets), table.bits, latency.dtype.itemsize])
        parts += [
            columns.astype("<u4"),
            np.diff(table.buckets, prepend=0).astype("<u2"),
            latency.astype(latency.dtype.newbyteorder("<")),
        ]
    return {"shapes": shapes, "counts": _text(b"".join(part.tobytes() for part in parts))}


def unpacked(document: Mapping[str, Any]) -> tuple[Table, ...]:
    """Read what `packed` wrote."""
    sizes = [
        (_COLUMNS * rows * 4, width * 2, rows * width * cell)
        for rows, width, _, cell in document["shapes"]
    ]
    whole = _bytes(document["counts"], sum(map(sum, sizes)))
    tables, start = [], 0
    for shape, parts in zip(document["shapes"], sizes, strict=True):
        stops = np.cumsum([start, *parts]).tolist()
        pieces = [whole[one:other] for one, other in pairwise(stops)]
        tables.append(_table(shape, pieces))
        start = stops[-1]
    return tuple(tables)


def _table(shape: Sequence[int], pieces: Sequence[bytes]) -> Table:
    rows, width, bits, cell = shape
    calls, errors, losses = np.frombuffer(pieces[0], "<u4").reshape(_COLUMNS, rows).astype(np.int64)
    steps = np.frombuffer(pieces[1], "<u2").astype(np.int64)
    latency = np.frombuffer(pieces[2], f"<u{cell}").reshape(rows, width).astype(np.int64)
    buckets = np.cumsum(steps)
    highest = int(bucket_index(np.array([HIGHEST_US]), bits)[0])
    if (steps[1:] <= 0).any() or (len(buckets) and buckets[-1] > highest):
        raise ValueError("buckets out of order or range")
    if (errors + losses > calls).any() or (latency.sum(axis=1) > calls).any():
        raise ValueError("more errors, losses or latencies than calls")
    return Table(
        calls=calls, errors=errors, losses=losses, latency=latency, buckets=buckets, bits=bits
    )


def histogram_text(told: Fine) -> str:
    """Write latencies in microseconds as HdrHistogram V2, as its tools read it."""
    encoded: bytes = fill(told.counts, told.buckets).encode()
    return encoded.decode("ascii")


def histogram_read(text: str) -> Fine:
    """Read what `histogram_text` wrote."""
    try:
        read = HdrHistogram.decode(text)
    except _BROKEN as error:
        raise ValueError(f"no HdrHistogram: {error}") from error
    if (
        read.lowest_trackable_value,
        read.highest_trackable_value,
        read.significant_figures,
    ) != (LOWEST_US, HIGHEST_US, DIGITS):
        raise ValueError("a histogram of another range or precision")
    counts: Whole = np.frombuffer(read.counts, dtype=np.int64)
    buckets = np.flatnonzero(counts)
    return Fine(buckets=buckets, counts=counts[buckets])


def drawn_text(told: Drawn | None) -> dict[str, Any] | None:
    """Write a figure and its draws."""
    if told is None:
        return None
    return {
        "value": told.value,
        "draws": len(told.draws),
        "drawn": _text(told.draws.astype("<f8").tobytes()),
    }


def drawn_read(document: dict[str, Any] | None) -> Drawn | None:
    """Read what `drawn_text` wrote."""
    if document is None:
        return None
    draws = np.frombuffer(_bytes(document["drawn"], document["draws"] * 8), "<f8")
    if not np.isfinite(draws).all():
        raise ValueError("draws that are no numbers")
    return Drawn(value=float(document["value"]), draws=draws.astype(np.float64))


def _text(whole: bytes) -> str:
    return base64.b64encode(zlib.compress(whole, 9)).decode("ascii")


def _bytes(text: str, size: int) -> bytes:
    """Unpack exactly so many bytes, and never more than that."""
    try:
        stream = zlib.decompressobj()
        whole = stream.decompress(base64.b64decode(text, validate=True), size + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"counts that cannot be unpacked: {error}") from error
    if len(whole) != size or not stream.eof:
        raise ValueError(f"{len(whole)} bytes of counts where {size} were announced")
    return whole
