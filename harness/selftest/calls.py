"""Flaws that agents bring to light by how they call: off, again, and under each other's ids."""

from __future__ import annotations

from typing import Final

from harness.flaws import Flaw
from harness.selftest.cases import Case

CASES: Final = (
    Case(
        flaw=Flaw.CANCEL_IGNORED,
        stage="calls",
        faults=("call-cancel",),
        verdict="orphan-work",
    ),
    Case(
        flaw=Flaw.ID_ZERO_FALSY,
        stage="calls",
        faults=("call-cancel",),
        verdict="orphan-work",
    ),
    Case(flaw=Flaw.NO_DEDUP, stage="calls", faults=("call-repeat",), verdict="double-exec"),
    Case(
        flaw=Flaw.ID_KEYED_RESPONSES,
        stage="calls",
        faults=("id-collide",),
        verdict="crosstalk",
    ),
    Case(
        flaw=Flaw.UNVALIDATED_ARGS,
        stage="arguments",
        faults=("args-invalid",),
        verdict="bad-validation",
    ),
    Case(
        flaw=Flaw.UNVALIDATED_ARGS,
        stage="arguments",
        faults=("args-fuzz",),
        verdict="bad-validation",
    ),
    Case(
        flaw=Flaw.TRANSACTION_LEFT_FAILED,
        stage="arguments",
        faults=("args-invalid",),
        verdict="wrong-answer",
    ),
    Case(
        flaw=Flaw.GLOBAL_LOCK,
        stage="arguments",
        faults=("slow-neighbour",),
        verdict="hol-block",
    ),
    Case(
        flaw=Flaw.SYNC_BLOCKS_LOOP,
        stage="arguments",
        faults=("slow-neighbour",),
        verdict="hol-block",
    ),
    Case(flaw=Flaw.LOST_UPDATE, stage="edits", faults=(), verdict="lost-update"),
    Case(
        flaw=Flaw.UNBOUNDED_RESULT,
        stage="results",
        faults=("payload-response",),
        verdict="unbounded-size",
    ),
    Case(
        flaw=Flaw.TRUNCATES_SILENTLY,
        stage="results",
        faults=("payload-response",),
        verdict="truncated",
    ),
    Case(
        flaw=Flaw.DISCONNECT_CRASH,
        stage="calls",
        faults=("client-vanish",),
        verdict="crash",
    ),
    Case(
        flaw=Flaw.UNBOUNDED_QUEUE,
        stage="readers",
        faults=("slow-reader",),
        verdict="leak-memory",
    ),
    Case(flaw=Flaw.ORPHAN_TASK, stage="soak", faults=("soak",), verdict="leak-memory"),
)
