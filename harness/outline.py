"""A plan in words, 80 columns wide: what `squall check` prints before anything is started."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import Final, assert_never

from faults.fault import LeverName
from harness.plan import NS_PER_S, Plan, flat
from harness.scenario import units
from harness.scenario.audits import has_ledger
from harness.scenario.dependencies import Dependency, UpstreamDependency
from harness.scenario.records import (
    CallStep,
    LaunchTarget,
    ReferenceTarget,
    Scenario,
    StdioTarget,
    UrlTarget,
)
from harness.scenario.transports import is_piped, is_shared

WIDTH: Final = 80
_NEEDS: Final[dict[LeverName, str]] = {
    "network": "a proxy",
    "identity": "tokens",
    "agent": "its own sessions",
    "process": "its own processes",
    "dependency": "the dependency",
}


def describe(plan: Plan, scenario: Scenario) -> str:
    """Say what a run will do: when, with whom, how much, and what it needs."""
    parts = (
        textwrap.fill(scenario.question, WIDTH),
        _target(scenario, plan.seed),
        _timeline(plan, scenario),
        _agents(plan, scenario),
        _calls(plan, scenario),
        _gates(scenario),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _target(scenario: Scenario, seed: int) -> str:
    target = scenario.target
    match target:
        case ReferenceTarget():
            flaws = ", ".join(target.flaws)
            where = f"the reference server, {f'flawed: {flaws}' if flaws else 'hardened'}"
        case UrlTarget():
            where = target.url
        case LaunchTarget():
            where = f"{target.launch[0]}, started by squall, at {target.url}"
        case StdioTarget():
            where = f"{target.stdio[0]}, started by squall, over its standard input and output"
        case _:
            assert_never(target)
    lines = [_field("target", where), _field("era", _era(scenario))]
    if is_piped(target):
        shared = "one for each arm, 2 in all"
        each = f"one for each session, {scenario.load.sessions} at once"
        lines.insert(1, _field("processes", shared if is_shared(target) else each))
    for name, one in scenario.dependencies.items():
        lines.append(_field("needs", f"{name}, {_dependency(one)}, behind a proxy of its own"))
    if scenario.auth is not None:
        auth = scenario.auth
        tokens = f"{auth.grant}, issuer {auth.issuer}, refresh {auth.refresh}"
        lines.append(_field("tokens", tokens))
    return "\n".join([*lines, _field("seed", str(seed))])


def _dependency(one: Dependency) -> str:
    """Say what a dependency is."""
    if isinstance(one, UpstreamDependency):
        return f"which listens at {one.upstream} (variable {one.variable})"
    return "squall's own"


def _era(scenario: Scenario) -> str:
    if scenario.revision is None:
        return scenario.era
    return f"{scenario.spoken_era}, revision {scenario.revision} and no other"


def _field(name: str, text: str) -> str:
    return textwrap.fill(
        text, WIDTH, initial_indent=f"{name:<9} ", subsequent_indent=" " * 10, break_long_words=True
    )


def _timeline(plan: Plan, scenario: Scenario) -> str:
    rows = [
        ("ramp", 0, plan.ramp_end_ns, "sessions open"),
        ("warm-up", plan.ramp_end_ns, plan.baseline_start_ns, "dropped"),
        ("baseline", plan.baseline_start_ns, plan.baseline_end_ns, "what all is compared with"),
    ]
    before_ns = plan.baseline_end_ns
    for planned, window in zip(plan.windows, scenario.faults, strict=True):
        if planned.start_ns > before_ns:
            rows.append(("steady", before_ns, planned.start_ns, ""))
        fault = window.fault
        more = sum(each.window == planned.window for each in plan.sessions)
        needs = f"{more} more sessions" if more else f"needs {_NEEDS[fault.lever]}"
        rows.append((fault.kind, planned.start_ns, planned.end_ns, needs))
        rows.append(("recovery", planned.end_ns, planned.recovery_end_ns, ""))
        before_ns = planned.recovery_end_ns
    lines = [f"{'phase':<18}{'from':>10}{'to':>10}{'for':>10}"]
    for name, start_ns, end_ns, note in rows:
        if end_ns > start_ns:
            spans = (start_ns, end_ns, end_ns - start_ns)
            row = "".join(f"{_seconds(span_ns):>10}" for span_ns in spans)
            lines.append(f"{name:<18}{row}   {note}".rstrip())
    return "\n".join(lines)


def _seconds(span_ns: int) -> str:
    return f"{span_ns / NS_PER_S:.1f} s"


def _agents(plan: Plan, scenario: Scenario) -> str:
    arms = Counter((each.agent, each.arm) for each in plan.sessions if not each.window)
    lines = [f"{'agent':<28}{'sessions':>10}{'treated':>10}{'control':>10}{'pace':>10}{'steps':>8}"]
    for number, agent in enumerate(scenario.agents):
        treated, control = arms[number, "treated"], arms[number, "control"]
        name = textwrap.shorten(agent.name, 27, placeholder="…")
        lines.append(
            f"{name:<28}{treated + control:>10}{treated:>10}{control:>10}"
            f"{units.pace(agent.pace_s):>10}{len(flat(agent)):>8}"
        )
    return "\n".join(lines)


def _calls(plan: Plan, scenario: Scenario) -> str:
    rate = sum(map(plan.calls_a_second, plan.sessions))
    total = sum(plan.count(each.session) for each in plan.sessions)
    effects = any(
        isinstance(step, CallStep) and step.effect
        for agent in scenario.agents
        for step in flat(agent)
    )
    what = f"{total:,} in {_seconds(plan.end_ns)}, {rate:,.1f} a second"
    return "\n".join(
        [
            _field("calls", f"{what}{f'; {_counted(scenario)}' if effects else ''}"),
            _field("", ", ".join(plan.calls)),
        ]
    )


def _counted(scenario: Scenario) -> str:
    """Say who counts the effects, without which nothing can be said of them."""
    if scenario.audit is not None:
        who = scenario.audit.call or scenario.audit.http
        return f"effects are counted by {who}"
    return (
        "effects are counted in the ledger"
        if has_ledger(scenario)
        else "nobody counts the effects: `audit: {call: TOOL}` says which tool does"
    )


def _gates(scenario: Scenario) -> str:
    limits = scenario.limits.model_dump(exclude_none=True)
    lines = []
    if limits:
        lines.append(_field("limits", ", ".join(f"{name} {text}" for name, text in limits.items())))
    if scenario.abort.control_errors is not None:
        lines.append(_field("abort", f"control errors {scenario.abort.control_errors}"))
    return "\n".join(lines)
