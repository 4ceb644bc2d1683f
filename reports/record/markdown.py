"""The record of a game day as Markdown, for a wiki page or an issue."""

from __future__ import annotations

from collections.abc import Iterator

from reports.markdown import escape, table
from reports.record.day import NS, Day, Trial
from reports.report import Report
from reports.words import clock, milliseconds, share


def markdown(report: Report, day: Day) -> str:
    """Give the record; the same day gives the same bytes."""
    return "\n".join(_lines(report, day)) + "\n"


def _lines(report: Report, day: Day) -> Iterator[str]:
    judgement = report.judgement
    yield f"# Game day: {escape(report.name)}"
    yield ""
    yield escape(judgement.question)
    yield ""
    yield f"**{escape(judgement.headline)}**"
    yield ""
    yield f"- length: {clock(report.length_s)}; {escape(report.ended)}"
    yield f"- people: {escape(', '.join(day.people)) or 'nobody'}"
    yield f"- faults: {len(day.trials)}, hypotheses that did not hold: {day.surprises}"
    for why in day.audit:
        yield f"- audit: {escape(why)}"
    yield ""
    yield "## Hypothesis and observation"
    for trial in day.trials:
        yield from _trial(trial)
    if not day.trials:
        yield ""
        yield "No fault was started."
    yield ""
    yield "## Timeline"
    yield from table(
        ("at", "who", "what"),
        [
            (
                clock(one.at_ns / NS),
                escape(one.who) or "squall",
                escape(_about(one.window, one.words)),
            )
            for one in day.happenings
        ],
    )
    if day.left_out:
        yield ""
        yield f"{day.left_out} more in the middle stand in the journal."
    yield ""
    yield "## Findings"
    yield ""
    failed = [found.finding for found in report.findings if found.finding.ruling == "fail"]
    for finding in failed:
        where = finding.fault or "whole day"
        yield f"- **{escape(finding.verdict)}** ({escape(where)}): {escape(finding.why)}"
    if not failed:
        yield "Nothing was found wrong."
    doubts = [one for one in judgement.soundness if one.ruling != "pass"]
    for doubt in doubts:
        yield f"- evidence, {escape(doubt.name)}: {escape(doubt.why)}"
    yield ""
    yield "## Actions"
    yield ""
    for action in day.actions:
        about = f" ({escape(action.about)})" if action.about else ""
        who = f", said {escape(action.who)}" if action.who else ""
        yield f"- [ ] {escape(action.text)}{about}{who}"
    if not day.actions:
        yield "None was written down."


def _about(window: int, words: str) -> str:
    return f"{window}: {words}" if window else words


def _trial(trial: Trial) -> Iterator[str]:
    order, verdict = trial.order, trial.verdict
    yield ""
    yield f"### {escape(verdict.id)}: {escape(trial.outcome)}"
    yield ""
    undone = "undone" if verdict.healed else "**not proven undone**"
    yield (
        f"{escape(order.who)} ordered it at {clock(order.at_ns / NS)} "
        f"({escape(trial.parameters)}); in force from {clock(verdict.start_s)} "
        f"to {clock(verdict.end_s)}; hit {escape(verdict.exposure)}; {undone}."
    )
    yield ""
    yield f"- expected: {escape(order.expected)}"
    yield f"- limit missed: {escape(order.breaks) or 'none'}"
    stop = f", or treated errors {order.stop_errors}" if order.stop_errors else ""
    yield f"- stop: {escape(order.stop_when + stop)}"
    yield from table(
        ("limit", "wanted", "under this fault", ""),
        [
            (
                escape(gate.name),
                escape(gate.wanted),
                gate.observed,
                "not measured" if gate.missed is None else "missed" if gate.missed else "held",
            )
            for gate in trial.gates
        ],
    )
    yield from table(
        ("phase", "arm", "calls", "answered", "p50", "p99"),
        [
            (
                side.phase,
                side.arm,
                f"{side.calls:,}",
                share(side.answered),
                milliseconds(side.p50_ms),
                milliseconds(side.p99_ms),
            )
            for side in trial.sides
        ],
    )
    if trial.observations or trial.findings:
        yield ""
    for said in trial.observations:
        judged = f", as expected: {said.as_expected}" if said.as_expected else ""
        yield f"- {clock(said.at_ns / NS)} {escape(said.who)}{judged}: {escape(said.text)}"
    for found in trial.findings:
        yield f"- found: {escape(found)}"
