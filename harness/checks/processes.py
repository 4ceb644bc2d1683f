"""Do servers behind pipes say nothing but messages, answer each request once, and stay alive?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence
from harness.journal import ProcessEntry
from harness.scenario.units import counted
from harness.verdict import Finding

_NOISE: Final = Rule(
    verdict="stdout-noise",
    wrong="wrote to their standard output what is no message",
    source="MCP, stdio: the server MUST NOT write anything to its stdout that is not a valid "
    "MCP message",
    unseen="no process came to its end",
    unit="processes",
)
_STRAY: Final = Rule(
    verdict="stray-reply",
    wrong="answered a request twice, or one that nobody had made",
    source="JSON-RPC 2.0 §5: one response to each request, with its id",
    unseen="no process came to its end",
    unit="processes",
)
_CRASH: Final = Rule(
    verdict="crash",
    wrong="ended though nobody had told them to, and no fault had killed them",
    source="MCP, stdio, shutdown: it is the client that ends a server",
    unseen="no process was started",
    unit="processes",
)


def ends(evidence: Evidence) -> tuple[ProcessEntry, ...]:
    """Give the last word on each server process that is spoken to over pipes."""
    return tuple(one for one in evidence.journal.of(ProcessEntry) if one.edge == "ended")


def stdout_noise(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether standard output carried messages alone; says nothing where there are no pipes.

    Needs one process that has ended.
    """
    judged = ends(evidence)
    if not judged:
        return ()
    noisy = sorted((one for one in judged if one.noise_lines), key=lambda one: -one.noise_lines)
    if not noisy:
        return (sightings.passed(_NOISE, len(judged)),)
    lines = sum(one.noise_lines for one in noisy)
    shown = next((one.noise for one in noisy if one.noise), "")
    why = f"{len(noisy)} of {len(judged)} processes {_NOISE.wrong}: {lines} lines, as in {shown!r}"
    return (_failed(_NOISE, len(noisy), why),)


def stray_replies(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether every response answered a request that still had none.

    Needs one process that has ended. A reply to what the client had given up is late, not stray.
    """
    judged = ends(evidence)
    if not judged:
        return ()
    stray = [one for one in judged if one.duplicate_replies or one.unknown_ids]
    if not stray:
        return (sightings.passed(_STRAY, len(judged)),)
    twice = sum(one.duplicate_replies for one in stray)
    unknown = sum(one.unknown_ids for one in stray)
    why = f"{len(stray)} of {len(judged)} processes {_STRAY.wrong}: {twice} and {unknown} times"
    return (_failed(_STRAY, len(stray), why),)


def crashed(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether server processes lived until they were told to end, or killed by a fault.

    Needs a process that was started; `harness.checks.lifecycle` asks where there are no pipes.
    """
    entries = evidence.journal.of(ProcessEntry)
    if not entries:
        return (sightings.unknown(_CRASH, _CRASH.unseen),)
    killed = {one.pid for one in entries if one.edge == "killed"}
    started = sum(one.edge == "started" for one in entries)
    dead = [one for one in ends(evidence) if not one.asked and one.pid not in killed]
    if not dead:
        why = f"each of {counted(started, 'processes')} lived until it was told to end"
        return (sightings.passed(_CRASH, started, why),)
    by_fault: dict[str, list[ProcessEntry]] = {}
    for one in dead:
        fault = sightings.fault_at(evidence, one.at_ns) if one.treated else ""
        by_fault.setdefault(fault, []).append(one)
    return tuple(
        _failed(
            _CRASH,
            len(some),
            f"{len(some)} of {started} processes {_CRASH.wrong}; the first {some[0].how}, "
            f"{some[0].at_ns / 1e9:.1f} s into the run",
            fault=fault,
        )
        for fault, some in sorted(by_fault.items())
    )


def _failed(rule: Rule, count: int, why: str, *, fault: str = "") -> Finding:
    return Finding(
        verdict=rule.verdict,
        ruling="fail",
        fault=fault,
        observed=float(count),
        limit=0.0,
        unit=rule.unit,
        why=why,
        source=rule.source,
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (stdout_noise, stray_replies)
