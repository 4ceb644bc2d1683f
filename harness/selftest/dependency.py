"""Flaws that show when what a server depends on is late, gone, busy, changed or half there."""

from __future__ import annotations

from typing import Final

from harness.flaws import Flaw
from harness.selftest.cases import Case

_STAGE: Final = "dependency"

CASES: Final = (
    Case(flaw=Flaw.EMPTY_ON_ERROR, stage=_STAGE, faults=("dep-down",), verdict="silent-empty"),
    Case(
        flaw=Flaw.RATELIMIT_IN_PAYLOAD,
        stage=_STAGE,
        faults=("dep-429",),
        verdict="silent-empty",
    ),
    Case(
        flaw=Flaw.POOL_HELD_ACROSS_AWAIT,
        stage=_STAGE,
        faults=("dep-latency",),
        verdict="hol-block",
    ),
    Case(
        flaw=Flaw.NO_DOWNSTREAM_DEADLINE,
        stage=_STAGE,
        faults=("timeout-mismatch",),
        verdict="hang",
    ),
    Case(flaw=Flaw.POOL_LEAK_ON_CANCEL, stage="pool", faults=("call-cancel",), verdict="leak-conn"),
    Case(
        flaw=Flaw.RETRIES_WRITES,
        stage=_STAGE,
        faults=("dep-reset",),
        verdict="double-exec",
        also=("retry-amplification",),  # it has no breaker either, and shows it if it is slow
    ),
    Case(flaw=Flaw.RETRY_STORM, stage=_STAGE, faults=("dep-429",), verdict="retry-amplification"),
    Case(flaw=Flaw.SLEEPS_ON_RETRY_AFTER, stage=_STAGE, faults=("dep-429",), verdict="hang"),
    Case(
        flaw=Flaw.NO_BREAKER,
        stage=_STAGE,
        faults=("dep-latency",),
        verdict="retry-amplification",
    ),
    Case(flaw=Flaw.SCHEMA_LIES, stage=_STAGE, faults=("dep-drift",), verdict="schema-drift"),
    Case(flaw=Flaw.ERROR_BREAKS_SCHEMA, stage=_STAGE, faults=("dep-down",), verdict="schema-drift"),
    Case(flaw=Flaw.STALE_CACHE, stage=_STAGE, faults=(), verdict="stale-read"),
    Case(flaw=Flaw.TIGHT_RECONNECT, stage=_STAGE, faults=("dep-429",), verdict="cpu-spin"),
    Case(flaw=Flaw.PARTIAL_AS_FULL, stage=_STAGE, faults=("dep-partial",), verdict="truncated"),
)
