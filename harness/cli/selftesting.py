"""`squall selftest`: does this squall, on this machine, find what it is for?"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final, TextIO

import click

from harness.cli.completing import Item, flaw_words, words_of
from harness.errors import Exit, UsageError
from harness.flaws import Flaw
from harness.scenario.mistakes import nearest
from harness.selftest import suite
from harness.selftest.cases import ERAS, Era
from harness.selftest.matrix import page
from harness.selftest.play import Players, Result
from harness.selftest.stage import stages
from harness.selftest.table import line, row, summary

_TELLING: Final = threading.Lock()  # trials end in threads of their own


def _stage_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Item]:
    """Complete the names of stages."""
    del ctx, param
    return words_of(stages(), incomplete)


@click.command(epilog="Example: squall selftest --flaw no-dedup --era legacy")
@click.option(
    "--seeds",
    default="1",
    show_default=True,
    metavar="SEEDS",
    help="How many, or which: 20, 3-5 or 1,7.",
)
@click.option(
    "--flaw",
    "flaws",
    multiple=True,
    metavar="FLAW",
    shell_complete=flaw_words,
    help="Only this flaw; may be repeated.",
)
@click.option(
    "--stage",
    "names",
    multiple=True,
    metavar="STAGE",
    shell_complete=_stage_words,
    help="Only this stage; may be repeated.",
)
@click.option(
    "--era",
    type=click.Choice([*ERAS, "both"]),
    default="both",
    show_default=True,
    help="Speak this protocol era.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 16),
    default=2,
    show_default=True,
    metavar="N",
    help="How many runs there are at a time.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs/selftest"),
    show_default=True,
    metavar="DIRECTORY",
    help="Where run folders are made.",
)
@click.option("--keep", is_flag=True, help="Keep the folder of every run, not of wrong ones alone.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A line a run, as it ends.",
)
@click.option("--list", "listing", is_flag=True, help="Say which trials there are; run none.")
@click.option("--matrix", is_flag=True, help="Print flaws, faults and verdicts as Markdown.")
def selftest(  # noqa: PLR0917  one argument an option
    seeds: str,
    flaws: tuple[str, ...],
    names: tuple[str, ...],
    era: str,
    jobs: int,
    out: Path,
    keep: bool,
    json_file: Path | None,
    listing: bool,
    matrix: bool,
) -> int:
    """Run servers with known flaws, and sound ones, and see what is found.

    Each flaw must be found by its name, with evidence and nothing unrelated
    beside it; sound servers must come out clean. Exit 0 if all is so, else 1.
    """
    if matrix:
        click.echo(page(), nl=False)
        return int(Exit.PASS)
    _check(flaws, [flaw.value for flaw in Flaw], "flaw")
    _check(names, list(stages()), "stage")
    eras: tuple[Era, ...] = ERAS if era == "both" else (_era(era),)
    trials = suite.of(flaws=flaws, names=names, eras=eras, seeds=numbers(seeds))
    if listing:
        for trial in trials:
            click.echo(f"{trial} {trial.verdict or 'nothing'}")
        return int(Exit.PASS)
    with ExitStack() as stack:
        file = stack.enter_context(json_file.open("w", encoding="utf-8")) if json_file else None
        players = Players(out=out, jobs=jobs, keep=keep)
        results = players.play_all(trials, tell=partial(_tell, file))
    click.echo(summary(results))
    return int(Exit.PASS if all(one.right for one in results) else Exit.FAIL)


def _tell(file: TextIO | None, result: Result) -> None:
    with _TELLING:
        click.echo(row(result))
        if file is not None:
            file.write(line(result) + "\n")
            file.flush()


def _era(name: str) -> Era:
    return "legacy" if name == "legacy" else "modern"


def _check(given: tuple[str, ...], known: list[str], what: str) -> None:
    for name in given:
        if name not in known:
            mend = nearest(name, known, what="there are")
            raise UsageError(f"expected a {what}, found {name!r}; {mend}")


def numbers(given: str) -> tuple[int, ...]:
    """Read `20` as 1 to 20, and `3-5,9` as 3, 4, 5 and 9.

    Raises:
        UsageError: when it is neither.
    """
    try:
        if given.isdigit():
            return tuple(range(1, int(given) + 1))
        spans = [part.partition("-") for part in given.split(",")]
        return tuple(n for low, _, high in spans for n in range(int(low), int(high or low) + 1))
    except ValueError:
        raise UsageError(f"expected seeds as in 20, 3-5 or 1,7, found {given!r}") from None
