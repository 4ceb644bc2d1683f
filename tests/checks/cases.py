"""Builders for the opinions' tests: a run spoiled in one way, and the finding it should give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from faults.fault import Fault
from harness.checks import families
from harness.evidence.phases import Evidence, evidence
from harness.journal import (
    BEHAVIOUR_CODES,
    Calls,
    Journal,
    TargetEdge,
    TargetEntry,
    VitalsEntry,
)
from harness.judge import CHECKS
from harness.outcome import Outcome
from harness.verdict import Finding
from tests import journals
from tests.journals import NOTE, SEARCH, Spoil

ROWS = {"call": "search", "with": {"query": "${nonce}"}, "expect": {"rows": ">= 1"}}
LIST = {"method": "tools/list"}
# The run of `scenario` with one fault: baseline 2 to 12 s, fault 12 to 22 s, recovery to 32 s.
BASELINE = (2.0, 12.0)
WINDOW = (12.5, 21.5)
RECOVERY = (22.5, 32.0)
MIB = 1024**2
Row = TypeVar("Row")


def run(
    *faults: Fault,
    steps: Sequence[dict[str, Any]] = (SEARCH, NOTE),
    spoil: Spoil | None = None,
    extra: Sequence[Any] = (),
    more: Callable[[Calls], Iterable[Calls]] | None = None,
    ledger: Callable[[Journal], Journal] | None = None,
    era: str = "legacy",
    latency_ms: float = 20.0,
    **changes: Any,
) -> Evidence:
    """Make the evidence of a healthy run, spoiled by `spoil`, with `more` attempts and entries."""
    windows = tuple(journals.window(fault) for fault in faults)
    of = journals.scenario(*windows, steps=steps, **changes)
    by = journals.plan(of)
    made = journals.healthy(of, by, spoil=spoil, extra=extra, era=era, latency_ms=latency_ms)
    if more is not None:
        rows = np.concatenate([made.calls, *more(made.calls)])
        made = replace(made, calls=journals.in_order(rows))
    if ledger is not None:
        made = ledger(made)
    return evidence(of, by, made)


def kind(made: Calls, call: int, within: tuple[float, float], treated: int | None = 1) -> Any:
    """Select calls of one kind due in a stretch of the run, of one arm or of both."""
    chosen = journals.between(made, *within) & (made["call"] == call)
    return chosen if treated is None else chosen & (made["treated"] == treated)


def some(chosen: NDArray[np.bool_], count: int) -> NDArray[np.intp]:
    """Take the first few of those selected."""
    found = np.flatnonzero(chosen)[:count]
    assert len(found) == count
    return found


def preludes(
    made: Calls, which: Any, behaviour: str, outcome: Outcome, *, window: int = 1, **columns: Any
) -> Calls:
    """Make misbehaving attempts that precede some calls."""
    rows: Calls = made[which].copy()
    rows["attempt"] = rows["last"] = rows["effect"] = 0
    rows["behaviour"], rows["window"] = BEHAVIOUR_CODES[behaviour], window
    rows["outcome"] = outcome
    for name, values in columns.items():
        rows[name] = values
    return rows


def vitals(*sizes_mib: tuple[float, float | None], alive: bool = True) -> tuple[VitalsEntry, ...]:
    """Make samples of the target from (seconds, MiB) pairs."""
    return tuple(
        VitalsEntry(
            at_ns=round(at_s * journals.S),
            alive=alive,
            rss_bytes=None if size is None else round(size * MIB),
        )
        for at_s, size in sizes_mib
    )


def target_life(
    *edges: tuple[TargetEdge, float, int], window: int = 1, took_s: float = 1.0
) -> tuple[TargetEntry, ...]:
    """Make the life of a launched target from (edge, seconds, process) triples."""
    return tuple(
        TargetEntry(
            at_ns=round(at_s * journals.S),
            pid=pid,
            edge=edge,
            window=window,
            asked=edge == "ended",
            took_s=took_s if edge == "ended" else -1.0,
        )
        for edge, at_s, pid in edges
    )


def judged(of: Evidence) -> tuple[Finding, ...]:
    """Ask every check, and name the causes."""
    return families.link(finding for check in CHECKS for finding in check(of))


def failed(of: Evidence) -> set[tuple[str, str]]:
    """Give (verdict, fault) of everything that failed and is no consequence."""
    return {(f.verdict, f.fault) for f in judged(of) if f.ruling == "fail" and not f.cause}


def one(findings: Sequence[Finding]) -> Finding:
    """Give the only finding."""
    assert len(findings) == 1, findings
    return findings[0]


def only(rows: Sequence[Row]) -> Row:
    """Give the only row."""
    assert len(rows) == 1, rows
    return rows[0]
