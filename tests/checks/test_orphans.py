from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from faults.agent import ClientVanish
from faults.agent_calls import CallCancel
from harness.checks import orphans
from harness.evidence.phases import Evidence
from harness.journal import BEHAVIOUR_CODES, Calls, EffectEntry, ProbeEntry
from harness.outcome import Outcome, Reason
from harness.scenario.marks import PRELUDE_INDEX, Marks
from tests.checks import cases
from tests.journals import NOTE, S, end

SESSION, INDEX = 3, 50  # of the treated arm, in the window
AT_S = 14.0
AFTER_S = 0.3


def gave_up(made: Calls, kind: str, reason: Reason) -> Calls:
    """Give the attempt that precedes one treated call and was given up."""
    treated = made[(made["treated"] == 1) & cases.kind(made, 0, cases.WINDOW)]
    row = treated[:1].copy()
    row["attempt"], row["last"], row["effect"] = 0, 0, 0
    row["behaviour"], row["window"] = BEHAVIOUR_CODES[kind], 1
    row["sent_ns"] = row["due_ns"]
    row["done_ns"] = row["sent_ns"] + round(AFTER_S * S)
    end(row, slice(None), Outcome.ABANDONED, reason)
    if reason is Reason.VANISHED:
        row["done_ns"] = -1
    return np.asarray(row)


def judged(
    *,
    kind: str = "cancel_call",
    late_s: float | None = None,
    took_ms: float = 2500.0,
    era: str = "legacy",
    sent: str = "cancelled in words",
    carried: str = "",
) -> tuple[Any, ...]:
    """Judge a run in which one call was given up, and took effect so long after that, if at all."""
    fault = CallCancel() if kind == "cancel_call" else ClientVanish(after=f"{AFTER_S}s")
    reason = Reason.CANCELLED if kind == "cancel_call" else Reason.VANISHED
    found: dict[str, Any] = {}

    def more(made: Calls) -> Iterable[Calls]:
        found["row"] = gave_up(made, kind, reason)
        return (found["row"],)

    evidence = cases.run(fault, steps=(NOTE,), more=more, era=era, latency_ms=took_ms)
    row = found["row"][0]
    told_ns = int(row["sent_ns"]) + round(AFTER_S * S)
    session, index = int(row["session"]), int(row["index"])
    nonce = Marks.of(evidence.plan.seed).nonce(session, PRELUDE_INDEX + index)
    entries: list[Any] = []
    if kind == "cancel_call":
        entries.append(
            ProbeEntry(
                at_ns=told_ns,
                session=session,
                window=1,
                kind=kind,
                variant="id-0",
                era=era,
                index=index,
                sent=sent,
                sent_ns=int(row["sent_ns"]),
                outcome="abandoned",
                carried=carried,  # type: ignore[arg-type]
                nonce=nonce,
            )
        )
    if late_s is not None:
        entries.append(EffectEntry(at_ns=told_ns + round(late_s * S), key=f"note {nonce}"))
    journal = replace(evidence.journal, entries=(*evidence.journal.entries, *entries))
    return orphans.orphan_work(_with(evidence, journal))


def _with(evidence: Evidence, journal: Any) -> Evidence:
    return Evidence(
        scenario=evidence.scenario,
        plan=evidence.plan,
        journal=journal,
        phases=evidence.phases,
        run_end_ns=evidence.run_end_ns,
    )


@pytest.mark.parametrize(
    ("how", "ruling"),
    [
        ({"late_s": 1.6}, "fail"),  # the ledger shows what was called off
        ({"late_s": 0.4}, "pass"),  # the work may take a second to stop
        ({}, "pass"),  # nothing came of it, and calls like it take longer than it was given
        ({"took_ms": 200.0}, "unknown"),  # it would have been done anyway
        ({"took_ms": 200.0, "late_s": 1.6}, "fail"),  # whatever is usual: it did go on
        ({"carried": "own"}, "fail"),  # the server's own answer says so
        ({"era": "modern", "late_s": 1.6, "sent": "cancelled by closing"}, "fail"),
        ({"kind": "vanish", "era": "modern", "late_s": 1.6}, "fail"),
        ({"kind": "vanish", "era": "modern"}, "pass"),
    ],
)
def test_work_that_was_called_off_must_stop(how: dict[str, Any], ruling: str) -> None:
    """By the ledger, or by a result that comes long after."""
    (finding,) = judged(**how)
    assert (finding.verdict, finding.ruling) == ("orphan-work", ruling)
    if ruling == "fail":
        assert finding.fault.startswith("1:")
        assert finding.evidence


@pytest.mark.parametrize(
    "how",
    [
        {"kind": "vanish", "era": "legacy", "late_s": 1.6},  # who vanishes has cancelled nothing
        {
            "late_s": 1.6,
            "sent": "cancelled in words, no session",
        },  # nor is it known
    ],
)
def test_a_rule_of_one_era_is_not_held_against_the_other(how: dict[str, Any]) -> None:
    """Before 2026-07-28 a lost connection says nothing."""
    assert judged(**how) == ()


def test_nothing_is_said_of_a_run_in_which_nothing_was_called_off() -> None:
    """Not even that all is well."""
    assert orphans.orphan_work(cases.run(steps=(NOTE,))) == ()
