"""`squall check`, `faults`, `scenarios` and `schema`: what there is, and what is right."""

from __future__ import annotations

import json
import shutil
from math import floor
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from faults.catalogue import CATALOGUE
from faults.fault import Fault
from harness import plan
from harness.cli.arguments import locate
from harness.cli.completing import fault_words, scenario_words
from harness.errors import Exit, ScenarioError, UsageError
from harness.evidence.volume import CALLS_MIN, Thin, thin
from harness.evidence.watch import Cramped, cramped
from harness.outline import describe
from harness.scenario.load import Loaded, load
from harness.scenario.mistakes import likely
from harness.scenario.parameters import paragraph, parameters_of
from harness.scenario.schema import json_schema
from harness.scenario.units import duration
from scenarios import shipped

WIDTH = 80


@click.command(epilog="Example: squall check scenarios/first_storm.yaml")
@click.argument(
    "scenarios", nargs=-1, required=True, metavar="SCENARIO...", shell_complete=scenario_words
)
def check(scenarios: tuple[str, ...]) -> int:
    """Validate scenarios and print their plans; nothing is started.

    Every mistake is named with file, line and column, what was expected, and the
    mend. So is, as a warning, what the plan leaves no room to judge.
    """
    code = Exit.PASS
    for name in scenarios:
        try:
            loaded = load(locate(name))
        except ScenarioError as error:
            click.echo(str(error), err=True)
            code = Exit.NOT_RUN
            continue
        planned = plan.make(loaded.scenario)
        click.echo(describe(planned, loaded.scenario))
        if (tight := cramped(planned, loaded.scenario)) is not None:
            click.echo(_warning(loaded, tight), err=True)
        for phase in thin(planned):
            click.echo(_thin(loaded, phase), err=True)
    return int(code)


def _warning(loaded: Loaded, tight: Cramped) -> str:
    """Say that the limit on the recovery cannot be judged, and the mend."""
    limit = loaded.scenario.limits.recovery
    whole_s = floor(tight.seen_s)
    lower = f', or limits: {{recovery: "<= {duration(whole_s)}"}}' if whole_s else ""
    return (
        f"{loaded.lines.at('limits', 'recovery')}: warning: limits.recovery: a watch of "
        f"{duration(tight.watch_s)} has no room for {limit}: a way back that begins more than "
        f"{duration(round(tight.seen_s, 1))} after its fault cannot be seen in it; write "
        f"phases: {{recovery: {duration(tight.enough_s)}}}{lower}"
    )


def _thin(loaded: Loaded, phase: Thin) -> str:
    """Say that too few calls are planned for a verdict, and the mend."""
    longer = f"write phases: {{{phase.phase}: {duration(phase.enough_s)}}}, or " * bool(phase.due)
    return (
        f"{loaded.lines.at('phases', phase.phase)}: warning: phases.{phase.phase}: {phase.due} "
        f"calls of the {phase.arm} sessions are due in it, and a verdict needs {CALLS_MIN}; "
        f"{longer}raise load.sessions or the pace"
    )


@click.command(epilog="Example: squall faults token-expire")
@click.argument("names", nargs=-1, metavar="[FAULT]...", shell_complete=fault_words)
@click.option("--json", "as_json", is_flag=True, help="Print the catalogue as JSON.")
def faults(names: tuple[str, ...], *, as_json: bool) -> int:
    """List the faults, or explain the ones named: parameters, units, defaults."""
    unknown = [name for name in names if name not in CATALOGUE]
    if unknown:
        meant = likely(unknown[0], CATALOGUE)
        mend = f"did you mean {meant}?" if meant else "squall faults lists them"
        raise UsageError(f"there is no fault {unknown[0]!r}; {mend}")
    chosen = {name: CATALOGUE[name] for name in names} if names else CATALOGUE
    if as_json:
        click.echo(json.dumps([_as_data(fault) for fault in chosen.values()], indent=2))
    elif names:
        click.echo("\n\n".join(_explain(fault) for fault in chosen.values()))
    else:
        _table(chosen)
    return int(Exit.PASS)


def _as_data(fault: type[Fault]) -> dict[str, object]:
    return {
        "fault": fault.kind,
        "lever": fault.lever,
        "what": paragraph(fault, 0),
        "parameters": [
            {"name": name, "default": default, "meaning": meaning}
            for name, default, meaning in parameters_of(fault)
        ],
        "shows": list(fault.shows),
    }


def _explain(fault: type[Fault]) -> str:
    lines = [f"{fault.kind}  (lever: {fault.lever})"]
    doc = [" ".join(part.split()) for part in (fault.__doc__ or "").split("\n\n")]
    lines += [click.wrap_text(part, WIDTH, "  ", "  ") for part in doc if part]
    rows = parameters_of(fault)
    if rows:
        lines.append("  parameters:")
    for name, default, meaning in rows:
        head = f"    {name}: {default}".ljust(26)
        lines.append(click.wrap_text(f"{head} {meaning}".rstrip(), WIDTH, "", " " * 27))
    lines.append(click.wrap_text(f"finds: {', '.join(fault.shows)}", WIDTH, "  ", "    "))
    return "\n".join(lines)


def _table(chosen: dict[str, type[Fault]]) -> None:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="")
    table.add_column("fault", no_wrap=True)
    table.add_column("lever", no_wrap=True)
    table.add_column("what breaks")
    for fault in chosen.values():
        table.add_row(fault.kind, fault.lever, paragraph(fault, 0))
    Console(width=WIDTH, highlight=False).print(table)
    click.echo("\nsquall faults NAME explains one: its parameters, and what it finds.")


@click.command(epilog="Example: squall scenarios --copy my-scenarios")
@click.option(
    "--copy",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Put the shipped files into a folder, to be edited.",
)
def scenarios(copy: Path | None) -> int:
    """List the shipped scenarios, each with the question it answers."""
    for name, path in shipped().items():
        if copy is not None:
            _copy(path, copy)
            continue
        question = load(path).scenario.question
        click.echo(click.wrap_text(f"{name:<20} {question}", WIDTH, "", " " * 21))
    return int(Exit.PASS)


def _copy(path: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / path.name
    if place.exists():
        raise UsageError(f"{place} exists; name another folder, nothing is overwritten")
    shutil.copyfile(path, place)
    click.echo(place)


@click.command(epilog="Example: squall schema > squall.schema.json")
def schema() -> int:
    """Print the JSON Schema of scenario files, for editors."""
    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
    return int(Exit.PASS)
