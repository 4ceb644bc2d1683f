"""The record of an attempt: one fixed-size row of `calls.npy`, which `numpy.load` reads."""

from __future__ import annotations

from pathlib import Path
from struct import Struct
from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from faults.levers import BehaviourKind
from harness.errors import JournalError

NEVER_NS: Final = -1
ROWS_UNKNOWN: Final = -1

# Codes of the `behaviour` column: what the client did wrong on purpose in this attempt.
BEHAVIOURS: Final = ("", *get_args(BehaviourKind))
BEHAVIOUR_CODES: Final = {name: code for code, name in enumerate(BEHAVIOURS)}

CALL_DTYPE: Final = np.dtype(
    [
        ("due_ns", "<i8"),
        ("sent_ns", "<i8"),
        ("first_ns", "<i8"),
        ("done_ns", "<i8"),
        ("session", "<u4"),
        ("index", "<u4"),
        ("request_bytes", "<u4"),
        ("reply_bytes", "<u4"),
        ("rows", "<i4"),
        ("status", "<u2"),
        ("call", "<u2"),  # index into Plan.calls
        ("attempt", "u1"),  # 1, 2, ...; 0 is a misbehaving attempt that precedes the real call
        ("last", "u1"),  # 1 on the attempt that settled the logical call
        ("treated", "u1"),
        ("behaviour", "u1"),  # index into BEHAVIOURS
        ("window", "u1"),  # the fault window that asked for the behaviour; 0 for none
        ("outcome", "u1"),
        ("reason", "u1"),
        ("effect", "u1"),
        ("auth", "u1"),
        ("ended_by", "u1"),
        ("resumed", "u1"),
        ("worker", "u1"),
    ]
)

CALL_STRUCT: Final = Struct("<qqqqIIIIiHH12B")
Calls = NDArray[np.void]
HEADER_BYTES: Final = 1024


def call_id(call: np.void) -> str:
    """Name one attempt the way reports and evidence do, as in `s12.34.1`."""
    return f"s{call['session']}.{call['index']}.{call['attempt']}"


def empty_calls(count: int = 0) -> Calls:
    """Make an array of zeroed call records."""
    return np.zeros(count, dtype=CALL_DTYPE)


def in_order(calls: Calls) -> Calls:
    """Sort records by (session, index, attempt), those of one attempt as they came."""
    if not len(calls):
        return calls
    # One number for all three: a single sort, and none where they are in order already.
    key = calls["session"].astype(np.uint64) << np.uint64(40)
    key |= calls["index"].astype(np.uint64) << np.uint64(8)
    key |= calls["attempt"]
    if (key[1:] >= key[:-1]).all():
        return calls
    return calls[np.argsort(key, kind="stable")]


def header_of(count: int) -> bytes:
    """Render the .npy header for `count` records, always of the same length.

    Only the count ever changes, so a growing file stays loadable by patching its first bytes.
    """
    description = repr(
        {"descr": np.lib.format.dtype_to_descr(CALL_DTYPE), "fortran_order": False, "shape": ()}
    ).replace("'shape': ()", f"'shape': ({count},)")
    text = description.encode("latin1")
    preamble = np.lib.format.magic(1, 0) + (HEADER_BYTES - 10).to_bytes(2, "little")
    return preamble + text.ljust(HEADER_BYTES - 10 - 1) + b"\n"


def read_calls(file: Path) -> Calls:
    """Read one file of records; none where it has not begun.

    Raises:
        JournalError: when it is something else, or of another version.
    """
    if not file.exists() or file.stat().st_size == 0:
        return empty_calls()
    try:
        calls: Calls = np.load(file)
    except (ValueError, EOFError) as error:
        raise JournalError(f"{file} is not a squall call file: {error}") from error
    if calls.dtype != CALL_DTYPE:
        raise JournalError(f"{file} was written by another version of squall")
    return calls
