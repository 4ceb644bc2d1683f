"""Workflow commands that put what was missed beside the scenario's line that asked for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from harness.errors import Exit
from harness.redaction import redact
from harness.verdict import Finding
from reports.gate.entries import Batch, Entry
from reports.words import clean, measured

# GitHub shows ten of each level for a step; the tenth says how many more there are.
_SHOWN: Final = 10
Level = Literal["error", "warning"]


@dataclass(frozen=True, kw_only=True)
class Remark:
    """What is to be said, and the place in the scenario that it is about."""

    level: Level
    title: str
    text: str
    line: int = 0  # 0: about no line
    column: int = 0


def remarks(batch: Batch, workspace: Path) -> list[str]:
    """Give the workflow commands of a gate, at most ten of each level.

    A file is named as seen from `workspace`, where the repository lies; one that is not in it is
    not named, for nobody could open it there.
    """
    errors: list[str] = []
    warnings: list[str] = []
    for entry in batch.entries:
        file = _within(entry.file, workspace)
        for remark in _about(entry):
            (errors if remark.level == "error" else warnings).append(_command(remark, file))
    return [*_bounded(errors, "error"), *_bounded(warnings, "warning")]


def _bounded(commands: list[str], level: Level) -> list[str]:
    if len(commands) <= _SHOWN:
        return commands
    left = len(commands) - _SHOWN + 1
    return [*commands[: _SHOWN - 1], f"::{level} title=squall::and {left} more in the summary"]


def _about(entry: Entry) -> Iterator[Remark]:
    """Give what is wrong with one scenario, missed limits first."""
    if entry.mistakes:
        for one in entry.mistakes:
            text = f"{one.path}: " if one.path else ""
            text += f"expected {one.expected}, got {one.came}; {one.mend}"
            yield Remark(
                level="error", title=entry.name, text=text, line=one.line, column=one.column
            )
        return
    if entry.report is not None:
        yield from _limits(entry)
        yield from _faults(entry)
        yield from _whole(entry)
    if entry.code not in {Exit.PASS, Exit.FAIL, Exit.UNKNOWN}:
        trail = {Exit.ABORTED: ("abort",), Exit.NOT_HEALED: ("faults",)}.get(
            entry.code, ("target",)
        )
        yield _remark(entry, "error", f"{entry.word.lower()}: {entry.told}", *trail)


def _limits(entry: Entry) -> Iterator[Remark]:
    assert entry.report is not None
    for limit in entry.report.judgement.limits:
        if limit.ruling == "pass":
            continue
        seen = measured(limit.observed, limit.unit)
        text = f"{limit.name}: {seen}, wanted {limit.wanted}"
        text += f"; {limit.why}" if limit.why else ""
        level: Level = "error" if limit.ruling == "fail" else "warning"
        yield _remark(entry, level, text, "limits", limit.name)


def _faults(entry: Entry) -> Iterator[Remark]:
    """Give one remark for each window under which something was found wrong."""
    assert entry.report is not None
    judgement = entry.report.judgement
    for fault in judgement.faults:
        found = [one for one in judgement.findings if one.fault == fault.id]
        wrong = [_sentence(one) for one in found if one.ruling == "fail"]
        number = int(fault.id.partition(":")[0]) - 1
        if wrong:
            text = f"under {fault.id}: {'; '.join(wrong)}"
            yield _remark(entry, "error", text, "faults", number)
        elif not fault.bit:
            text = f"{fault.id} did not bite: {fault.exposure}"
            yield _remark(entry, "warning", text, "faults", number)


def _whole(entry: Entry) -> Iterator[Remark]:
    """Give what was found wrong under no fault, and what the evidence does not support."""
    assert entry.report is not None
    judgement = entry.report.judgement
    for finding in judgement.findings:
        if finding.ruling == "fail" and not finding.fault:
            yield _remark(entry, "error", _sentence(finding), "agents")
    level: Level = "error" if entry.code is Exit.UNKNOWN else "warning"
    for question in judgement.soundness:
        if question.ruling != "pass":
            yield _remark(entry, level, f"evidence, {question.name}: {question.why}")


def _sentence(finding: Finding) -> str:
    return f"{finding.verdict}: {finding.why}" if finding.why else finding.verdict


def _remark(entry: Entry, level: Level, text: str, *trail: str | int) -> Remark:
    if entry.lines is None:
        return Remark(level=level, title=entry.name, text=text)
    spot = entry.lines.spot(*trail)
    return Remark(level=level, title=entry.name, text=text, line=spot.line, column=spot.column)


def _within(file: str, workspace: Path) -> str:
    """Give a file's path from the workspace; "" when it is not there."""
    path = Path(file)
    try:
        found = path.resolve().relative_to(workspace.resolve()).as_posix()
        return found if path.is_file() else ""
    except (OSError, ValueError):
        return ""


def _command(remark: Remark, file: str) -> str:
    place: Iterable[tuple[str, str]] = ()
    if file and remark.line:
        place = (("file", file), ("line", str(remark.line)), ("col", str(remark.column)))
    elif file:
        place = (("file", file),)
    properties = ",".join(
        f"{name}={_property(value)}"
        for name, value in (*place, ("title", f"squall: {remark.title}"))
    )
    return f"::{remark.level} {properties}::{_escaped(redact(remark.text))}"


def _escaped(text: str) -> str:
    """Make text safe in a command: `clean` has left it no line's end to begin another with."""
    return clean(text).replace("%", "%25")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
