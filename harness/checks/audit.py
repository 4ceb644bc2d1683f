"""Does the target's own count of effects agree with what its sessions were told?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.checks import sightings
from harness.checks.claims import singles
from harness.checks.effects import shares_its_key
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Mask
from harness.journal import AuditEntry, ProbeEntry
from harness.outcome import Outcome
from harness.scenario.audits import SOURCE, audited_tools
from harness.scenario.records import CallStep
from harness.verdict import Finding

_UNASKED: Final = "the target's count of effects could not be had"
_DOUBLE: Final = Rule(
    verdict="double-exec",
    wrong="are more than one a call",
    source=SOURCE,
    unseen=_UNASKED,
    hard=True,
    unit="effects",
)
_LOST: Final = Rule(
    verdict="wrong-answer",
    wrong="are missing of calls that were answered as done",
    source=SOURCE,
    unseen=_UNASKED,
    hard=True,
    unit="effects",
)


@dataclass(frozen=True, kw_only=True)
class _Account:
    """One answer of the target's beside what the sessions did until then."""

    entry: AuditEntry
    counted: int  # effects since before the load
    asked_for: int  # calls that may have taken effect by then
    answered: int  # calls that must have
    in_flight: int  # calls that may have done so before the count or after it


def against_audit(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether the target counts more effects than calls were made, or fewer than it confirmed.

    Needs the count from before the load and one after it. Whatever was sent may have taken effect,
    once; whatever was answered as done must have. What is in flight when the count is taken may be
    on either side, so a few effects can only be blamed on a later stretch. Others who write to the
    same target during the run spoil the count, and nothing here can tell.
    """
    tools = audited_tools(evidence.scenario)
    if not tools:
        return ()
    asked = evidence.journal.of(AuditEntry)
    before = next((one for one in asked if one.edge == "before"), None)
    after = next((one for one in asked if one.edge == "after"), None)
    for one, name in ((before, "before the load"), (after, "after the load")):
        if one is None or one.count is None:
            why = f"{_UNASKED} {name}" + (f": {one.why}" if one is not None else "")
            return tuple(sightings.unknown(rule, why) for rule in (_DOUBLE, _LOST))
    assert before is not None
    accounts = _accounts(evidence, tools, asked, before)
    return (*_more(evidence, accounts), *_fewer(evidence, accounts, tools))


def _accounts(
    evidence: Evidence, tools: tuple[str, ...], asked: tuple[AuditEntry, ...], before: AuditEntry
) -> tuple[_Account, ...]:
    assert before.count is not None
    both = (evidence, evidence.witnessed) if evidence.witnessed is not None else (evidence,)
    probed_ns = np.array(
        [max(p.sent_ns, 0) for p in evidence.journal.of(ProbeEntry) if p.tool in tools]
    )
    accounts = []
    for entry in asked:
        if entry.edge == "before" or entry.count is None:
            continue
        after_all = entry.edge == "after"
        asked_for = int((probed_ns <= entry.answered_ns).sum()) if not after_all else len(probed_ns)
        answered = in_flight = 0
        for seen in both:
            mine = _calls_of(seen, tools)
            sent = mine & (seen.calls["sent_ns"] >= 0)
            sent &= after_all | (seen.calls["sent_ns"] <= entry.answered_ns)
            real = np.unique(seen.group[sent & (seen.calls["attempt"] > 0)])
            asked_for += len(real) + int((sent & (seen.calls["attempt"] == 0)).sum())
            done = mine & (seen.calls["outcome"] == Outcome.OK) & (seen.calls["last"] == 1)
            done &= after_all | (seen.calls["done_ns"] <= entry.at_ns)
            answered += int(done.sum())
            in_flight += int((sent & (seen.calls["done_ns"] > entry.at_ns)).sum())
        accounts.append(
            _Account(
                entry=entry,
                counted=entry.count - before.count,
                asked_for=asked_for,
                answered=answered,
                in_flight=in_flight,
            )
        )
    return tuple(accounts)


def _calls_of(evidence: Evidence, tools: tuple[str, ...]) -> Mask:
    named = np.array([name in tools for name in evidence.plan.calls] or [False])
    return np.asarray(named[evidence.calls["call"]])


def _more(evidence: Evidence, accounts: tuple[_Account, ...]) -> tuple[Finding, ...]:
    excess = [max(0, one.counted - one.asked_for) for one in accounts]
    if not any(excess):
        return (_fine(_DOUBLE, accounts),)
    return _blamed(
        evidence,
        _DOUBLE,
        accounts,
        excess,
        lambda one: f"the target counts {one.counted}, and at most {one.asked_for} calls were made",
    )


def _fewer(
    evidence: Evidence, accounts: tuple[_Account, ...], tools: tuple[str, ...]
) -> tuple[Finding, ...]:
    missing = [max(0, one.answered - one.counted) for one in accounts]
    if not any(missing):
        return (_fine(_LOST, accounts),)
    steps = [s for s in singles(evidence) if isinstance(s, CallStep) and s.call in tools]
    if any(shares_its_key(step) for step in steps):
        why = (
            f"{max(missing)} answered calls left no effect, and the step gives several calls the "
            "same key; put ${nonce} into the key to tell a repeat from a loss"
        )
        return (sightings.unknown(_LOST, why),)
    return _blamed(
        evidence,
        _LOST,
        accounts,
        missing,
        lambda one: f"the target counts {one.counted}, and {one.answered} calls were confirmed",
    )


def _fine(rule: Rule, accounts: tuple[_Account, ...]) -> Finding:
    last = accounts[-1]
    why = (
        f"{last.counted} effects by the target's own count, for {last.answered} calls that were "
        f"confirmed of {last.asked_for} that were sent"
    )
    return sightings.passed(rule, last.counted, why)


def _blamed(
    evidence: Evidence,
    rule: Rule,
    accounts: tuple[_Account, ...],
    amounts: list[int],
    words: Callable[[_Account], str],
) -> tuple[Finding, ...]:
    """Blame what is new at each answer on the fault since the answer before it.

    As many as were in flight then may have been too many already, and could not be told from them.
    """
    told, since_ns, hidden, fault = 0, 0, 0, ""
    blame: dict[str, tuple[int, _Account]] = {}
    for account, amount in zip(accounts, amounts, strict=True):
        if amount > told:
            if not told or amount - told > hidden:
                fault = _fault_between(evidence, since_ns, account.entry)
            before = blame.get(fault, (0, account))[0]
            blame[fault] = (before + amount - told, account)
            told = amount
        since_ns, hidden = account.entry.at_ns, account.in_flight
    return tuple(
        Finding(
            verdict=rule.verdict,
            ruling="fail",
            fault=fault,
            observed=float(count),
            limit=0.0,
            unit=rule.unit,
            why=f"{count} {rule.unit} {rule.wrong}, "
            + (f"under {fault}" if fault else "with no fault to blame")
            + f": {words(account)}",
            source=rule.source,
            evidence=_suspects(evidence, fault),
            hard=rule.hard,
        )
        for fault, (count, account) in blame.items()
    )


def _fault_between(evidence: Evidence, since_ns: int, entry: AuditEntry) -> str:
    ids = [
        one.id
        for one in evidence.phases.windows
        if one.injected
        and one.healed_ns > since_ns
        and (entry.edge == "after" or one.start_ns < entry.answered_ns)
    ]
    return ids[-1] if ids else ""


def _suspects(evidence: Evidence, fault: str) -> tuple[str, ...]:
    """Name the calls that were sent more than once or got no answer: the likely ones."""
    calls = evidence.calls
    tries = np.bincount(evidence.group, weights=calls["sent_ns"] >= 0)[evidence.group]
    odd = _calls_of(evidence, audited_tools(evidence.scenario)) & (calls["last"] == 1)
    odd &= (tries > 1) | (calls["outcome"] != Outcome.OK)
    if fault:
        number = next(one.window for one in evidence.phases.windows if one.id == fault)
        met = np.zeros(int(evidence.group[-1]) + 1, dtype=np.bool_)
        met[evidence.group[evidence.in_force == number]] = True
        odd &= met[evidence.group]
    return sightings.worst_first(evidence, np.flatnonzero(odd), tries.astype(np.int64))


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (against_audit,)
