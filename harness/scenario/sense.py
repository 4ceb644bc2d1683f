"""Whether a scenario that can be read can also be run and answered: the experiment as a whole.

Each check is skipped where something it stands on is already known to be wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Final

from faults.agent import PayloadRequest, PayloadResponse
from faults.catalogue import CATALOGUE
from harness.scenario.audits import audit
from harness.scenario.conditions import LIMITS, ConditionError, parse_abort, parse_limit
from harness.scenario.credentials import identity, rotations
from harness.scenario.dependencies import DEPENDENT_TOOLS
from harness.scenario.depending import depending
from harness.scenario.edits import edits
from harness.scenario.mistakes import Mistakes, Trail, nearest
from harness.scenario.objections import Objection
from harness.scenario.records import (
    REFERENCE_TOOLS,
    CallStep,
    ParallelStep,
    ReferenceTarget,
    Scenario,
    SingleStep,
    SubscribeStep,
)
from harness.scenario.shares import apportion, treated_count
from harness.scenario.tongues import health, ours_alone, revision, tls, transport
from harness.scenario.transports import clashes
from harness.scenario.units import duration

BASELINE_MIN_S: Final = 3.0
RECOVERY_MIN_S: Final = 1.0
SHARE_SLACK: Final = 0.001  # three times 33.3% is meant to be all
RUN_MAX_S: Final = 24 * 3600.0
CALLS_MAX: Final = 50_000_000  # a record of each is kept in memory until the run is judged


def examine(scenario: Scenario, mistakes: Mistakes, *, by_hand: bool = False) -> None:
    """Note everything about the experiment that makes no sense.

    With `by_hand` it is one whose faults people start, whether it names any or not.
    """
    broken = by_hand or bool(scenario.faults)
    checks = (
        (_shares, (("agents",), ("load",))),
        (partial(_arms, broken=broken), (("load",), ("faults",))),
        (partial(_phases, broken=broken), (("phases",),)),
        (_timeline, (("phases",), ("load",), ("faults",))),
        (_volume, (("agents",), ("phases",), ("load",), ("faults",))),
        (_conditions, ()),
        (partial(_unmeasurable, broken=broken), (("faults",),)),
        (_hypotheses, (("faults",), ("limits",))),
        (tls, (("target",),)),
        (health, (("target",),)),
        (identity, (("target",), ("auth",), ("faults",), ("agents",))),
        (partial(rotations, by_hand=by_hand), (("faults",),)),
        (clashes, (("target",), ("auth",), ("faults",), ("client",), ("load",))),
        (depending, (("target",), ("dependencies",), ("faults",))),
        (_payloads, (("target",), ("faults",), ("agents",))),
        (_tools, (("target",),)),
        (_listening, (("agents",), ("client",))),
        (edits, (("agents",),)),
        (_calling_off, (("agents",), ("client",))),
        (revision, (("era",), ("revision",))),
        (transport, (("target",), ("era",), ("revision",))),
        (audit, (("agents",), ("audit",))),
        (_witnessed, (("agents",),)),
    )
    for check, stands_on in checks:
        if not mistakes.touch(*stands_on):
            for each in check(scenario):
                # What is wrong with a fault as a whole is shown at its name.
                spot = mistakes.key_spot(each.trail) if each.trail[-1] in CATALOGUE else None
                mistakes.add(each.trail, each.expected, each.came, each.mend, spot)


def steps_of(scenario: Scenario) -> Iterator[tuple[Trail, SingleStep]]:
    """Yield every single step of every agent with its place in the file."""
    for number, agent in enumerate(scenario.agents):
        for place, step in enumerate(agent.steps):
            trail: Trail = ("agents", number, "steps", place)
            if isinstance(step, ParallelStep):
                for member, single in enumerate(step.parallel):
                    yield (*trail, "parallel", member), single
            else:
                yield trail, step


def _witnessed(scenario: Scenario) -> Iterator[Objection]:
    """Object to steps that only squall's own client takes beside the official one."""
    if scenario.engine != "sdk":
        return
    for trail, step in steps_of(scenario):
        odd = ours_alone(step)
        if odd:
            yield Objection(
                trail=trail,
                expected="steps that the official client takes as squall's own does",
                came=odd,
                mend="remove engine: sdk, or the step",
            )


def _shares(scenario: Scenario) -> Iterator[Objection]:
    agents, sessions = scenario.agents, scenario.load.sessions
    seen: set[str] = set()
    for number, agent in enumerate(agents):
        if agent.name in seen:
            trail: Trail = ("agents", number, "name")
            yield Objection(
                trail=trail,
                expected="a name of its own for each agent",
                came=agent.name,
                mend="rename one of them",
            )
        seen.add(agent.name)
    total = sum(agent.share for agent in agents)
    if abs(total - 1) > SHARE_SLACK:
        last = len(agents) - 1
        given = 1 - (total - agents[last].share)
        mend = f"make this {given * 100:g}%" if given > 0 else "lower the shares"
        yield Objection(
            trail=("agents", last, "share"),
            expected="shares of all agents that sum to 100%",
            came=f"{total * 100:g}%",
            mend=mend,
        )
        return
    for number, count in enumerate(apportion(sessions, [agent.share for agent in agents])):
        if count == 0:
            yield Objection(
                trail=("agents", number, "share"),
                expected="at least one session for each agent",
                came=f"none out of {sessions}",
                mend="raise the share or load.sessions",
            )


def _arms(scenario: Scenario, *, broken: bool) -> Iterator[Objection]:
    sessions = scenario.load.sessions
    if not broken:
        return
    if sessions < 2:  # noqa: PLR2004  one for each arm
        yield Objection(
            trail=("load", "sessions"),
            expected="at least 2 sessions, one for each arm",
            came=str(sessions),
            mend="raise load.sessions" + (", or remove the faults" if scenario.faults else ""),
        )
        return
    treated = treated_count(sessions, scenario.load.treated)
    if not 0 < treated < sessions:
        yield Objection(
            trail=("load", "treated"),
            expected="at least one treated and one control session",
            came=f"{treated} treated of {sessions}",
            mend="write for example treated: 50%",
        )


def _phases(scenario: Scenario, *, broken: bool) -> Iterator[Objection]:
    phases = scenario.phases
    if phases.baseline_s < BASELINE_MIN_S:
        yield Objection(
            trail=("phases", "baseline"),
            expected=f"at least {duration(BASELINE_MIN_S)}, or nothing can be compared with it",
            came=duration(phases.baseline_s),
            mend="write for example baseline: 10s",
        )
    if broken and phases.recovery_s < RECOVERY_MIN_S:
        yield Objection(
            trail=("phases", "recovery"),
            expected=f"at least {duration(RECOVERY_MIN_S)}, or no recovery can be seen",
            came=duration(phases.recovery_s),
            mend="write for example recovery: 10s",
        )


def _timeline(scenario: Scenario) -> Iterator[Objection]:
    phases = scenario.phases
    free_s = scenario.load.ramp_s + phases.warmup_s + phases.baseline_s
    before = "the baseline ends"
    for number, window in enumerate(scenario.faults):
        if window.duration_s <= 0:
            yield Objection(
                trail=("faults", number, "for"),
                expected="a window longer than nothing",
                came=duration(window.duration_s),
                mend="write for example for: 10s",
            )
        start_s = free_s if window.at_s is None else window.at_s
        if start_s < free_s - 1e-9:
            yield Objection(
                trail=("faults", number, "at"),
                expected=f"{duration(free_s)} or later, when {before}",
                came=duration(start_s),
                mend="move it, or leave at: out and it follows by itself",
            )
            start_s = free_s
        free_s = start_s + window.duration_s + phases.recovery_s
        before = "the window before and its recovery end"
    if free_s > RUN_MAX_S:
        yield Objection(
            trail=("phases",),
            expected="a run of at most 24h",
            came=f"about {free_s / 3600:.3g}h",
            mend="shorten the phases and windows",
        )


def _volume(scenario: Scenario) -> Iterator[Objection]:
    """Object to more calls than can be planned and written down, at the agent that makes most."""
    phases, end_s = scenario.phases, scenario.load.ramp_s
    end_s += phases.warmup_s + phases.baseline_s
    for window in scenario.faults:
        start_s = end_s if window.at_s is None else window.at_s
        end_s = start_s + window.duration_s + phases.recovery_s
    sessions = apportion(scenario.load.sessions, [agent.share for agent in scenario.agents])
    calls = [
        count * end_s / agent.pace_s for count, agent in zip(sessions, scenario.agents, strict=True)
    ]
    if sum(calls) > CALLS_MAX:
        yield Objection(
            trail=("agents", calls.index(max(calls)), "pace"),
            expected=f"a run of at most {CALLS_MAX:,} calls",
            came=f"about {sum(calls):,.0f}",
            mend="lower the pace, or the sessions, or shorten the run",
        )


def _conditions(scenario: Scenario) -> Iterator[Objection]:
    for name in LIMITS:
        text = getattr(scenario.limits, name)
        try:
            _ = text is None or parse_limit(name, text)
        except ConditionError as error:
            yield _condition(("limits", name), text, error)
    stop = scenario.abort.control_errors
    try:
        _ = stop is None or parse_abort(stop)
    except ConditionError as error:
        yield _condition(("abort", "control_errors"), str(stop), error)


def _condition(trail: Trail, text: str, error: ConditionError) -> Objection:
    return Objection(trail=trail, expected=error.expected, came=f'"{text}"', mend=error.mend)


def _hypotheses(scenario: Scenario) -> Iterator[Objection]:
    """Look at what is said of a fault for a game day."""
    known = [name for name in LIMITS if getattr(scenario.limits, name) is not None]
    for number, window in enumerate(scenario.faults):
        said, trail = window.hypothesis, ("faults", number, "hypothesis")
        if said is None:
            continue
        if said.breaks and said.breaks not in known:
            yield Objection(
                trail=(*trail, "breaks"),
                expected="one of the limits that this scenario sets",
                came=said.breaks,
                mend=nearest(said.breaks, known, what="limits"),
            )
        try:
            _ = not said.stop_errors or parse_abort(said.stop_errors)
        except ConditionError as error:
            yield _condition((*trail, "stop_errors"), said.stop_errors, error)


def _unmeasurable(scenario: Scenario, *, broken: bool) -> Iterator[Objection]:
    if scenario.limits.recovery is not None and not broken:
        yield Objection(
            trail=("limits", "recovery"),
            expected="a fault to recover from",
            came="no faults",
            mend="remove the limit, or add a fault",
        )


def _payloads(scenario: Scenario) -> Iterator[Objection]:
    calls = [step for _, step in steps_of(scenario) if isinstance(step, CallStep)]
    has_text = any(
        isinstance(value, str) for call in calls for value in chain(call.arguments.values())
    )
    bundled = isinstance(scenario.target, ReferenceTarget)
    for number, window in enumerate(scenario.faults):
        fault = window.fault
        trail: Trail = ("faults", number, fault.kind)
        if isinstance(fault, PayloadRequest) and not has_text:
            yield Objection(
                trail=trail,
                expected="a call with a text argument that can be made large",
                came="none",
                mend="add one to a step's with:",
            )
        if not isinstance(fault, PayloadResponse):
            continue
        if bundled and (fault.tool, fault.argument) != ("big", "size_bytes"):
            yield Objection(
                trail=(*trail, "tool"),
                expected="tool big with its argument size_bytes",
                came=f"{fault.tool} with {fault.argument}",
                mend="leave tool: and argument: out",
            )
        if not bundled and "tool" not in fault.model_fields_set:
            yield Objection(
                trail=trail,
                expected="a tool of the target whose result can be made large",
                came="none",
                mend="add tool: NAME and argument: NAME",
            )


def _listening(scenario: Scenario) -> Iterator[Objection]:
    if scenario.client.listen:
        return
    if scenario.client.follow_changes:
        yield Objection(
            trail=("client", "follow_changes"),
            expected="listen: true beside it, or no change is heard of",
            came="listen: false",
            mend="add listen: true",
        )
    if scenario.era == "modern":  # where to subscribe is to listen
        return
    for trail, step in steps_of(scenario):
        if isinstance(step, SubscribeStep) and step.method == "resources/subscribe":
            yield Objection(
                trail=(*trail, "subscribe"),
                expected="client.listen: true, or the updates go unheard",
                came="listen: false",
                mend="add client: {listen: true}",
            )


def _calling_off(scenario: Scenario) -> Iterator[Objection]:
    """Look at the times of calls that may end otherwise than by their deadline."""
    for trail, step in steps_of(scenario):
        if not isinstance(step, CallStep):
            continue
        deadline_s = step.deadline_s or scenario.client.deadline_s
        if step.cancel_after_s is not None and step.cancel_after_s >= deadline_s:
            yield Objection(
                trail=(*trail, "cancel_after"),
                expected=f"less than the deadline of {duration(deadline_s)}",
                came=duration(step.cancel_after_s),
                mend="shorten it, or lengthen the deadline",
            )
        if step.patience_s is not None and step.patience_s <= deadline_s:
            yield Objection(
                trail=(*trail, "patience"),
                expected=f"more than the deadline of {duration(deadline_s)}, which it puts off",
                came=duration(step.patience_s),
                mend="lengthen it, or leave it out",
            )
        if step.cancel_after_s is not None and step.patience_s is not None:
            yield Objection(
                trail=(*trail, "patience"),
                expected="either cancel_after or patience",
                came="both",
                mend="remove one of them",
            )


def _tools(scenario: Scenario) -> Iterator[Objection]:
    if not isinstance(scenario.target, ReferenceTarget):
        return
    tools = (*REFERENCE_TOOLS, *(DEPENDENT_TOOLS if scenario.dependencies else ()))
    for trail, step in steps_of(scenario):
        if isinstance(step, CallStep) and step.call not in tools:
            yield Objection(
                trail=(*trail, "call"),
                expected="a tool of the reference server",
                came=step.call,
                mend=nearest(step.call, tools, what="its tools"),
            )
