"""The record of a run: what happened, on one clock, and no opinion about it.

A run folder holds `journal.jsonl` (faults, sessions, tokens, effects, vitals: one JSON object a
line) and `calls.npy` (one fixed-size record per attempt, `numpy.load` reads it). Both are
append-only and readable after a crash at any moment. Worker processes write segments of their own
(`worker-1.jsonl`, `worker-1.npy`), which `merge` folds in exactly.

Times are integer nanoseconds since the run began; -1 is "never".
"""

from __future__ import annotations

from harness.journal.calls import (
    BEHAVIOUR_CODES,
    BEHAVIOURS,
    CALL_DTYPE,
    CALL_STRUCT,
    NEVER_NS,
    ROWS_UNKNOWN,
    Calls,
    call_id,
    empty_calls,
    in_order,
)
from harness.journal.deeds import DeedEntry, HaltEntry, LeaseEntry, OrderEntry, RemarkEntry
from harness.journal.entries import (
    EffectEntry,
    FaultEntry,
    NoteEntry,
    ProcessEntry,
    RunEntry,
    SessionEdge,
    SessionEntry,
    StepEntry,
    TargetEdge,
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
from harness.journal.lines import Entry
from harness.journal.reading import Journal, read
from harness.journal.segments import CALLS, JOURNAL, merge
from harness.journal.sightings import (
    BreachEntry,
    BreachKind,
    Carried,
    DependencyEntry,
    FloodEntry,
    ListEntry,
    ProbeEntry,
    SampleEntry,
)
from harness.journal.writing import JournalWriter, append_all

__all__ = [
    "BEHAVIOURS",
    "BEHAVIOUR_CODES",
    "CALLS",
    "CALL_DTYPE",
    "CALL_STRUCT",
    "JOURNAL",
    "NEVER_NS",
    "ROWS_UNKNOWN",
    "AuditEntry",
    "BreachEntry",
    "BreachKind",
    "Calls",
    "Carried",
    "ContentEntry",
    "DeedEntry",
    "DependencyEntry",
    "EffectEntry",
    "Entry",
    "FaultEntry",
    "FloodEntry",
    "HaltEntry",
    "HealthEntry",
    "HealthProbeEntry",
    "Journal",
    "JournalWriter",
    "LeaseEntry",
    "ListEntry",
    "NoteEntry",
    "OrderEntry",
    "PoolEntry",
    "ProbeEntry",
    "ProcessEntry",
    "RemarkEntry",
    "RunEntry",
    "SaidEntry",
    "SampleEntry",
    "SessionEdge",
    "SessionEntry",
    "StepEntry",
    "TargetEdge",
    "TargetEntry",
    "TokenEntry",
    "TraceEntry",
    "VitalsEntry",
    "WorkerEntry",
    "append_all",
    "call_id",
    "empty_calls",
    "in_order",
    "merge",
    "read",
]
