"""What a gate decides on: scenarios run one after the other, and what became of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.errors import Exit, Mistake, worst_exit
from harness.headline import WORDS
from harness.scenario.load import Lines
from harness.verdict import Judgement, Ruling
from reports.report import Report
from reports.words import measured

# What is told of a scenario that was left out, in the words of the verdict's count.
_COUNTED: Final[dict[Exit, str]] = {
    Exit.PASS: "passed",
    Exit.FAIL: "failed",
    Exit.NOT_RUN: "not run",
    Exit.UNKNOWN: "unknown",
    Exit.ABORTED: "aborted",
    Exit.NOT_HEALED: "not healed",
    Exit.BUG: "by a defect of squall",
    Exit.INTERRUPTED: "interrupted",
}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One scenario of a gate."""

    name: str
    file: str  # as it was named on the command line
    code: Exit
    told: str  # in one sentence what to know first
    era: str = ""
    report: Report | None = None  # None: it was not run, or it was a search for capacity
    folder: str = ""  # the run's; "" where there is none
    lines: Lines | None = None  # where everything in the file stands; None: it could not be read
    mistakes: tuple[Mistake, ...] = ()  # why it could not be read

    @property
    def ruling(self) -> Ruling:
        """How the entry's code is shown."""
        if self.code is Exit.PASS:
            return "pass"
        return "unknown" if self.code is Exit.UNKNOWN else "fail"

    @property
    def word(self) -> str:
        """The exit code in a word."""
        return WORDS[self.code]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """All scenarios of one gate, in the order in which they were asked for."""

    entries: tuple[Entry, ...]

    @property
    def code(self) -> Exit:
        """The exit code of all of them together, by `harness.errors.WORST_FIRST`."""
        return worst_exit(entry.code for entry in self.entries)

    @property
    def worst(self) -> Entry:
        """The entry that decides."""
        return next(entry for entry in self.entries if entry.code is self.code)

    @property
    def verdict(self) -> str:
        """The gate's one line: the word, how many of which, and what to know first."""
        counts = Counter(entry.code for entry in self.entries)
        parts = [f"{counts[Exit.PASS]} of {len(self.entries)} passed"]
        parts += [
            f"{counts[code]} {word}"
            for code, word in _COUNTED.items()
            if code is not Exit.PASS and counts[code]
        ]
        told = f"{WORDS[self.code]}  {', '.join(parts)}"
        return told if self.code is Exit.PASS else f"{told}  {self.worst.name}: {self.worst.told}"


def gather(entries: Iterable[Entry]) -> Batch:
    """Make a gate of entries; names that are the same are told apart by era, or by number."""
    told = list(entries)
    told = _apart(told, lambda entry, _: f"{entry.name} ({entry.era})" if entry.era else entry.name)
    told = _apart(told, lambda entry, number: f"{entry.name} #{number}")
    return Batch(entries=tuple(told))


def told_of(headline: str, name: str) -> str:
    """Give what a headline tells beyond ruling, score and name."""
    return headline.partition(f"{name}: ")[2] or headline


def told_first(judgement: Judgement) -> str:
    """Give in one sentence what to know first of a judged run: of missed limits by how much."""
    found = any(finding.ruling == "fail" for finding in judgement.findings)
    missed = [
        f"{limit.name} {measured(limit.observed, limit.unit)}, wanted {limit.wanted}"
        for limit in judgement.limits
        if limit.ruling == "fail"
    ]
    if judgement.exit_code == Exit.FAIL and missed and not found:
        return "; ".join(missed)
    return told_of(judgement.headline, judgement.scenario)


def _apart(entries: Sequence[Entry], rename: Callable[[Entry, int], str]) -> list[Entry]:
    """Give those entries another name whose name is not theirs alone."""
    counts = Counter(entry.name for entry in entries)
    seen: Counter[str] = Counter()
    renamed = []
    for entry in entries:
        seen[entry.name] += 1
        alone = counts[entry.name] == 1
        name = entry.name if alone else rename(entry, seen[entry.name])
        renamed.append(replace(entry, name=name))
    return renamed
