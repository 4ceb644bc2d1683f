"""What the official client's few sessions saw, kept apart from what ours saw, and laid beside it.

They are witnesses of the engine, not load: nothing they did enters a verdict, a score or a count.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import numpy as np

from harness.evidence.latencies import latency_ns
from harness.evidence.phases import Evidence, Mask, evidence
from harness.journal import EffectEntry, Journal, SampleEntry, SessionEntry, TokenEntry
from harness.outcome import Outcome
from harness.plan import Plan
from harness.scenario.records import Scenario
from harness.verdict import EngineRow

_NONCE: Final = re.compile(r"n[0-9a-f]{16}")  # see `harness.plan`
_OF_A_SESSION: Final = (SessionEntry, TokenEntry, SampleEntry)


def lay(scenario: Scenario, plan: Plan, journal: Journal) -> Evidence:
    """Lay a journal beside its plan; what the official client saw is `witnessed` alone."""
    if not plan.witnesses:
        return evidence(scenario, plan, journal)
    ours, theirs = _split(plan, journal)
    own = evidence(scenario, plan, ours)
    seen = replace(own, plan=replace(plan, sessions=plan.witnesses, witnesses=()), journal=theirs)
    return replace(own, witnessed=seen)


def _split(plan: Plan, journal: Journal) -> tuple[Journal, Journal]:
    first = len(plan.sessions)
    theirs = journal.calls["session"] >= first
    marks = {
        plan.nonce(witness.session, index)
        for witness in plan.witnesses
        for index in range(plan.count(witness.session))
    }

    def witnessed(entry: object) -> bool:
        if isinstance(entry, EffectEntry):
            return any(nonce in marks for nonce in _NONCE.findall(entry.key))
        return isinstance(entry, _OF_A_SESSION) and entry.session >= first

    beside: list[object] = []
    rest: list[object] = []
    for entry in journal.entries:
        (beside if witnessed(entry) else rest).append(entry)
    return (
        replace(journal, entries=tuple(rest), calls=journal.calls[~theirs]),
        replace(journal, entries=tuple(beside), calls=journal.calls[theirs]),
    )


def rows(of: Evidence) -> tuple[EngineRow, ...]:
    """Give what either client saw, phase by phase; nothing where only ours was there."""
    if of.witnessed is None:
        return ()
    return tuple(
        _row(engine, side, code)
        for code in of.codes
        for engine, side in (("wire", of), ("sdk", of.witnessed))
        if np.any(side.phase == code)
    )


def _row(engine: str, of: Evidence, code: int) -> EngineRow:
    mine = (of.phase == code) & ~of.excused
    answered = mine & of.ok
    return EngineRow(
        engine="sdk" if engine == "sdk" else "wire",
        phase=of.phase_name(code),
        calls=int(mine.sum()),
        answered=int(answered.sum()),
        p50_ms=median_ms(of, answered),
        outcomes=_outcomes(of, mine),
    )


def median_ms(of: Evidence, mine: Mask) -> float | None:
    """Give the median from sent of some settled calls, in milliseconds; None of no calls."""
    values = latency_ns(of, "sent")[mine]
    return float(np.median(values)) / 1e6 if len(values) else None


def _outcomes(of: Evidence, mine: Mask) -> dict[str, int]:
    counts = np.bincount(of.settled["outcome"][mine], minlength=len(Outcome))
    return {each.name.lower(): int(counts[each]) for each in Outcome if counts[each]}
