"""What failed in a run, and whether another run has failed in the same way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from harness.errors import Exit, UsageError
from harness.verdict import Judgement


@dataclass(frozen=True, kw_only=True)
class Failure:
    """One thing that failed: a finding, or one of the scenario's limits."""

    name: str  # the verdict's, or the limit's
    fault: str = ""  # the window's id, as in "2:token-expire"; "" for none
    limit: bool = False

    @property
    def window(self) -> int:
        """The number of the window that it was found under; 0 for none."""
        return int(self.fault.partition(":")[0]) if self.fault else 0

    def __str__(self) -> str:
        """Say it as `--finding` takes it, in words."""
        return f"{self.name} under {self.fault}" if self.fault else self.name


def failures(judgement: Judgement) -> tuple[Failure, ...]:
    """Give everything that failed, the most severe first: hard rules, causes, consequences, limits.

    Of one and the same only the first is given.
    """
    found = [one for one in judgement.findings if one.ruling == "fail"]
    found.sort(key=lambda one: (bool(one.cause), not one.hard))  # otherwise as they were found
    missed = [one.name for one in judgement.limits if one.ruling == "fail"]
    return tuple(
        dict.fromkeys(
            (
                *(Failure(name=one.verdict, fault=one.fault) for one in found),
                *(Failure(name=name, limit=True) for name in missed),
            )
        )
    )


def chosen(judgement: Judgement, wanted: str) -> Failure:
    """Give the failure that `wanted` names, as VERDICT or VERDICT:FAULT; "" is the most severe.

    Raises:
        UsageError: when nothing failed, or not that.
    """
    there = failures(judgement)
    if not there:
        raise UsageError(
            f"expected a run in which something failed, found none: {judgement.headline}; "
            "name the folder of a run that ended in exit code 1"
        )
    name, _, fault = wanted.partition(":")
    for failure in there:
        kind = failure.fault.partition(":")[2]
        if not wanted or (failure.name == name and fault in {"", failure.fault, kind}):
            return failure
    known = ", ".join(f"{one.name}:{one.fault}" if one.fault else one.name for one in there)
    raise UsageError(f"expected a finding of this run, found {wanted!r}; there are: {known}")


# --- in the verdict of a try ----------------------------------------------------------------


class FindingRow(BaseModel):
    """What is looked at in one finding of `verdict.json`."""

    verdict: str
    ruling: str
    fault: str


class NamedRow(BaseModel):
    """What is looked at in one limit, or one line on soundness."""

    name: str
    ruling: str


class GeneratorRow(BaseModel):
    """What is looked at in how squall itself fared."""

    verdict: str


class Document(BaseModel):
    """What is looked at in a try's `verdict.json`."""

    exit_code: int
    headline: str
    findings: tuple[FindingRow, ...]
    limits: tuple[NamedRow, ...]
    soundness: tuple[NamedRow, ...]
    generator: GeneratorRow | None = None


_BITE: Final = "fault-bit"
_SAMPLES: Final = "samples"
_RULED: Final = frozenset({Exit.FAIL, Exit.ABORTED})  # a stop condition says nothing of findings


def shows(document: Document, failure: Failure, windows: tuple[int, ...]) -> bool:
    """Say whether a run of these windows of the failed one has failed in the same way.

    Where the failure's fault is among them, it has to be found under that fault again.
    """
    if document.exit_code not in _RULED:
        return False
    rows = document.limits if failure.limit else ()
    if any(one.name == failure.name and one.ruling == "fail" for one in rows):
        return True
    return not failure.limit and any(
        one.verdict == failure.name and one.ruling == "fail" and _same(one.fault, failure, windows)
        for one in document.findings
    )


def _same(fault: str, failure: Failure, windows: tuple[int, ...]) -> bool:
    if failure.window not in windows:
        return True
    kind = failure.fault.partition(":")[2]
    return fault == f"{windows.index(failure.window) + 1}:{kind}"


def doubts(document: Document) -> str:
    """Say why a run's evidence was not sound; "" when it was."""
    if document.exit_code != Exit.UNKNOWN:
        return ""
    return f"the evidence was not sound: {', '.join(_doubted(document)) or document.headline}"


def lasts(document: Document) -> bool:
    """Tell whether another run of the same would leave the same in doubt.

    What a fault hits is in the plan, and so is how many calls there are, unless the machine kept
    them; whatever else is in doubt another run may settle.
    """
    doubted = set(_doubted(document))
    if _BITE in doubted:
        return True
    at_ease = document.generator is not None and document.generator.verdict == "ok"
    open_limits = any(one.ruling == "unknown" for one in document.limits)
    return at_ease and not open_limits and doubted <= {_SAMPLES}


def _doubted(document: Document) -> list[str]:
    return list(dict.fromkeys(one.name for one in document.soundness if one.ruling != "pass"))
