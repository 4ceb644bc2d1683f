"""Whether an audit can be asked, and whether its answer can be compared with anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from harness.scenario.dependencies import EmbeddedDependency
from harness.scenario.objections import Objection
from harness.scenario.records import CallStep, ParallelStep, ReferenceTarget, Scenario
from harness.scenario.results import parse_path

SOURCE: Final = "scenario: audit"  # of findings that stand on what the target counted


def audited_tools(scenario: Scenario) -> tuple[str, ...]:
    """The tools whose calls the scenario's audit counts; () without an audit."""
    if scenario.audit is None:
        return ()
    calls = _calls(scenario)
    declared = dict.fromkeys(step.call for step in calls if step.effect == "once")
    return scenario.audit.of or tuple(declared)


def has_ledger(scenario: Scenario) -> bool:
    """Whether effects are written into a ledger of squall's: by its own server or downstream."""
    own = isinstance(scenario.target, ReferenceTarget)
    return own or any(isinstance(d, EmbeddedDependency) for d in scenario.dependencies.values())


def audit(scenario: Scenario) -> Iterator[Objection]:
    """Object to an audit that cannot be asked, or that counts nothing that is called."""
    asked = scenario.audit
    if asked is None:
        return
    if bool(asked.call) == bool(asked.http):
        yield Objection(
            trail=("audit",),
            expected="either call: TOOL or http: URL",
            came="both" if asked.call else "neither",
            mend="name the one that counts the effects",
        )
    if asked.http and asked.arguments:
        yield Objection(
            trail=("audit", "with"),
            expected="arguments for a tool",
            came="arguments beside http:",
            mend="put them into the URL",
        )
    try:
        parse_path(asked.counts)
    except ValueError:
        yield Objection(
            trail=("audit", "counts"),
            expected="a path into the answer",
            came=asked.counts,
            mend='write for example "result.count"',
        )
    called = {step.call for step in _calls(scenario)}
    for place, name in enumerate(asked.of):
        if name not in called:
            yield Objection(
                trail=("audit", "of", place),
                expected="a tool that a step calls",
                came=name,
                mend="name one of: " + ", ".join(sorted(called)) if called else "add such a step",
            )
    if not audited_tools(scenario):
        yield Objection(
            trail=("audit",),
            expected="calls whose effects it counts",
            came="no step with effect: once",
            mend="add effect: once to the step, or of: [TOOL] here",
        )


def _calls(scenario: Scenario) -> tuple[CallStep, ...]:
    return tuple(
        single
        for agent in scenario.agents
        for step in agent.steps
        for single in (step.parallel if isinstance(step, ParallelStep) else (step,))
        if isinstance(single, CallStep)
    )
