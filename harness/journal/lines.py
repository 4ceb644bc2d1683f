"""An entry as a line of JSON, and back: the closed list of what a journal may hold."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, TypeAdapter, ValidationError

from harness.journal.deeds import DeedEntry, HaltEntry, LeaseEntry, OrderEntry, RemarkEntry
from harness.journal.entries import (
    EffectEntry,
    FaultEntry,
    NoteEntry,
    ProcessEntry,
    RunEntry,
    SessionEntry,
    StepEntry,
    TargetEntry,
    TokenEntry,
    WorkerEntry,
)
from harness.journal.gauges import (
    AuditEntry,
    ContentEntry,
    HealthEntry,
    HealthProbeEntry,
    PoolEntry,
    SaidEntry,
    TraceEntry,
    VitalsEntry,
)
from harness.journal.sightings import (
    BreachEntry,
    DependencyEntry,
    FloodEntry,
    ListEntry,
    ProbeEntry,
    SampleEntry,
)

Entry = Annotated[
    RunEntry
    | FaultEntry
    | SessionEntry
    | TokenEntry
    | EffectEntry
    | VitalsEntry
    | HealthEntry
    | WorkerEntry
    | ProcessEntry
    | TargetEntry
    | HealthProbeEntry
    | SampleEntry
    | SaidEntry
    | BreachEntry
    | StepEntry
    | ProbeEntry
    | FloodEntry
    | DependencyEntry
    | PoolEntry
    | ContentEntry
    | ListEntry
    | TraceEntry
    | AuditEntry
    | OrderEntry
    | DeedEntry
    | LeaseEntry
    | HaltEntry
    | RemarkEntry
    | NoteEntry,
    Field(discriminator="type"),
]

WORDLESS: Final = (
    HealthEntry,
    VitalsEntry,
    EffectEntry,
    SaidEntry,
    BreachEntry,
    FloodEntry,
    PoolEntry,
    TargetEntry,
    LeaseEntry,
)  # nothing in them quotes anybody

_ENTRY: Final[TypeAdapter[Any]] = TypeAdapter(Entry)
_ENTRIES: Final[TypeAdapter[list[Any]]] = TypeAdapter(list[Entry])
_LINES_AT_ONCE: Final = 2000


def line_of(entry: Any) -> str:
    """Render an entry as the line that `blocks` reads."""
    return json.dumps(asdict(entry), separators=(",", ":"), ensure_ascii=False) + "\n"


def blocks(file: Path) -> Iterator[tuple[list[Any], list[bytes], int]]:
    """Give a file's entries and the lines they stand on, thousands at a time, and the damaged."""
    with file.open("rb") as stream:
        # Only a line feed ends a line: texts of servers hold other separators, and a crash may cut
        # a character in half.
        while block := list(islice(stream, _LINES_AT_ONCE)):
            lines = [line for line in block if line != b"\n"]
            try:
                entries = _ENTRIES.validate_json(b"[%b]" % b",".join(lines))
            except ValidationError:
                entries = []
            if len(entries) == len(lines):
                yield entries, lines, 0
            else:
                yield _one_by_one(lines)


def _one_by_one(lines: list[bytes]) -> tuple[list[Any], list[bytes], int]:
    entries: list[Any] = []
    whole: list[bytes] = []
    for line in lines:
        try:
            entries.append(_ENTRY.validate_json(line))
        except ValidationError:
            continue
        whole.append(line)
    return entries, whole, len(lines) - len(whole)
