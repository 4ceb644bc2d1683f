"""Everything a renderer may show, computed once: renderers read this and compute nothing.

Its size is bounded whatever the run's length: time is binned, distributions are sampled at their
percentiles, findings and tools are cut with a note that says so.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from harness.checks.conversation import said
from harness.evidence.phases import Evidence
from harness.journal import NoteEntry, RunEntry, VitalsEntry
from harness.scenario.records import (
    LaunchTarget,
    ReferenceTarget,
    Scenario,
    StdioTarget,
    UrlTarget,
)
from harness.scenario.units import counted
from harness.verdict import FaultVerdict, Judgement
from reports.answers import AnswerRow, CostRow, answer_rows, cost_rows
from reports.broken import Broken, broken
from reports.distribution import ArmRow, Spectrum, Tail, ToolRow, arm_rows, spectra, tool_rows
from reports.evidence import ReportedFinding, report_findings
from reports.probes import ProbeRow, probe_rows
from reports.series import NS, HeatMap, Timeline, heat_maps, timeline
from reports.words import size

Facts = Mapping[str, Any]  # facts.json: JSON values, written by the run

_NOTES_MAX: Final = 50
_FACT_CHARS_MAX: Final = 400


@dataclass(frozen=True, kw_only=True)
class Band:
    """A fault window on the time axis, with its verdict."""

    verdict: FaultVerdict
    parameters: str  # "delay 200ms", as the scenario has them
    recovery_end_s: float


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """The target's process tree over the run; None where the system would not say."""

    rss_first_bytes: int | None
    rss_peak_bytes: int | None
    rss_last_bytes: int | None
    open_files_first: int | None
    open_files_last: int | None
    died: bool


@dataclass(frozen=True, kw_only=True)
class Report:
    """One run, ready to be shown."""

    judgement: Judgement
    name: str  # the scenario's
    length_s: float
    ended: str  # how the run ended, with its reason
    arms: tuple[str, ...]  # control first
    sessions: dict[str, int]  # planned, by arm
    asked: tuple[tuple[str, str], ...]  # what was asked: label, value
    baseline_s: tuple[float, float]
    bands: tuple[Band, ...]
    timeline: Timeline
    heat: tuple[HeatMap, ...]
    spectra: tuple[Spectrum, ...]
    rows: tuple[ArmRow, ...]
    tail: Tail  # the highest percentile that the arms' samples support
    tools: tuple[ToolRow, ...]
    broken: tuple[Broken, ...]
    findings: tuple[ReportedFinding, ...]
    findings_left: int  # how many more are in verdict.json
    vitals: Vitals | None
    answers: tuple[AnswerRow, ...]
    costs: tuple[CostRow, ...]
    probes: tuple[ProbeRow, ...]
    said: Mapping[str, int]  # by servers unasked, in the names of the journal's `SaidEntry`
    notes: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    command: str  # what repeats the run; "" when it is not known


def make(evidence: Evidence, judgement: Judgement, facts: Facts | None = None) -> Report:
    """Compute everything a renderer may show."""
    length_s = max(evidence.run_end_ns, 1) / NS
    arms = tuple(
        arm
        for arm in ("control", "treated")
        if any(session.arm == arm for session in evidence.plan.sessions)
    )
    known = {} if facts is None else facts
    findings = tuple(report_findings(evidence, judgement.findings))
    rows = arm_rows(evidence, arms)
    bands = _bands(evidence, judgement)
    sessions = {
        arm: sum(each.arm == arm and not each.window for each in evidence.plan.sessions)
        for arm in arms
    }
    return Report(
        judgement=judgement,
        name=judgement.scenario or str(known.get("scenario", "")) or "run",
        length_s=length_s,
        ended=_ended(evidence),
        arms=arms,
        sessions=sessions,
        asked=_asked(evidence.scenario),
        baseline_s=(
            evidence.phases.baseline.start_ns / NS,
            evidence.phases.baseline.end_ns / NS,
        ),
        bands=bands,
        timeline=timeline(evidence, arms, length_s),
        heat=heat_maps(evidence, arms, length_s),
        spectra=spectra(evidence, arms),
        rows=rows,
        tail=_tail(rows),
        tools=tool_rows(evidence),
        broken=broken(
            judgement,
            findings,
            {band.verdict.id: band.parameters for band in bands},
            {arm: sum(each.arm == arm for each in evidence.plan.sessions) for arm in arms},
        ),
        findings=findings,
        findings_left=len(judgement.findings) - len(findings),
        vitals=_vitals(evidence.journal.of(VitalsEntry)),
        answers=answer_rows(judgement),
        costs=cost_rows(judgement),
        probes=probe_rows(evidence),
        said=dict(said(evidence)),
        notes=_notes(evidence, judgement),
        facts=tuple(flat_facts({key: value for key, value in known.items() if key != "bare_arms"})),
        command=command_of(known),
    )


def _tail(rows: Sequence[ArmRow]) -> Tail:
    """Choose the highest percentile that can be compared: known before and under the faults."""
    compared = [row.summary for row in rows if row.role != "recovery" and row.summary.count]
    known = compared and all(summary.p99_ms is not None for summary in compared)
    return "p99" if known else "p95"


def _ended(evidence: Evidence) -> str:
    last = [entry for entry in evidence.journal.of(RunEntry) if entry.edge == "ended"]
    if not last:
        return "not recorded: the run was cut short"
    return f"{last[-1].how}: {last[-1].why}" if last[-1].why else last[-1].how


def _asked(scenario: Scenario) -> tuple[tuple[str, str], ...]:
    match scenario.target:
        case ReferenceTarget(flaws=flaws):
            named = f"with {', '.join(flaws)}" if flaws else "hardened"
            target = f"the bundled reference server, {named}"
        case UrlTarget(url=url):
            target = url
        case LaunchTarget(url=url, launch=launch):
            target = f"{url}, launched as {shlex.join(launch)}"
        case StdioTarget(stdio=stdio, processes=processes):
            target = f"{shlex.join(stdio)}, over pipes, a process for each "
            target += "session" if processes == "session" else "arm"
    agents = "; ".join(
        f"{agent.name} {agent.share:.0%}, a step every {agent.pace_s:.3g} s, "
        f"{len(agent.steps)} {'step' if len(agent.steps) == 1 else 'steps'}"
        for agent in scenario.agents
    )
    auth = scenario.auth
    attempts = scenario.client.retry.attempts
    phases = scenario.phases
    lengths = (
        f"ramp {scenario.load.ramp_s:g} s, warm-up {phases.warmup_s:g} s, "
        f"baseline {phases.baseline_s:g} s, recovery {phases.recovery_s:g} s"
    )
    return (
        ("target", target),
        ("sessions", f"{scenario.load.sessions}, {scenario.load.treated:.0%} of them treated"),
        ("agents", agents),
        ("deadline", f"{scenario.client.deadline_s:g} s a call"),
        ("retries", "none" if attempts == 1 else f"at most {attempts} attempts a call"),
        ("phases", lengths),
        ("tokens", "none" if auth is None else f"{auth.grant}, refresh {auth.refresh}"),
    )


def _bands(evidence: Evidence, judgement: Judgement) -> tuple[Band, ...]:
    windows = {window.id: window for window in evidence.phases.windows}
    return tuple(
        Band(
            verdict=verdict,
            parameters=_parameters(evidence, verdict.id),
            recovery_end_s=(
                windows[verdict.id].recovery_end_ns / NS if verdict.id in windows else verdict.end_s
            ),
        )
        for verdict in judgement.faults
    )


def _parameters(evidence: Evidence, window_id: str) -> str:
    for window in evidence.phases.windows:
        if window.id == window_id:
            values = window.fault.model_dump(mode="json", by_alias=False, exclude_none=True)
            told = {name: value for name, value in values.items() if value not in ("", [], {})}
            return ", ".join(_parameter(name, value) for name, value in told.items())
    return ""


def _parameter(name: str, value: object) -> str:
    """Say a field with its unit behind it: `delay_s`, 0.25 becomes "delay 0.25 s"."""
    if name == "share" and isinstance(value, float):
        return f"share {value:.0%}"
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{name.removesuffix('_bytes').replace('_', ' ')} {size(value)}"
    for suffix, unit in (("_bytes_per_s", "B/s"), ("_ms", "ms"), ("_s", "s")):
        if name.endswith(suffix) and isinstance(value, (int, float)):
            return f"{name.removesuffix(suffix).replace('_', ' ')} {value:g} {unit}"
    return f"{name.replace('_', ' ')} {value}"


def _vitals(entries: Sequence[VitalsEntry]) -> Vitals | None:
    if not entries:
        return None
    rss = [entry.rss_bytes for entry in entries if entry.rss_bytes is not None]
    files = [entry.open_files for entry in entries if entry.open_files is not None]
    return Vitals(
        rss_first_bytes=rss[0] if rss else None,
        rss_peak_bytes=max(rss) if rss else None,
        rss_last_bytes=rss[-1] if rss else None,
        open_files_first=files[0] if files else None,
        open_files_last=files[-1] if files else None,
        died=not all(entry.alive for entry in entries),
    )


def _notes(evidence: Evidence, judgement: Judgement) -> tuple[str, ...]:
    noted = [f"{entry.at_ns / NS:.1f} s: {entry.text}" for entry in evidence.journal.of(NoteEntry)]
    if evidence.journal.damaged_lines:
        noted.append(
            f"{counted(evidence.journal.damaged_lines, 'lines')} of the journal could not be read"
        )
    entries = {entry.text for entry in evidence.journal.of(NoteEntry)}
    notes = [*(note for note in judgement.notes if note not in entries), *noted]
    if len(notes) > _NOTES_MAX:
        notes = [*notes[:_NOTES_MAX], f"{len(notes) - _NOTES_MAX} more notes in journal.jsonl"]
    return tuple(notes)


def flat_facts(facts: Facts, prefix: str = "") -> list[tuple[str, str]]:
    """Give a run's facts as names and texts, bounded."""
    flat: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat += flat_facts(value, f"{name}.")
        elif isinstance(value, (list, tuple)):
            flat.append((name, " ".join(str(part) for part in value)[:_FACT_CHARS_MAX]))
        elif value is not None:
            flat.append((name, str(value)[:_FACT_CHARS_MAX]))
    return flat


def command_of(facts: Facts) -> str:
    """Give the command that repeats the run; "" when it is not known."""
    command = facts.get("command", "")
    return shlex.join(map(str, command)) if isinstance(command, (list, tuple)) else str(command)
