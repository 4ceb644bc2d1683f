"""Did every call that should take effect once do so, by the dependency's own ledger?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.checks import sightings
from harness.checks.blame import Windows
from harness.checks.claims import singles
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Indices, Mask
from harness.journal import BEHAVIOUR_CODES, EffectEntry
from harness.outcome import Outcome
from harness.scenario.audits import has_ledger
from harness.scenario.records import CallStep
from harness.verdict import Finding

_NO_LEDGER: Final = "steps declare an effect, but the ledger shows none"
_UNCOUNTED: Final = (
    "nobody said where this target's effects can be counted: `audit: {call: TOOL}` or "
    "`audit: {http: URL}`"
)
_DOUBLE: Final = Rule(
    verdict="double-exec",
    wrong="took effect more than once",
    source="scenario: effect: once",
    unseen=_NO_LEDGER,
    hard=True,
)
_NOT_DONE: Final = Rule(
    verdict="wrong-answer",
    wrong="were answered as done, and the ledger shows no effect",
    source="scenario: effect: once",
    unseen="no call that declares an effect was answered",
    hard=True,
)


@dataclass(frozen=True, kw_only=True)
class _Reckoning:
    """The ledger beside the calls that declare an effect."""

    declared: Indices  # where in `calls` their settling attempts are
    executions: NDArray[np.int64]  # how often each of them took effect
    strangers: int  # executions that no call of this run accounts for

    @property
    def blind(self) -> str:
        """Why the ledger says nothing of these calls; "" when it does."""
        if (self.executions > 0).any():
            return ""
        return "no key in the ledger carries a call's nonce" if self.strangers else _NO_LEDGER


def _declaring(evidence: Evidence) -> tuple[CallStep, ...]:
    return tuple(s for s in singles(evidence) if isinstance(s, CallStep) and s.effect == "once")


def _reckon(evidence: Evidence) -> _Reckoning:
    return _Reckoning(
        declared=evidence.declared,
        executions=evidence.executions.times,
        strangers=evidence.executions.strangers,
    )


def against_ledger(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether calls that should take effect once did so more often, or not at all.

    Needs a ledger with an execution that a call accounts for. One doubled execution is enough.
    That a repeat is harmless is the author's claim (`effect: once`), so the finding says how often
    the doubled calls were sent. An effect is lost when its call was answered as done and the
    ledger has none; where the scenario gives several calls one idempotency key, that may be a
    repeat which was rightly not executed, and the check says so instead of accusing.
    """
    steps = _declaring(evidence)
    if not steps or (evidence.scenario.audit is not None and not evidence.journal.of(EffectEntry)):
        return ()  # nothing to ask; or the target's own count is asked instead
    reckoning = _reckon(evidence)
    if why := reckoning.blind:
        if why == _NO_LEDGER and not has_ledger(evidence.scenario):
            why = _UNCOUNTED
        return tuple(sightings.unknown(rule, why) for rule in (_DOUBLE, _NOT_DONE))
    return (*_doubled(evidence, reckoning), *_lost(evidence, reckoning, steps))


def _doubled(evidence: Evidence, reckoning: _Reckoning) -> tuple[Finding, ...]:
    doubled = reckoning.declared[reckoning.executions > 1]
    weight = np.zeros(len(evidence.calls), dtype=np.int64)
    weight[reckoning.declared] = reckoning.executions
    findings = sightings.judge(
        evidence,
        _DOUBLE,
        judged=_mask(evidence, reckoning.declared),
        bad=_mask(evidence, doubled),
        weight=weight,
        windows=_met(evidence),
    )
    if not len(doubled):
        return findings
    # A prelude is a request of its own, under a nonce of its own; but for one, which repeats.
    repeats = evidence.calls["behaviour"] == BEHAVIOUR_CODES["repeat_call"]
    real = (evidence.calls["sent_ns"] >= 0) & ((evidence.calls["attempt"] > 0) | repeats)
    sent = np.bincount(evidence.group, weights=real).astype(np.int64)
    words = (
        f"; executed {_range(weight[doubled])} times each, "
        f"sent {_range(sent[evidence.group[doubled]])} times"
    )
    return tuple(replace(finding, why=finding.why + words) for finding in findings)


def _met(evidence: Evidence) -> Windows:
    """Give every attempt the latest window that any attempt of its logical call stood under."""
    met = np.zeros(int(evidence.group[-1]) + 1, dtype=np.int16)
    np.maximum.at(met, evidence.group, sightings.in_force(evidence))
    return met[evidence.group]


def _range(values: NDArray[np.int64]) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


def _mask(evidence: Evidence, positions: Indices) -> Mask:
    mask = np.zeros(len(evidence.calls), dtype=np.bool_)
    mask[positions] = True
    return mask


def _lost(
    evidence: Evidence, reckoning: _Reckoning, steps: tuple[CallStep, ...]
) -> tuple[Finding, ...]:
    answered = evidence.calls["outcome"][reckoning.declared] == Outcome.OK
    lost = reckoning.declared[answered & (reckoning.executions == 0)]
    if len(lost) and any(shares_its_key(step) for step in steps):
        why = (
            f"{len(lost)} answered calls left no effect, and the step gives several calls the "
            "same key; put ${nonce} into the key to tell a repeat from a loss"
        )
        return (sightings.unknown(_NOT_DONE, why),)
    return sightings.judge(
        evidence,
        _NOT_DONE,
        judged=_mask(evidence, reckoning.declared[answered]),
        bad=_mask(evidence, lost),
    )


def shares_its_key(step: CallStep) -> bool:
    """Tell whether what is named as a key, best as an idempotency key, serves several calls."""
    for word in ("idempot", "key"):
        keys = [str(value) for name, value in step.arguments.items() if word in name.lower()]
        if keys:
            return not any("${nonce}" in key for key in keys)
    return False


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (against_ledger,)
