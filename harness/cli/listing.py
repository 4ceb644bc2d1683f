"""`squall check`, `faults`, `scenarios` and `schema`: what there is, and what is right."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from faults.agent_sessions import Asked
from faults.catalogue import CATALOGUE
from faults.fault import Fault
from harness import plan
from harness.errors import Exit, ScenarioError, UsageError
from harness.outline import describe
from harness.scenario import units
from harness.scenario.load import load
from harness.scenario.schema import json_schema
from scenarios import shipped

WIDTH = 80
_WRITERS: Final[Mapping[str, Callable[[Any], str]]] = {
    "rate_s": units.pace,
    "_bytes_per_s": units.bandwidth,
    "_bytes": units.size,
    "_s": units.duration,
    "share": units.share,
    "overdue": units.share,
}


@click.command(epilog="Example: squall check scenarios/first_storm.yaml")
@click.argument("scenarios", nargs=-1, required=True, metavar="SCENARIO...")
def check(scenarios: tuple[str, ...]) -> int:
    """Validate scenarios and print their plans; nothing is started.

    Every mistake is named with file, line and column, what was expected, and the
    mend.
    """
    code = Exit.PASS
    for name in scenarios:
        path = Path(name)
        if not path.exists() and name in shipped():
            path = shipped()[name]
        try:
            scenario = load(path).scenario
        except ScenarioError as error:
            click.echo(str(error), err=True)
            code = Exit.NOT_RUN
            continue
        click.echo(describe(plan.make(scenario), scenario))
    return int(code)


@click.command(epilog="Example: squall faults token-expire")
@click.argument("names", nargs=-1, metavar="[FAULT]...")
@click.option("--json", "as_json", is_flag=True, help="Print the catalogue as JSON.")
def faults(names: tuple[str, ...], *, as_json: bool) -> int:
    """List the faults, or explain the ones named: parameters, units, defaults."""
    unknown = [name for name in names if name not in CATALOGUE]
    if unknown:
        raise UsageError(f"there is no fault {unknown[0]!r}; squall faults lists them")
    chosen = {name: CATALOGUE[name] for name in names} if names else CATALOGUE
    if as_json:
        click.echo(json.dumps([_as_data(fault) for fault in chosen.values()], indent=2))
    elif names:
        click.echo("\n\n".join(_explain(fault) for fault in chosen.values()))
    else:
        _table(chosen)
    return int(Exit.PASS)


def _paragraph(fault: type[Fault], number: int) -> str:
    """Give one part of a fault's docstring: what breaks, what resilience is, what shows."""
    parts = (fault.__doc__ or "").split("\n\n")
    text = parts[number] if number < len(parts) else ""
    return " ".join(text.split())


def _parameters(fault: type[Fault]) -> list[tuple[str, str, str]]:
    """Give name, default and meaning of each parameter, as a scenario writes them."""
    return [
        (
            field.alias or key,
            _written(key, field.get_default(call_default_factory=True)),
            field.description or "",
        )
        for key, field in fault.model_fields.items()
    ]


def _written(key: str, value: object) -> str:
    """Write a default the way a scenario would, unit included; the key's ending says which."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        for ending, write in _WRITERS.items():
            if key.endswith(ending):
                return write(value)
    if isinstance(value, Asked):
        return f"{value.tool} {value.arguments}" if value.tool else "none"
    return str(value) if value != () else "none"


def _as_data(fault: type[Fault]) -> dict[str, object]:
    return {
        "fault": fault.kind,
        "lever": fault.lever,
        "what": _paragraph(fault, 0),
        "parameters": [
            {"name": name, "default": default, "meaning": meaning}
            for name, default, meaning in _parameters(fault)
        ],
        "shows": list(fault.shows),
    }


def _explain(fault: type[Fault]) -> str:
    lines = [f"{fault.kind}  (lever: {fault.lever})"]
    doc = [" ".join(part.split()) for part in (fault.__doc__ or "").split("\n\n")]
    lines += [click.wrap_text(part, WIDTH, "  ", "  ") for part in doc if part]
    rows = _parameters(fault)
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
        table.add_row(fault.kind, fault.lever, _paragraph(fault, 0))
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
