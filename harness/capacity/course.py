"""What a search for capacity asks for, and the scenario and plan that it makes of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Final, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from faults.catalogue import CATALOGUE
from harness import plan as plans
from harness.errors import JournalError, UsageError
from harness.plan import Plan, PlannedWindow
from harness.scenario.conditions import LIMITS, ConditionError, parse_limit
from harness.scenario.records import Abort, Load, Phases, Scenario
from harness.scenario.window import Window

Spacing = Literal["poisson", "even"]

BARE: Final = "bare"
OPENING_S: Final = 15.0  # how long the sessions may take to open, at most
OPENED_PER_S: Final = 100  # sessions; more at once would be a load of its own
LAST_WORDS_S: Final = 60.0  # beyond the budget, before sessions would end by themselves
HELD_PER_S: Final = 400  # calls that a fault's delay may keep in flight without waiting for others
HELD_MAX_S: Final = 2.0
MEASURES: Final = ("answered", "latency_p50", "latency_p95", "latency_p99")
LATENCY_DEFAULT: Final = "<= 500ms"
ANSWERED_DEFAULT: Final = ">= 99%"


@dataclass(frozen=True, kw_only=True)
class Course:
    """One search for capacity, as it was asked for."""

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid")

    first_per_s: float = 50.0  # calls a second; the climb begins here, or goes down from here
    last_per_s: float | None = None  # the highest that is tried; None: found by doubling
    step_s: float = 5.0
    budget_s: float = 120.0  # of all curves together
    sessions: int = 128
    spacing: Spacing = "poisson"
    faults: tuple[str, ...] = ()  # kinds, a curve each; the bare curve comes before them
    limits: tuple[str, ...] = ()  # "latency_p99 <= 500ms", instead of the scenario's
    at_least_per_s: float | None = None  # the gate

    @property
    def curves(self) -> tuple[str, ...]:
        """Name the curves in their order; a curve's number is the fault window's, 0 is bare."""
        return (BARE, *self.faults)


_ADAPTER: Final[TypeAdapter[Course]] = TypeAdapter(Course)


def dump(course: Course) -> dict[str, Any]:
    """Make a course fit for `facts.json`."""
    return asdict(course)


def restore(data: object) -> Course:
    """Read what `dump` made.

    Raises:
        JournalError: when it is not that.
    """
    try:
        return _ADAPTER.validate_python(data)
    except ValidationError as error:
        raise JournalError(
            f"the run's search for capacity was written by another version of squall: {error}"
        ) from error


def chosen(scenario: Scenario, kinds: Sequence[str]) -> tuple[str, ...]:
    """Give the kinds of fault to climb under; with none named, the scenario's first.

    `all` stands for each kind that the scenario has, `none` for the bare curve alone.

    Raises:
        UsageError: when there is no such fault.
    """
    own = tuple(dict.fromkeys(window.fault.kind for window in scenario.faults))
    if not kinds:
        return own[:1]
    if "none" in kinds:
        return ()
    named = tuple(
        dict.fromkeys(each for kind in kinds for each in (own if kind == "all" else (kind,)))
    )
    unknown = [kind for kind in named if kind not in CATALOGUE]
    if unknown:
        raise UsageError(
            f"there is no fault {unknown[0]!r}; squall faults lists them, "
            "all stands for the scenario's own, and none for the bare curve alone"
        )
    return named


def sessions_for(scenario: Scenario, faults: Sequence[str]) -> int:
    """Give how many sessions are plenty: each has one call in flight, which a fault may hold."""
    added_s = max(
        (_window(scenario, kind).fault.added_round_trip_s() for kind in faults), default=0.0
    )
    wanted = Course.sessions + round(min(added_s, HELD_MAX_S) * HELD_PER_S)
    return max(scenario.load.sessions, wanted)


def prepare(scenario: Scenario, course: Course) -> Scenario:
    """Give the scenario as the climb plays it.

    Every session goes through the treated arm's door, so that all curves pay the same hop. Each
    session carries the same share of the rate, so there are as many of an agent as it makes calls.

    Raises:
        UsageError: when a limit means nothing.
    """
    weights = [agent.share / agent.pace_s for agent in scenario.agents]
    agents = tuple(
        agent.model_copy(update={"share": weight / sum(weights)})
        for agent, weight in zip(scenario.agents, weights, strict=True)
    )
    ramp_s = min(OPENING_S, max(1.0, course.sessions / OPENED_PER_S))
    return scenario.model_copy(
        update={
            "agents": agents,
            "faults": tuple(_window(scenario, kind) for kind in course.faults),
            "limits": scenario.limits.model_copy(update=_limits(scenario, course.limits)),
            "load": Load(sessions=course.sessions, ramp=f"{ramp_s}s", treated="100%"),
            "abort": Abort(),
            "engine": "wire",  # the official client is no load
        }
    )


def make_plan(scenario: Scenario, course: Course, windows: tuple[PlannedWindow, ...] = ()) -> Plan:
    """Plan a prepared scenario's sessions; when their calls are due is decided step by step."""
    whole_s = course.budget_s + LAST_WORDS_S
    phases = Phases(warmup="0s", baseline=f"{whole_s}s", recovery="0s")
    made = plans.make(scenario.model_copy(update={"faults": (), "phases": phases}))
    return replace(made, windows=windows)


def _window(scenario: Scenario, kind: str) -> Window:
    """Give the scenario's own fault of that kind, with its parameters; else the default one."""
    own = next((window.fault for window in scenario.faults if window.fault.kind == kind), None)
    return Window.model_validate({"fault": own if own is not None else CATALOGUE[kind]()})


def _limits(scenario: Scenario, texts: Sequence[str]) -> dict[str, str | None]:
    """Give every limit a step is held against, the ones that a climb cannot measure taken out."""
    own = {name: getattr(scenario.limits, name) for name in MEASURES}
    for text in texts:
        name, _, condition = text.strip().partition(" ")
        if name not in MEASURES:
            raise UsageError(
                f"--limit {text!r}: expected one of {', '.join(MEASURES)} and a condition; "
                "write for example 'latency_p99 <= 500ms'"
            )
        try:
            parse_limit(name, condition)
        except ConditionError as error:
            raise UsageError(f"--limit {text!r}: {error}") from error
        own[name] = condition.strip()
    if all(own[name] is None for name in MEASURES[1:]):
        own["latency_p99"] = LATENCY_DEFAULT
    own["answered"] = own["answered"] or ANSWERED_DEFAULT
    return {name: own.get(name) for name in LIMITS}
