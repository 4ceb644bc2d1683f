"""The baseline file: what a comparison needs of some runs, small enough for a repository.

JSON, described by `baseline.schema.json`, at most 200 KiB. Where runs need more, sessions are laid
together into fewer groups, and latencies into wider buckets; the histograms stay as fine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

import harness
from harness.comparison.digest import Digest, Lot, Mark, Stretch
from harness.comparison.identity import Identity
from harness.comparison.packing import (
    drawn_read,
    drawn_text,
    histogram_read,
    histogram_text,
    packed,
    unpacked,
)
from harness.comparison.tables import Table
from harness.errors import BaselineError

SCHEMA: Final = "squall-baseline-1"
SCHEMA_FILE: Final = "baseline.schema.json"
SIZE_MAX: Final = 200 * 1024
# Groups of an arm's sessions, and bits of a bucket's significant part: the finest that fits.
_RUNGS: Final = ((128, 8), (64, 8), (64, 7), (32, 7), (16, 7), (16, 6), (8, 6))


def write(identity: Identity, runs: Sequence[Digest]) -> str:
    """Give the text of a baseline file; the same runs give the same bytes.

    Raises:
        BaselineError: when so many runs cannot be told in 200 KiB.
    """
    text = ""
    for groups, bits in _RUNGS:
        document = {
            "schema": SCHEMA,
            "squall": harness.__version__,
            "identity": _identity(identity),
            "runs": [_run(run, groups, bits) for run in runs],
        }
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        text += "\n"
        if len(text.encode()) <= SIZE_MAX:
            return text
    raise BaselineError(
        f"expected at most {SIZE_MAX // 1024} KiB, came to {len(text.encode()) // 1024} KiB with "
        f"sessions in {_RUNGS[-1][0]} groups; save fewer runs, or a scenario with fewer faults"
    )


def read(file: Path) -> tuple[Identity, tuple[Digest, ...]]:
    """Read a baseline file.

    Raises:
        BaselineError: when it is none, or not whole; the message says where.
    """
    try:
        size = file.stat().st_size
        if size > SIZE_MAX:
            raise BaselineError(
                f"{file}: expected a baseline file of at most {SIZE_MAX // 1024} KiB, this has "
                f"{size // 1024} KiB; make one with squall baseline save"
            )
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BaselineError(
            f"{file} cannot be read as a baseline file: {error}; make one with squall baseline save"
        ) from error
    given = document.get("schema") if isinstance(document, dict) else None
    if given != SCHEMA:
        raise BaselineError(
            f"{file}: expected a baseline file ({SCHEMA}), this says {given!r}; make one with "
            "squall baseline save"
        )
    mistake = next(iter(_validator().iter_errors(document)), None)
    if mistake is not None:
        where = ".".join(map(str, mistake.instance_path))
        raise BaselineError(
            f"{file}: {where}: {mistake.message[:200]}; save it again with squall baseline save"
        )
    try:
        runs = tuple(_run_read(run) for run in document["runs"])
    except ValueError as error:
        raise BaselineError(f"{file}: {error}; save it again with squall baseline save") from error
    return _identity_read(document["identity"]), runs


def schema_text() -> str:
    """Give the JSON Schema of the file."""
    return files("harness.comparison").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")


@cache
def _validator() -> jsonschema_rs.Validator:
    return jsonschema_rs.validator_for(json.loads(schema_text()), offline=True)


# --- what they are of -----------------------------------------------------------------------


def _identity(identity: Identity) -> dict[str, Any]:
    return {key: value for key, value in asdict(identity).items() if value is not None}


def _identity_read(document: Mapping[str, Any]) -> Identity:
    """Read what the runs are of; an older file names places by number, which say nothing now."""
    told = {key: value for key, value in document.items() if key != "asked"}
    return Identity(**{"given": None, **told})


# --- a run ----------------------------------------------------------------------------------


def _run(run: Digest, groups: int, bits: int) -> dict[str, Any]:
    return {
        **run.origin,
        "headline": run.headline,
        "doubts": list(run.doubts),
        "late_p50_ms": run.late_p50_ms,
        "late_p99_ms": run.late_p99_ms,
        "score": drawn_text(run.score),
        "windows": [
            {
                "id": mark.id,
                "bit": mark.bit,
                "score": drawn_text(mark.score),
                "recovery_s": drawn_text(mark.recovery),
                "watched_s": mark.watched_s,
                "slice_s": mark.slice_s,
            }
            for mark in run.windows
        ],
        "stretches": [
            {
                "arm": stretch.arm,
                "phase": stretch.phase,
                "slowness": stretch.slowness,
                "tools": [
                    {"tool": lot.tool, "latency_us": histogram_text(lot.fine)}
                    for lot in stretch.lots
                ],
                "tables": packed(
                    [
                        *(lot.by_group.coarser(bits).folded(groups) for lot in stretch.lots),
                        stretch.by_part.coarser(bits),
                    ]
                ),
            }
            for stretch in run.stretches
        ],
    }


def _run_read(document: Mapping[str, Any]) -> Digest:
    stretches = tuple(_stretch_read(stretch) for stretch in document["stretches"])
    return Digest(
        run=document["run"],
        squall=document["squall"],
        started_at=document["started_at"],
        target=document["target"],
        revision=document["revision"],
        ruling=document["ruling"],
        headline=document["headline"],
        doubts=tuple(document["doubts"]),
        late_p50_ms=document["late_p50_ms"],
        late_p99_ms=document["late_p99_ms"],
        score=drawn_read(document["score"]),
        windows=tuple(
            Mark(
                id=mark["id"],
                bit=mark["bit"],
                score=drawn_read(mark["score"]),
                recovery=drawn_read(mark["recovery_s"]),
                watched_s=mark["watched_s"],
                slice_s=mark["slice_s"],
            )
            for mark in document["windows"]
        ),
        stretches=stretches,
    )


def _stretch_read(document: Mapping[str, Any]) -> Stretch:
    where = f"{document['arm']}, {document['phase']}"
    try:
        by_group, by_part = _tables(document)
        lots = tuple(
            Lot(tool=tool["tool"], by_group=table, fine=histogram_read(tool["latency_us"]))
            for tool, table in zip(document["tools"], by_group, strict=True)
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    _agree(where, by_part, lots)
    return Stretch(
        arm=document["arm"],
        phase=document["phase"],
        slowness=document["slowness"],
        by_part=by_part,
        lots=lots,
    )


def _tables(document: Mapping[str, Any]) -> tuple[Sequence[Table], Table]:
    """Read a table for each tool, and the one by moments."""
    *by_group, by_part = unpacked(document["tables"])
    named = len(document["tools"])
    if len(by_group) != named:
        raise ValueError(f"tables of {len(by_group)} tools where {named} are named")
    return by_group, by_part


def _agree(where: str, by_part: Table, lots: Sequence[Lot]) -> None:
    """See that all views of one stretch count the same calls."""
    for lot in lots:
        if lot.fine.total != lot.by_group.timed:
            raise ValueError(
                f"{where}, {lot.tool}: {lot.fine.total} latencies in its histogram, "
                f"{lot.by_group.timed} by sessions"
            )
    if len({lot.by_group.rows for lot in lots}) > 1:
        raise ValueError(f"{where}: tools with different groups of sessions")
    for name in ("calls", "errors", "losses", "latency"):
        by_tool = sum(int(getattr(lot.by_group, name).sum()) for lot in lots)
        if by_tool != int(getattr(by_part, name).sum()):
            raise ValueError(f"{where}: {name} by moments and by sessions are not the same number")
