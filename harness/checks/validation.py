"""Does the server hold what it is given against what it says it takes?"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from harness.checks import sightings
from harness.checks.sightings import EVIDENCE_MAX, Rule
from harness.evidence.phases import Evidence
from harness.journal import EffectEntry, ProbeEntry
from harness.verdict import Finding

_BAD: Final = Rule(
    verdict="bad-validation",
    wrong="with arguments that are wrong were not refused in words that a model can read",
    source="MCP tools: servers MUST validate all tool inputs; errors of a tool are reported in "
    "its result",
    unseen="no call with wrong arguments came to an end",
    unit="odd calls",
)
_KINDS: Final = frozenset({"spoil_arguments", "fuzz_arguments"})
_FORBIDDEN: Final = "forbidden by its schema"
_INTERNAL: Final = -32603
_SERVER_ERROR: Final = 500
_ENDED: Final = frozenset({"ok", "wrong", "tool_error", "protocol_error", "http_error"})
_STACK_TRACE: Final = "stack_trace"
_NONCE: Final = re.compile(r"n[0-9a-f]{16}")


@dataclass(frozen=True, kw_only=True)
class _Fault:
    """One odd call that was not handled, and how."""

    probe: ProbeEntry
    how: str


def bad_validation(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether odd arguments were refused, if their schema forbids them, and without breaking.

    Needs one such call that came to an end. Wrong is, whatever the arguments: an internal error
    (-32603), a status of 5xx, a stack trace. Wrong is, of arguments that the tool's own inputSchema
    forbids past any tolerance: success, or an effect in the ledger. Any other error is right.
    """
    probes = [one for one in evidence.journal.of(ProbeEntry) if one.kind in _KINDS]
    if not probes:
        return ()
    ended = [one for one in probes if one.outcome in _ENDED]
    if not ended:
        return (sightings.unknown(_BAD, _BAD.unseen),)
    done = _took_effect(evidence, ended)
    faults = [_Fault(probe=one, how=how) for one in ended if (how := _how(one, done))]
    if not faults:
        why = f"all {len(ended)} odd calls were answered as they should be"
        return (sightings.passed(_BAD, len(ended), why),)
    return tuple(
        _finding(evidence, number, [one for one in faults if one.probe.window == number], ended)
        for number in sorted({one.probe.window for one in faults})
    )


def _how(probe: ProbeEntry, done: set[str]) -> str:
    """What is wrong with an answer; "" for nothing."""
    if probe.reason == _STACK_TRACE:
        return "a stack trace"
    if probe.code == _INTERNAL:
        return "an internal error (-32603)"
    if probe.status >= _SERVER_ERROR:
        return f"HTTP {probe.status}"
    if not probe.sent.endswith(_FORBIDDEN):
        return ""
    if probe.outcome == "ok":
        return "success"
    return "an effect in the ledger" if probe.nonce in done else ""


def _took_effect(evidence: Evidence, probes: list[ProbeEntry]) -> set[str]:
    wanted = {probe.nonce for probe in probes if probe.nonce}
    return {
        nonce
        for entry in (evidence.journal.of(EffectEntry) if wanted else ())
        for nonce in _NONCE.findall(entry.key)
        if nonce in wanted
    }


def _finding(
    evidence: Evidence, window: int, faults: list[_Fault], ended: list[ProbeEntry]
) -> Finding:
    count = sum(one.window == window for one in ended)
    tools = sorted({fault.probe.tool for fault in faults})
    hows = [fault.how for fault in faults]
    told = ", ".join(f"{how} {hows.count(how)} times" for how in dict.fromkeys(hows))
    first = faults[0].probe
    sent = first.sent.removesuffix(f", {_FORBIDDEN}")
    return Finding(
        verdict=_BAD.verdict,
        ruling="fail",
        fault=sightings.fault_id(evidence, window),
        tool=tools[0] if len(tools) == 1 else "",
        observed=float(len(faults)),
        limit=0.0,
        unit=_BAD.unit,
        why=f"{len(faults)} of {count} odd calls ({', '.join(tools)}) were answered with {told}; "
        f"the first had {sent}",
        source=_BAD.source,
        evidence=tuple(
            dict.fromkeys(f"s{one.probe.session}.{one.probe.index}.0" for one in faults)
        )[:EVIDENCE_MAX],
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (bad_validation,)
