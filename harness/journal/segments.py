"""The files of a run folder: the run's own, and one segment a worker, folded in exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import numpy as np

from harness.errors import JournalError
from harness.journal.calls import Calls, header_of, in_order, read_calls
from harness.journal.lines import blocks

JOURNAL: Final = "journal.jsonl"
CALLS: Final = "calls.npy"
_FRESH: Final = ".new"
_MERGED: Final = "merged"  # the fresh files are whole, and the segments are in them


def all_blocks(folder: Path) -> Iterator[tuple[list[Any], list[bytes], int]]:
    """Give the entries of a run's own file and of its segments, as `blocks` does.

    Raises:
        JournalError: when there is no journal.
    """
    main = folder / JOURNAL
    if not main.exists():
        raise JournalError(f"{folder} holds no {JOURNAL}; name a folder that `squall run` wrote")
    return chain.from_iterable(map(blocks, (main, *sorted(folder.glob("worker-*.jsonl")))))


def all_calls(folder: Path) -> Calls:
    """Give the records of a run's own file and of its segments, in order."""
    files = (folder / CALLS, *sorted(folder.glob("worker-*.npy")))
    parts = [read_calls(file) for file in files]
    return in_order(np.concatenate(parts) if len(parts) > 1 else parts[0])


def merge(folder: Path) -> None:
    """Fold the workers' segments into the main files, and remove them once that is on disk.

    A crash at any moment leaves either the segments, or all that finishing the merge needs.
    """
    if not _segments(folder):
        return
    finish_merge(folder)
    stamped = [
        (entry.at_ns, line if line.endswith(b"\n") else line + b"\n")
        for entries, lines, _ in all_blocks(folder)
        for entry, line in zip(entries, lines, strict=True)
    ]
    stamped.sort(key=itemgetter(0))
    calls = all_calls(folder)
    for name, parts in (
        (JOURNAL, (line for _, line in stamped)),
        (CALLS, iter((header_of(len(calls)), calls.view(np.uint8).data))),
    ):
        with (folder / f"{name}{_FRESH}").open("wb") as fresh:
            fresh.writelines(parts)
            fresh.flush()
            os.fsync(fresh.fileno())
    (folder / _MERGED).touch()
    finish_merge(folder)


def _segments(folder: Path) -> tuple[Path, ...]:
    return (*folder.glob("worker-*.jsonl"), *folder.glob("worker-*.npy"))


def finish_merge(folder: Path) -> None:
    """Put merged files in their places; nothing where no merge was under way."""
    if not (folder / _MERGED).exists():
        return
    for name in (JOURNAL, CALLS):
        fresh = folder / f"{name}{_FRESH}"
        if fresh.exists():
            fresh.replace(folder / name)
    for segment in _segments(folder):
        segment.unlink()
    (folder / _MERGED).unlink()
