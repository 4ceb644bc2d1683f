"""`squall capacity`: climb to the knee of a target, and to that under faults."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any, Final

import click
from pydantic_core import PydanticCustomError

from faults.quantities import parse_pace_s
from harness.capacity import course as courses
from harness.capacity.course import Course
from harness.capacity.wording import rate
from harness.cli import arguments
from harness.cli.arguments import DURATION, load_scenario, overrides_of
from harness.cli.completing import fault_words, flaw_words, scenario_words
from harness.cli.conclusion import Climbed, climbed
from harness.cli.conducting import (
    PIPED,
    check_place,
    colored,
    conducted,
    print_result,
    shown,
    write_json,
)
from harness.errors import Exit, UsageError
from harness.overrides import Overrides
from harness.run import Order
from harness.scenario.load import Loaded
from harness.scenario.units import counted
from reports.capacity.document import capacity as document
from reports.capacity.folder import write_all
from reports.capacity.terminal import summary

CURVE_S: Final = 60.0  # what one curve takes, as a rule
LEAST_STEPS: Final = 3  # with fewer of them there is nothing to close in on
OPENS_S: Final = 5.0


class _Rate(click.ParamType[float]):
    """A rate as people write it: 50/s."""

    name = "rate"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Read `50/s` as 50.0."""
        if isinstance(value, float):
            return value
        try:
            return 1 / parse_pace_s(value)
        except (PydanticCustomError, ZeroDivisionError):
            self.fail(f"expected calls per time, got {value!r}; write for example 50/s", param, ctx)


@click.command(
    epilog="\b\n"
    "Example: squall capacity steady --target http://127.0.0.1:8001/mcp\n"
    "Gate:    squall capacity steady --fault none --at-least 200/s"
)
@click.argument("scenario", metavar="SCENARIO", shell_complete=scenario_words)
@arguments.TARGET
@arguments.LAUNCH
@click.option(
    "--reference",
    metavar="FLAW,...",
    shell_complete=flaw_words,
    help="The bundled server: hardened, or flaws.",
)
@click.option(
    "--from",
    "first",
    type=_Rate(),
    default=50.0,
    metavar="RATE",
    help="Begin with so many calls a second; default 50/s.",
)
@click.option("--to", "last", type=_Rate(), metavar="RATE", help="Try no more than this.")
@click.option(
    "--step", type=DURATION, default=5.0, metavar="TIME", help="How long a step is; default 5s."
)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar="KIND",
    shell_complete=fault_words,
    help="Climb again under this fault: a kind, all of the scenario's, or none; default: the "
    "scenario's first.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="LIMIT",
    help="What keeping up means, as 'latency_p99 <= 500ms'; default: the scenario's limits.",
)
@click.option(
    "--sessions",
    type=click.IntRange(1, 20_000),
    metavar="N",
    help="How many sessions share the rate; default: the scenario's, at least 128.",
)
@click.option(
    "--spacing",
    type=click.Choice(["poisson", "even"]),
    default="poisson",
    help="How calls arrive: as from many independent users, or all alike.",
)
@click.option(
    "--budget",
    type=DURATION,
    metavar="TIME",
    help="Take no longer than about this; default 60s for each curve.",
)
@click.option(
    "--at-least",
    type=_Rate(),
    metavar="RATE",
    help="Fail unless the bare target surely keeps up with this.",
)
@arguments.standing
@click.option(
    "--json", type=click.Path(), metavar="FILE", help="Also write capacity.json here; - is stdout."
)
@arguments.QUIET
def capacity(scenario: str, **flags: Any) -> int:
    """Find the rate up to which a target keeps up, bare and under a fault.

    The scenario's agents make their calls in steps of rising open-loop rate: up
    in doublings to the first overload, which ends the climb, then in around the
    knee. A step that squall itself limited is labelled so and never counted.

    Exit code: 0 measured, 1 --at-least was missed, 2 not run, 3 unknown,
    4 the target died, 5 not proven healed, 130 interrupted and clean.
    """
    check_place("json", flags["json"])
    overrides = overrides_of(flags, flags["era"])
    loaded = load_scenario(scenario, overrides)
    course = _course(loaded, flags)
    prepared = replace(loaded, scenario=courses.prepare(loaded.scenario, course))
    click.echo(_ahead(course), err=True)
    return int(_climbed(prepared, overrides, course, flags))


def _course(loaded: Loaded, flags: dict[str, Any]) -> Course:
    """Make the course out of the flags and the scenario.

    Raises:
        UsageError: when they cannot be meant.
    """
    faults = courses.chosen(loaded.scenario, flags["faults"])
    course = Course(
        first_per_s=flags["first"],
        last_per_s=flags["last"],
        step_s=flags["step"],
        budget_s=flags["budget"] or CURVE_S * (1 + len(faults)),
        sessions=flags["sessions"] or courses.sessions_for(loaded.scenario, faults),
        spacing=flags["spacing"],
        faults=faults,
        limits=flags["limits"],
        at_least_per_s=flags["at_least"],
    )
    if course.last_per_s is not None and course.last_per_s < course.first_per_s:
        raise UsageError(
            f"--to {rate(course.last_per_s)} is below --from {rate(course.first_per_s)}; "
            "give a higher one"
        )
    if not 1 <= course.step_s <= 600:  # noqa: PLR2004  seconds and minutes
        raise UsageError("--step is from 1s to 10m: a step must hold enough calls for a p99")
    least_s = OPENS_S + LEAST_STEPS * course.step_s * len(course.curves)
    if course.budget_s < least_s:
        raise UsageError(
            f"--budget {course.budget_s:g}s is too short for "
            f"{counted(len(course.curves), 'curves')} of {LEAST_STEPS} steps; "
            f"give at least {least_s:g}s, or fewer faults"
        )
    return course


def _ahead(course: Course) -> str:
    """Say what will be done, and how long it takes at most, before it begins."""
    top = "" if course.last_per_s is None else f" to {rate(course.last_per_s)}"
    curves = ", then under ".join(course.curves)
    return (
        f"climbing {curves}: steps of {course.step_s:g} s from {rate(course.first_per_s)}{top}, "
        f"{counted(course.sessions, 'sessions')}, about {course.budget_s:g} s at most"
    )


def _climbed(loaded: Loaded, overrides: Overrides, course: Course, flags: dict[str, Any]) -> Exit:
    order = Order(
        loaded=loaded,
        overrides=overrides,
        command=("squall", *sys.argv[1:]),
        out=flags["out"],
        toxiproxy_url=flags["toxiproxy"],
        allowed=flags["allow_target"],
        course=course,
    )
    ran = conducted(order, quiet=flags["quiet"])
    climb = climbed(ran.folder, not_healed=ran.not_healed)
    assert climb is not None
    write_all(ran.folder, climb.result, climb.facts)
    write_json(document(climb.result), flags["json"])
    _tell(climb, piped=flags["json"] == PIPED)
    return Exit(climb.result.exit_code)


def _tell(climb: Climbed, *, piped: bool) -> None:
    text = summary(climb.result, color=colored(piped=piped), folder=shown(climb.folder))
    print_result(text, piped=piped)
