"""Edits that several sessions make to one thing, and the call that shows them all."""

from __future__ import annotations

from collections.abc import Iterator

from harness.scenario.expressions import compile as compile_template
from harness.scenario.mistakes import nearest
from harness.scenario.objections import Objection
from harness.scenario.records import CallStep, ParallelStep, Scenario, SingleStep


def edits(scenario: Scenario) -> Iterator[Objection]:
    """Object to a `seen_in` that no step reads, or that is not the same thing in every call."""
    steps = [(trail, step) for trail, step in _calls(scenario) if isinstance(step, CallStep)]
    by_tool = {step.call: step for _, step in steps}
    for trail, step in steps:
        if not step.seen_in:
            continue
        reader = by_tool.get(step.seen_in)
        if reader is None:
            yield Objection(
                trail=(*trail, "seen_in"),
                expected="a tool that some step calls, to see what has become of the edits",
                came=step.seen_in,
                mend=nearest(step.seen_in, tuple(by_tool), what="the tools that are called"),
            )
        elif compile_template(reader.arguments).needs:
            yield Objection(
                trail=(*trail, "seen_in"),
                expected="a call with the same arguments each time, which shows all edits",
                came=f"{step.seen_in} with ${{...}} in its arguments",
                mend="name what is edited, the same for all sessions",
            )


def _calls(
    scenario: Scenario,
) -> Iterator[tuple[tuple[str | int, ...], SingleStep]]:
    for number, agent in enumerate(scenario.agents):
        for place, step in enumerate(agent.steps):
            if isinstance(step, ParallelStep):
                for member, single in enumerate(step.parallel):
                    yield ("agents", number, "steps", place, "parallel", member), single
            else:
                yield ("agents", number, "steps", place), step
