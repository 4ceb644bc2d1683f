"""`squall shrink`: the smallest scenario that still fails as a run has failed."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import click

from harness import overrides as changes
from harness.cli import arguments
from harness.cli.arguments import DURATION, flags_of, words_of
from harness.cli.conclusion import climbed, judged, read
from harness.cli.conducting import shown
from harness.errors import Exit, UsageError
from harness.overrides import Overrides
from harness.redaction import redact
from harness.run import SCENARIO
from harness.scenario.units import counted, duration
from harness.shrinking.candidate import Candidate, sessions_min, whole
from harness.shrinking.course import Shrunk
from harness.shrinking.course import shrink as search
from harness.shrinking.failure import Failure, chosen
from harness.shrinking.play import Player
from harness.shrinking.tries import Outcome, Told, Tries
from harness.shrinking.writing import Original, headed, write

FILE: Final = "shrunk.yaml"
TRIES: Final = "tries"


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A run that failed, and what has to be found again."""

    folder: Path
    original: Original
    failure: Failure
    start: Candidate
    flags: tuple[str, ...]  # what its runs are given
    place: Path  # of the new scenario

    @property
    def command(self) -> str:
        """What runs the new scenario."""
        return shlex.join(("squall", "run", shown(self.place), *self.flags))


@click.command(epilog="Example: squall shrink runs/first_storm-20260101T120000Z-1a2b3c4d")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="RUN")
@click.option(
    "--finding",
    default="",
    metavar="VERDICT[:FAULT]",
    help="What has to be found again, or a limit's name; default: the most severe that failed.",
)
@click.option(
    "--budget",
    type=DURATION,
    default=900.0,
    metavar="TIME",
    help="Take no longer than this; default 15m.",
)
@click.option(
    "--tries",
    type=click.IntRange(1, 1000),
    default=60,
    show_default=True,
    metavar="N",
    help="Make no more runs than this.",
)
@click.option(
    "--confirm",
    type=click.IntRange(0, 20),
    default=2,
    show_default=True,
    metavar="N",
    help="Run the smallest N times more, and say how often it failed again.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the new scenario is written; default: RUN/shrunk.yaml.",
)
@click.option("--keep", is_flag=True, help="Keep the folder of every try, in RUN/tries.")
@arguments.TARGET
@arguments.LAUNCH
@arguments.ALLOW_TARGET
@click.option("--toxiproxy", metavar="URL", help="Use this Toxiproxy server, as the run did.")
@arguments.QUIET
def shrink(folder: Path, **flags: Any) -> int:
    """Find the smallest scenario that still fails as RUN did.

    The fewest faults, the shortest windows and phases, the fewest sessions:
    each try is a run, on the same target with the same seed. What is found is
    written as a scenario, and the command that runs it is printed last. Ctrl-C
    ends the search with the smallest so far.

    Exit code: 0 shrunk, or the smallest already; 1 the failure could not be
    reproduced; 2 not run; 5 a try is not proven healed; 130 interrupted.
    """
    task = _task(folder, flags)
    _say(
        f"{task.failure}, from {task.start}; at most {flags['tries']} tries in "
        f"{duration(flags['budget'])}",
        quiet=flags["quiet"],
    )
    player = Player(
        task.original,
        task.failure,
        flags=task.flags,
        out=folder / TRIES,
        keep=flags["keep"],
    )
    tries = Tries(
        player.play,
        budget_s=flags["budget"],
        most=flags["tries"],
        reserved=flags["confirm"],
        tell=lambda told: _say(_row(told), quiet=flags["quiet"]),
    )
    with _terminated_as_interrupted():
        result = search(
            tries,
            task.start,
            suspect=task.failure.window,
            sessions_min=sessions_min(task.original.scenario),
            confirm=flags["confirm"],
        )
    return int(_concluded(task, result))


# --- what is given --------------------------------------------------------------------------


def _task(folder: Path, flags: dict[str, Any]) -> _Task:
    """Read the run that failed, and find what has to be found again.

    Raises:
        UsageError: when nothing failed in it, it was no storm, or its target has to be given.
        JournalError: when there is no run in the folder.
    """
    if climbed(folder) is not None:
        raise UsageError(f"{folder} holds a search for capacity, which has no faults to shrink")
    evidence, facts = read(folder)
    given = changes.restore(facts.get("overrides", {}), folder)
    if given.aa:
        raise UsageError(f"{folder} holds an A/A run, in which nothing was broken")
    failure = chosen(judged(evidence, facts), flags["finding"])
    given = _reached(given, flags)
    file = str(facts.get("file", folder / SCENARIO))
    text = (folder / SCENARIO).read_text(encoding="utf-8")
    original = Original(
        text=text, file=file, overrides=given, scenario=given.load(text, file).scenario
    )
    words = flags_of(given)
    if facts.get("workers"):
        words = (*words, "--workers", str(facts["workers"]))
    if flags["toxiproxy"]:
        words = (*words, "--toxiproxy", flags["toxiproxy"])
    for host in flags["allow_target"]:
        words = (*words, "--allow-target", host)
    place: Path = flags["out"] or folder / FILE
    if flags["out"] and place.exists():
        raise UsageError(f"{place} exists; name another file, nothing is overwritten")
    if not place.absolute().parent.is_dir():
        raise UsageError(f"--out {place}: there is no folder {place.parent}; make it")
    for written in (folder, place.absolute().parent):
        if not os.access(written, os.W_OK):
            raise UsageError(f"cannot write to {written}; copy the run to where you can")
    return _Task(
        folder=folder,
        original=original,
        failure=failure,
        start=whole(original.scenario),
        flags=words,
        place=place,
    )


def _reached(given: Overrides, flags: dict[str, Any]) -> Overrides:
    """Give the run's changes with the target that is named here, if one is.

    Raises:
        UsageError: when the run's record does not say it whole.
    """
    if flags["launch"] and not flags["target"]:
        raise UsageError("--launch needs --target URL: where the started server will answer")
    if flags["target"]:
        launch = words_of("launch", flags["launch"])
        return replace(given, target_url=flags["target"], launch=launch, stdio=None, reference=None)
    said = " ".join((given.target_url or "", *(given.launch or ()), *(given.stdio or ())))
    if redact(said) != said:
        raise UsageError(
            "the run's target was named with a credential, which is not used again unasked; "
            "give it again with --target URL, and --launch CMD if squall started it"
        )
    return given


# --- what is told ---------------------------------------------------------------------------


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        click.echo(text, err=True)


def _row(told: Told) -> str:
    return f"try {told.number:>2}  {told.candidate}: {_word(told.outcome)} ({told.took_s:.0f}s)"


def _word(outcome: Outcome) -> str:
    if outcome.reproduced:
        return "reproduced"
    return outcome.doubt or outcome.refused or outcome.why or "not reproduced"


def _concluded(task: _Task, result: Shrunk) -> Exit:
    """Write the smallest, and say what was found."""
    took = f"{counted(result.tries, 'tries')} in {duration(round(result.took_s))}"
    ended = f"; ended early: {result.ended}" if result.ended else ""
    if result.candidate is None:
        click.echo(f"not reproduced: {task.failure}, {took}{ended}")
        return result.code
    if result.candidate == task.start:
        click.echo(f"the smallest already: {task.start}, {took}{ended}")
    else:
        click.echo(f"shrunk: {task.start} -> {result.candidate}, {took}{ended}")
    rate = _rate(result)
    click.echo(f"found again: {task.failure}, {rate}")
    text = headed(write(task.original, result.candidate), _header(task, result.candidate, rate))
    task.place.write_text(text, encoding="utf-8")
    click.echo(f"wrote {shown(task.place)}")
    click.echo(redact(task.command))
    return result.code


def _rate(result: Shrunk) -> str:
    if not result.confirming:
        return "not confirmed by a second run"
    return f"in {result.reproduced} of {result.confirming} runs made to confirm it"


def _header(task: _Task, smallest: Candidate, rate: str) -> tuple[str, ...]:
    """Say above the scenario where it comes from."""
    numbers = ", ".join(map(str, smallest.windows))
    kept = f" (number {numbers} of its faults)" if numbers else ""
    return (
        f"Shrunk from the run {task.folder.resolve().name}:",
        f"{task.start} -> {smallest}{kept}.",
        f"It fails with {task.failure}, as that run names it; {rate}.",
        f"Run it again: {redact(task.command)}",
    )


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Let SIGTERM end a search as Ctrl-C does: the try under way heals first."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
