"""Does a server keep to the rules when a call is more than one request and one reply?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

import numpy as np

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence
from harness.journal import BreachEntry, SaidEntry
from harness.outcome import Reason
from harness.verdict import Finding

_PROGRESS: Final = Rule(
    verdict="false-progress",
    wrong="did not increase, or came after the reply",
    source="MCP, progress: the value MUST increase with each notification, and MUST stop after "
    "completion",
    unseen="",  # nobody asked for progress: the question did not arise
    unit="progress notifications",
)
_INPUT: Final = Rule(
    verdict="unanswerable-input",
    wrong="were ended by a request for input that was not declared, could not be read or never "
    "came to an end",
    source="MCP 2026-07-28, multi-round-trip requests; MCP, capabilities: servers MUST NOT use "
    "what a client has not declared",
    unseen="",
)
_TASKS: Final = Rule(
    verdict="lost-task",
    wrong="became tasks that the server no longer knew when it was asked after them",
    source="MCP, tasks: a created task MUST be found until its time to live is over",
    unseen="",
)
_UNANSWERABLE: Final = (Reason.UNDECLARED, Reason.INPUT_ENDLESS, Reason.INPUT_MALFORMED)


def said(evidence: Evidence) -> Counter[str]:
    """Sum up what servers asked and said unasked, by the names of `SaidEntry`."""
    total: Counter[str] = Counter()
    for entry in evidence.journal.of(SaidEntry):
        total.update(entry.counts)
    return total


def false_progress(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether progress went forward, and stopped where its call did.

    Needs one progress notification to a call that asked for them; says nothing without.
    """
    told = said(evidence)
    count = told["heard:progress"]
    bad = told["heard:progress:backwards"] + told["heard:progress:late"]
    if not count:
        return ()
    if not bad:
        return (sightings.passed(_PROGRESS, count),)
    broken = [one for one in evidence.journal.of(BreachEntry) if one.kind != "stream:broken"]
    breaches = sorted(broken, key=lambda one: (one.session, one.index))
    kinds = ", ".join(
        f"{told[f'heard:progress:{kind}']} {words}"
        for kind, words in (("backwards", "did not increase"), ("late", "came after the reply"))
        if told[f"heard:progress:{kind}"]
    )
    return (
        Finding(
            verdict=_PROGRESS.verdict,
            ruling="fail",
            fault="",  # it takes no fault to count backwards
            observed=float(bad),
            limit=0.0,
            unit=_PROGRESS.unit,
            why=f"of {count} progress notifications, {kinds}",
            source=_PROGRESS.source,
            evidence=tuple(dict.fromkeys(f"s{one.session}.{one.index}.1" for one in breaches))[
                : sightings.EVIDENCE_MAX
            ],
        ),
    )


def unanswerable_input(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether requests for input were such that this client could answer them.

    Needs one such request; says nothing without.
    """
    calls = evidence.calls
    real = sightings.attempted(evidence) & (calls["attempt"] > 0)
    bad = real & np.isin(calls["reason"], _UNANSWERABLE)
    if not bad.any() and not said(evidence)["rounds"]:
        return ()
    return sightings.judge(evidence, _INPUT, judged=np.asarray(real), bad=np.asarray(bad))


def lost_tasks(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether every task that was created was also found again.

    Needs one task; says nothing without.
    """
    calls = evidence.calls
    if not said(evidence)["tasks:created"]:
        return ()
    real = sightings.attempted(evidence) & (calls["attempt"] > 0)
    bad = real & (calls["reason"] == Reason.TASK_LOST)
    return sightings.judge(evidence, _TASKS, judged=np.asarray(real), bad=np.asarray(bad))


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    false_progress,
    unanswerable_input,
    lost_tasks,
)
