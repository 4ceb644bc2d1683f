"""`squall gameday`: a storm of steady load, and faults by hand from a page of its own."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from typing import Any, Final

import anyio
import click

from harness.cli import arguments
from harness.cli.arguments import DURATION, load_scenario, overrides_of
from harness.cli.completing import flaw_words, scenario_words
from harness.cli.conclusion import conclude
from harness.cli.conducting import colored, conducted, print_result, shown
from harness.errors import Exit, UsageError
from harness.gameday.day import Day
from harness.gameday.doors import Doors, open_doors
from harness.gameday.leases import LEASE_MAX_S, LEASE_S
from harness.gameday.terms import Terms
from harness.run import Order, foresee
from harness.scenario.records import Scenario
from reports.folder import RECORD
from reports.terminal import summary

LONGEST_S: Final = 2 * 3600.0
LONGEST_MAX_S: Final = 24 * 3600.0
LEASE_MIN_S: Final = 10.0
STARTS_S: Final = 5.0  # what the target and the proxies usually take
AFTER_BASELINE_S: Final = 10.0  # a day without time for a fault is none


@click.command(epilog="Example: squall gameday steady --target http://127.0.0.1:8001/mcp --for 1h")
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
    "--web",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="PORT",
    help="Serve the page on 127.0.0.1:PORT; default: any free port.",
)
@click.option(
    "--for",
    "longest",
    type=DURATION,
    default=LONGEST_S,
    metavar="TIME",
    help="End the day after this, if nobody does before; default 2h.",
)
@click.option(
    "--lease",
    type=DURATION,
    default=LEASE_S,
    metavar="TIME",
    help="How long a fault outlives the last operator's page; default 30s, at most 120s.",
)
@arguments.standing
@arguments.QUIET
def gameday(scenario: str, **flags: Any) -> int:
    """Hold a game day: steady load, and faults started and stopped by hand.

    Prints two links to one live page, for operators and for those who look on; the
    page is there at once and says what it waits for. The scenario gives load, two
    arms, target and limits, and needs no faults: those it has are the game plan,
    offered one by one.

    A fault is started with a hypothesis, on a lease that ends when no operator's
    page is connected. HALT, or Ctrl+Shift+H on the page, undoes everything and
    proves it. When the day is ended, on the page or by Ctrl-C, it is judged as any
    run, and its record is in the run folder: record.html and record.md.

    Exit code: as squall run.
    """
    overrides = replace(overrides_of(flags, flags["era"]), by_hand=True)
    loaded = load_scenario(scenario, overrides)
    _check(loaded.scenario, flags)
    order = Order(
        loaded=loaded,
        overrides=overrides,
        command=("squall", *sys.argv[1:]),
        out=flags["out"],
        toxiproxy_url=flags["toxiproxy"],
        allowed=flags["allow_target"],
    )
    anyio.run(foresee, order)  # nobody is invited to a day that cannot be
    doors = open_doors(flags["web"])
    click.echo(_invitation(doors, loaded.scenario), err=True)
    day = Day(terms=Terms(longest_s=flags["longest"], lease_s=flags["lease"]), doors=doors)
    ran = conducted(replace(order, day=day), quiet=flags["quiet"])
    conclusion = conclude(ran.folder, not_healed=ran.not_healed)
    text = summary(
        conclusion.report,
        width=min(100, shutil.get_terminal_size((80, 24)).columns),
        color=colored(piped=False),
        folder=shown(conclusion.folder),
        artefacts=(("record", f"{shown(conclusion.folder)}/{RECORD}"),),
    )
    print_result(text, piped=False)
    return int(Exit(conclusion.judgement.exit_code))


def _check(scenario: Scenario, flags: dict[str, Any]) -> None:
    """See that there can be a day of this kind with this scenario, on these terms.

    Raises:
        UsageError: when there cannot.
    """
    if not LEASE_MIN_S <= flags["lease"] <= LEASE_MAX_S:
        raise UsageError(
            f"--lease is from {LEASE_MIN_S:g}s to {LEASE_MAX_S:g}s: a page that has gone must "
            "not leave its faults behind"
        )
    least_s = _until_baseline_s(scenario) + AFTER_BASELINE_S
    if not least_s <= flags["longest"] <= LONGEST_MAX_S:
        raise UsageError(
            f"--for is from {least_s:g}s, the baseline and {AFTER_BASELINE_S:g} s, to 24h"
        )


def _invitation(doors: Doors, scenario: Scenario) -> str:
    before_s = _until_baseline_s(scenario) + STARTS_S
    return (
        f"operators: {doors.link('operator')}\n"
        f"viewers:   {doors.link('viewer')}\n"
        "Open one in a browser on this machine; whoever has the first may break things.\n"
        f"The page is there now; faults can be started in about {before_s:.0f} s, when the target "
        "stands and the baseline is measured."
    )


def _until_baseline_s(scenario: Scenario) -> float:
    """Give how long it takes until the baseline is measured, once the load has begun."""
    return scenario.load.ramp_s + scenario.phases.warmup_s + scenario.phases.baseline_s
