"""`squall compare` and `squall baseline`: is it worse than it was? From stored runs, no traffic."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import click

from faults.quantities import parse_share
from harness.cli.conclusion import climbed, judged, read
from harness.cli.conducting import PIPED, check_place, colored, print_result, shown, write_json
from harness.cli.waiting import under_way
from harness.comparison import baseline as baselines
from harness.comparison.digest import Digest, digest
from harness.comparison.identity import Identity, differences
from harness.comparison.ruling import Side
from harness.comparison.ruling import compare as held_together
from harness.errors import Exit, UsageError
from harness.run import FACTS
from reports.comparison.document import comparison as as_json
from reports.comparison.markdown import markdown as as_markdown
from reports.comparison.terminal import stored, summary
from reports.folder import write_whole

PLACE = click.Path(path_type=Path, exists=False)
_WIDTH_MAX = 100


@click.command(
    epilog="Example: squall compare baseline.json runs/first_storm-20260101T120000Z-1a2b"
)
@click.argument("sides", nargs=-1, required=True, type=PLACE, metavar="BASE HEAD")
@click.option(
    "--against",
    multiple=True,
    type=PLACE,
    metavar="HEAD",
    help="One of head's runs; may be repeated. All that stands before it is then base.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["worse"]),
    help="Exit with 1 when anything is worse.",
)
@click.option(
    "--least",
    default="5%",
    show_default=True,
    metavar="SHARE",
    help="Slower or faster by no more than this is the same.",
)
@click.option("--all", "everything", is_flag=True, help="Show every arm, phase and tool.")
@click.option(
    "--json", type=click.Path(), metavar="FILE", help="Also write all of it as JSON; - is stdout."
)
@click.option(
    "--markdown", type=click.Path(), metavar="FILE", help="Also write a summary for a pull request."
)
def compare(
    sides: tuple[Path, ...],
    against: tuple[Path, ...],
    fail_on: str | None,
    least: str,
    *,
    everything: bool,
    json: str | None,
    markdown: str | None,
) -> int:
    """Say whether HEAD is worse than BASE.

    Either is a run folder, a folder of run folders, or a file that squall
    baseline save wrote. Several runs a side also measure how much equal runs
    differ, which one run cannot tell.

    Exit code: 0 compared, 1 worse (with --fail-on worse), 2 not readable,
    3 the two cannot be compared.
    """
    for flag, place in (("json", json), ("markdown", markdown)):
        check_place(flag, place)
    if json == PIPED and markdown == PIPED:
        raise UsageError("--json - and --markdown - both want standard output; name a file for one")
    base, head = _divided(sides, against)
    share = _share(least)
    with under_way("comparing"):
        result = held_together(_side("BASE", base), _side("HEAD", head), latency_least=share)
    write_json(as_json(result), json)
    write_json(as_markdown(result), markdown)
    piped = PIPED in (json, markdown)
    width = min(_WIDTH_MAX, shutil.get_terminal_size((80, 24)).columns)
    text = summary(result, width=width, color=colored(piped=piped), everything=everything)
    print_result(text, piped=piped)
    if result.verdict == "cannot":
        return int(Exit.UNKNOWN)
    return int(Exit.FAIL if fail_on == result.verdict else Exit.PASS)


@click.group(epilog="Example: squall baseline save baseline.json runs/first_storm-*")
def baseline() -> None:
    """Keep runs in a small file that squall compare reads.

    It has at most 200 KiB, so that a repository can hold it.
    """


@baseline.command(epilog="Example: squall baseline save baseline.json runs/first_storm-*")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("runs", nargs=-1, required=True, type=PLACE, metavar="RUN...")
@click.option("--force", is_flag=True, help="Keep runs too whose evidence is not sound.")
def save(file: Path, runs: tuple[Path, ...], *, force: bool) -> int:
    """Write a baseline file of runs.

    Three or more runs also say how much equal runs differ on this machine.
    """
    if not file.absolute().parent.is_dir():
        raise UsageError(f"{file}: there is no folder {file.parent}; make it, or name another file")
    with under_way("judging"):
        side = _side("RUN", runs)
    for run in side.runs:
        if run.doubts and not force:
            raise UsageError(
                f"run {run.run} is no measure for others: {run.doubts[0]}; repeat it, or leave it "
                "out (--force keeps it all the same, and compare will leave it out)"
            )
    text = baselines.write(side.identity, side.runs)
    write_whole(file, text)
    click.echo(stored(str(file), side, len(text.encode())), nl=False)
    return int(Exit.PASS)


@baseline.command(epilog="Example: squall baseline check baseline.json")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def check(file: Path) -> int:
    """Check a baseline file against its schema, and say what it holds."""
    identity, runs = baselines.read(file)
    side = Side(name=str(file), identity=identity, runs=runs)
    click.echo(stored(str(file), side, file.stat().st_size), nl=False)
    return int(Exit.PASS)


@baseline.command(name="schema", epilog="Example: squall baseline schema > baseline.schema.json")
def baseline_schema() -> int:
    """Print the JSON Schema of baseline files."""
    click.echo(baselines.schema_text(), nl=False)
    return int(Exit.PASS)


# --- reading --------------------------------------------------------------------------------


def _divided(
    sides: Sequence[Path], against: Sequence[Path]
) -> tuple[Sequence[Path], Sequence[Path]]:
    if against:
        return sides, against
    if len(sides) != 2:  # noqa: PLR2004  base and head
        raise UsageError(
            f"expected BASE and HEAD, got {len(sides)} of them; several runs a side go into a "
            "folder, or: squall compare BASE... --against HEAD --against HEAD"
        )
    return sides[:1], sides[1:]


def _share(text: str) -> float:
    try:
        return parse_share(text)
    except ValueError as error:
        raise UsageError(f"--least {text}: {error}") from error


def _side(name: str, places: Sequence[Path]) -> Side:
    """Read one side, whose runs have to be alike.

    Raises:
        SquallError: when a place holds no run, or the runs are of different kinds.
    """
    found = [one for place in places for one in _runs(place)]
    first = found[0][0]
    for identity, run in found[1:]:
        apart = "; ".join(one.told for one in differences(first, identity))
        if apart:
            raise UsageError(
                f"{name}: its runs are not alike: {apart} (run {run.run}); "
                "name runs of one scenario, seed and machine"
            )
    told = ", ".join(shown(place) for place in places)
    return Side(name=told, identity=first, runs=tuple(run for _, run in found))


def _runs(place: Path) -> list[tuple[Identity, Digest]]:
    """Read a baseline file, a run folder, or a folder of them."""
    if place.is_file():
        identity, runs = baselines.read(place)
        return [(identity, run) for run in runs]
    if not place.exists():
        raise UsageError(
            f"{place} is not there; name a run folder, a folder of run folders, or a baseline file"
        )
    if (place / FACTS).exists():
        return [_run(place)]
    folders = sorted(one.parent for one in place.glob(f"*/{FACTS}"))
    if not folders:
        raise UsageError(f"{place} holds no run: squall run writes run folders into --out")
    return [_run(folder) for folder in folders]


def _run(folder: Path) -> tuple[Identity, Digest]:
    if climbed(folder) is not None:
        raise UsageError(f"{folder} is a search for capacity; name runs of squall run")
    evidence, facts = read(folder)
    return digest(evidence, judged(evidence, facts), facts)
