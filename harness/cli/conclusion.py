"""From a run folder to its verdict, reports and exit code: what run, judge and report share."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import harness
from harness import aa, journal, plan, played, wal, yardstick
from harness.capacity import course as courses
from harness.capacity import ruling
from harness.capacity.ruling import Capacity
from harness.errors import Exit, JournalError, ScenarioError
from harness.evidence import witnesses
from harness.evidence.phases import Evidence
from harness.judge import judge
from harness.overrides import restore
from harness.played import GAME_DAY
from harness.run import CAPACITY, FACTS, SCENARIO
from harness.scenario.load import Lines, Loaded
from harness.verdict import Judgement
from reports.folder import write_all
from reports.report import Report


@dataclass(frozen=True, kw_only=True)
class Conclusion:
    """A judged run."""

    folder: Path
    judgement: Judgement
    report: Report
    lines: Lines  # where everything in the scenario stands
    yardstick: Path | None  # where A/A figures of this scenario are kept
    evidence: Evidence
    facts: dict[str, Any]


def conclude(folder: Path, *, not_healed: tuple[str, ...] = ()) -> Conclusion:
    """Judge a run folder and write its reports.

    Raises:
        JournalError: when the folder holds no run, one of another version, or a changed scenario.
    """
    loaded, evidence, facts = _read(folder)
    judgement = judged(evidence, facts)
    if not_healed:
        judgement = replace(
            judgement,
            ruling="unknown" if judgement.ruling == "pass" else judgement.ruling,
            exit_code=int(Exit.NOT_HEALED),
            notes=(*judgement.notes, *not_healed),
            headline=f"NOT HEALED  {not_healed[0]}",
        )
    report = write_all(folder, evidence, judgement, facts)
    kept = facts.get("yardstick")
    return Conclusion(
        folder=folder,
        judgement=judgement,
        report=report,
        lines=loaded.lines,
        yardstick=folder.parent / str(kept) if kept else None,
        evidence=evidence,
        facts=facts,
    )


def judged(evidence: Evidence, facts: dict[str, Any]) -> Judgement:
    """Judge what was read, beside what bare arms showed: here, or before this run."""
    stretch_s = facts.get("stretch_s")
    if stretch_s is None:
        bare_arms = yardstick.restore(facts.get("bare_arms"))
    else:
        bare_arms = aa.measure(evidence, stretch_s=stretch_s, run=str(facts.get("run_id", "")))
    return judge(evidence, name=str(facts.get("scenario", "")), bare_arms=bare_arms)


@dataclass(frozen=True, kw_only=True)
class Climbed:
    """A judged search for capacity."""

    folder: Path
    result: Capacity
    facts: dict[str, Any]


def climbed(folder: Path, *, not_healed: tuple[str, ...] = ()) -> Climbed | None:
    """Judge a search for capacity from its folder; None when the run was none.

    Raises:
        JournalError: when the folder holds no run, or one of another version.
    """
    loaded, facts = _scenario(folder)
    if CAPACITY not in facts:
        return None
    course = courses.restore(facts[CAPACITY])
    result = ruling.conclude(
        courses.prepare(loaded.scenario, course),
        course,
        journal.read(folder),
        name=str(facts.get("scenario", "")),
        open_=not_healed,
    )
    return Climbed(folder=folder, result=result, facts=facts)


def read(folder: Path) -> tuple[Evidence, dict[str, Any]]:
    """Read a run folder back: its scenario as it ran, its plan, its journal.

    Raises:
        JournalError: when the folder holds no run.
    """
    _, evidence, facts = _read(folder)
    return evidence, facts


def _read(folder: Path) -> tuple[Loaded, Evidence, dict[str, Any]]:
    loaded, facts = _scenario(folder)
    found = journal.read(folder)
    if GAME_DAY in facts:
        scenario, planned = played.settle(loaded.scenario, played.restore(facts[GAME_DAY]), found)
    else:
        scenario = loaded.scenario
        planned = plan.make(scenario)
    return loaded, witnesses.lay(scenario, planned, found), facts


def _scenario(folder: Path) -> tuple[Loaded, dict[str, Any]]:
    """Read a run's scenario, with what the command line changed in it, and its facts."""
    try:
        facts: dict[str, Any] = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        text = (folder / SCENARIO).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if (folder / wal.FILE).exists():
            raise JournalError(
                f"the run in {folder} ended before any load was offered; there is nothing to judge"
            ) from error
        raise JournalError(
            f"expected a run folder at {folder}, found no {Path(error.filename).name} in it; "
            "name a folder that squall run wrote"
        ) from error
    except (OSError, ValueError) as error:
        raise JournalError(f"{folder / FACTS} cannot be read: {error}") from error
    overrides = restore(facts.get("overrides", {}), folder)
    try:
        return overrides.load(text, str(facts.get("file", folder / SCENARIO))), facts
    except ScenarioError as error:
        raise _unreadable(folder, error, str(facts.get("squall", ""))) from error


def _unreadable(folder: Path, error: ScenarioError, by: str) -> JournalError:
    """Say which file it is that cannot be read, and why it could be when it was run."""
    mistake = replace(error.mistakes[0], file=str(folder / SCENARIO))
    if by == harness.__version__:
        why = "it was changed since it was run; put it back as it was"
    else:
        why = f"squall {by} wrote it, and this is {harness.__version__}; judge it with that one"
    return JournalError(f"{mistake} ({why})")
