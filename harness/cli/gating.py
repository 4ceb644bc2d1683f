"""Where several results go: one table, one verdict line, and the files that a pipeline reads."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from harness.cli.conclusion import Climbed, Conclusion
from harness.cli.conducting import PIPED, check_place, colored, print_result, shown, write_file
from harness.cli.failing import Failure
from harness.errors import Exit, UsageError
from harness.scenario.load import Lines
from reports.gate.annotations import remarks
from reports.gate.entries import Batch, Entry, told_first, told_of
from reports.gate.junit import junit
from reports.gate.markdown import markdown
from reports.gate.table import Artefact, table
from reports.terminal import summary

WIDTH_MAX: Final = 100
# What GitHub's runner sets; nothing of it is there elsewhere.
ON_GITHUB: Final = "GITHUB_ACTIONS"
STEP_SUMMARY: Final = "GITHUB_STEP_SUMMARY"
WORKSPACE: Final = "GITHUB_WORKSPACE"
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the flags want a gate to be written."""

    junit: str | None = None
    markdown: str | None = None

    def check(self) -> None:
        """See that they may be written, before there is anything to write.

        Raises:
            UsageError: when a folder is not there, or no file is meant.
        """
        for flag, place in (("junit", self.junit), ("markdown", self.markdown)):
            if place == PIPED:  # the result and the verdict line are there
                raise UsageError(
                    f"--{flag} {PIPED}: expected a file, got standard output; name one"
                )
            check_place(flag, place)


def gated(command: F) -> F:
    """Add the flags that say where a gate is written."""
    for decorate in (
        click.option(
            "--markdown",
            type=click.Path(),
            metavar="FILE",
            help="Also write a Markdown summary here.",
        ),
        click.option(
            "--junit", type=click.Path(), metavar="FILE", help="Also write a JUnit file here."
        ),
    ):
        command = decorate(command)
    return command


def entry_of(conclusion: Conclusion) -> Entry:
    """Give what a gate holds of a judged run."""
    judgement = conclusion.judgement
    return Entry(
        name=conclusion.report.name,
        file=conclusion.lines.file,
        code=Exit(judgement.exit_code),
        told=told_first(judgement),
        era=judgement.era,
        report=conclusion.report,
        folder=shown(conclusion.folder),
        lines=conclusion.lines,
    )


def entry_of_climb(climb: Climbed) -> Entry:
    """Give what a gate holds of a search for capacity."""
    result = climb.result
    return Entry(
        name=result.scenario,
        file=str(climb.facts.get("file", "")),
        code=Exit(result.exit_code),
        told=told_of(result.headline, result.scenario),
        era=result.era,
        folder=shown(climb.folder),
    )


def entry_without(name: str, failure: Failure, lines: Lines | None = None) -> Entry:
    """Give what a gate holds of a scenario that came to no result."""
    return Entry(
        name=Path(name).stem,
        file=name,
        code=failure.code,
        told=failure.told or "nothing was said",
        lines=lines,
        mistakes=failure.mistakes,
    )


def show(
    entry: Entry, *, piped: bool, artefacts: tuple[Artefact, ...] = (), apart: bool = False
) -> None:
    """Print one run's screen of result; `apart` sets an empty line below it."""
    if entry.report is None:
        return
    text = summary(
        entry.report,
        width=_width(),
        color=colored(piped=piped),
        folder=entry.folder,
        artefacts=artefacts,
    )
    print_result(f"{text}\n" if apart else text, piped=piped)


def publish(
    batch: Batch, files: Files, *, piped: bool, environment: Mapping[str, str] = os.environ
) -> int:
    """Write and print a gate: files, annotations, the table, where all is, the verdict line.

    A single run's own screen takes the place of the table; a single scenario that came to nothing
    has said so, and gets a table only where there is more than that to be told.
    """
    written = tuple(_write(batch, files, environment))
    on_github = environment.get(ON_GITHUB) == "true"
    if on_github:
        workspace = Path(environment.get(WORKSPACE) or ".")
        print_result("".join(f"{one}\n" for one in remarks(batch, workspace)), piped=piped)
    if len(batch.entries) == 1 and (batch.entries[0].report or not (written or on_github)):
        show(batch.entries[0], piped=piped, artefacts=written)
    else:
        runs = tuple(("run", entry.folder) for entry in batch.entries if entry.folder)
        text = table(batch, width=_width(), color=colored(piped=piped), artefacts=(*runs, *written))
        print_result(text, piped=piped)
    return int(batch.code)


def _write(batch: Batch, files: Files, environment: Mapping[str, str]) -> Iterator[Artefact]:
    if files.junit:
        write_file(junit(batch), files.junit)
        yield "junit", files.junit
    told = environment.get(STEP_SUMMARY)
    if not (files.markdown or told):
        return
    text = markdown(batch)
    if files.markdown:
        write_file(text, files.markdown)
        yield "markdown", files.markdown
    if told:
        try:
            with Path(told).open("a", encoding="utf-8") as stream:
                stream.write(f"{text}\n")
        except OSError as error:  # the page is a courtesy, and the exit code is not
            click.echo(f"squall: {STEP_SUMMARY} cannot be written: {error}", err=True)


def _width() -> int:
    return min(WIDTH_MAX, shutil.get_terminal_size((80, 24)).columns)
