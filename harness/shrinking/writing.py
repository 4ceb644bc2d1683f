"""A candidate as a scenario's text: the author's own, comments and all, with a few values changed.

The lines of faults that are left out go with the comments right above them, and values are changed
where they stand. What comes out is read again and held against what it has to mean; a text that is
laid out too freely for that is written anew, without its comments.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

from harness.errors import ScenarioError
from harness.overrides import Overrides
from harness.scenario.document import read
from harness.scenario.mistakes import Mistakes, Trail
from harness.scenario.records import Scenario
from harness.scenario.units import duration
from harness.shrinking.candidate import Candidate, applied

_SCALAR: Final = re.compile(r"""'(?:[^']|'')*'|"(?:[^"\\]|\\.)*"|[^\s,{}\[\]#][^,{}\[\]#\n]*""")
_AFTER: Final = re.compile(r"\s*,\s*|\s*")
_FLOWING: Final = frozenset("{[")


@dataclass(frozen=True, kw_only=True)
class Original:
    """The scenario that failed, as its file says it and as the command line changed it."""

    text: str
    file: str
    overrides: Overrides
    scenario: Scenario


def write(original: Original, candidate: Candidate) -> str:
    """Write a candidate's scenario.

    Raises:
        ScenarioError: when such a scenario makes no sense.
    """
    wanted = applied(original.scenario, candidate)
    changes = _changes(original.scenario, wanted, candidate.windows)
    try:
        text = _edited(original, candidate, changes)
        if original.overrides.load(text, original.file).scenario == wanted:
            return text
    except ScenarioError:
        pass  # the text as it would be written anew says what is wrong
    text = _anew(original, candidate, changes)
    original.overrides.load(text, original.file)
    return text


def headed(text: str, lines: tuple[str, ...]) -> str:
    """Put comment lines above a scenario; an author's own follow after a blank line."""
    return "".join(f"# {' '.join(line.split())}\n" for line in lines) + "\n" + text


Changes = dict[Trail, str | int | None]  # the way to a value in the new scenario; None: left out


def _changes(given: Scenario, wanted: Scenario, windows: tuple[int, ...]) -> Changes:
    """Say which values have to be other than they were."""
    pairs: list[tuple[Trail, float | None, float | None]] = [
        (("load", "ramp"), given.load.ramp_s, wanted.load.ramp_s),
        (("phases", "warmup"), given.phases.warmup_s, wanted.phases.warmup_s),
        (("phases", "baseline"), given.phases.baseline_s, wanted.phases.baseline_s),
        (("phases", "recovery"), given.phases.recovery_s, wanted.phases.recovery_s),
    ]
    for place, window in enumerate(wanted.faults):
        was = given.faults[windows[place] - 1]
        pairs.append((("faults", place, "for"), was.duration_s, window.duration_s))
        pairs.append((("faults", place, "at"), was.at_s, window.at_s))
    changes: Changes = {
        trail: duration(round(new, 6))
        for trail, old, new in pairs
        if new is not None and new != old
    }
    if wanted.load.sessions != given.load.sessions:
        changes["load", "sessions"] = wanted.load.sessions
    if wanted.limits != given.limits:
        changes["limits", "recovery"] = None
    return changes


# --- anew -----------------------------------------------------------------------------------


def _anew(original: Original, candidate: Candidate, changes: Changes) -> str:
    """Write it as JSON, which is YAML too."""
    document: Any = read(original.text, original.file).value
    windows = document.pop("faults", [])
    if candidate.slots:
        document["faults"] = [windows[number - 1] for number in candidate.windows]
    for (*way, key), value in changes.items():
        place = document
        for part in way:
            place = place.setdefault(part, {}) if isinstance(part, str) else place[part]
        if value is None:
            place.pop(key, None)
        else:
            place[key] = value
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


# --- in place -------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Edit:
    start: int
    end: int
    text: str


class _Places:
    """Where everything stands in a text, as offsets."""

    def __init__(self, text: str, mistakes: Mistakes) -> None:
        self.text = text
        self._mistakes = mistakes
        self._lines = [0, *accumulate(len(line) for line in text.splitlines(keepends=True))]

    def line(self, number: int) -> int:
        """The offset of a line, counted from 0; one past the last is the text's end."""
        return self._lines[min(number, len(self._lines) - 1)]

    def value(self, trail: Trail) -> int | None:
        """The offset of a value; None where there is none."""
        spot = self._mistakes.values.get(trail)
        return None if spot is None else self._lines[spot.line - 1] + spot.column - 1

    def key(self, trail: Trail) -> int:
        """The offset of a key that is there."""
        spot = self._mistakes.keys[trail]
        return self._lines[spot.line - 1] + spot.column - 1

    def starts(self, trail: Trail) -> int:
        """The line, from 0, on which a value that is there begins."""
        return self._mistakes.values[trail].line - 1

    def scalar_end(self, start: int) -> int:
        """The offset at which a scalar ends."""
        found = _SCALAR.match(self.text, start)
        return start + len(found[0].rstrip()) if found else start


def _edited(original: Original, candidate: Candidate, changes: Changes) -> str:
    """Change the author's own text; where that goes wrong the caller finds out by reading it."""
    document = read(original.text, original.file)
    places = _Places(original.text, document.mistakes)
    value: Any = document.value
    edits = _dropped(places, len(value.get("faults", ())), candidate.windows)
    fresh: dict[str | int, list[str]] = {}
    for (section, *way, key), said in changes.items():
        # The new scenario's windows are others of the old one.
        old = [candidate.windows[int(place)] - 1 for place in way]
        trail: Trail = (section, *old)
        at = places.value((*trail, key))
        if said is None:
            edits += _removed(places, (*trail, key)) if at is not None else []
        elif at is not None:
            edits.append(_Edit(start=at, end=places.scalar_end(at), text=str(said)))
        elif (inside := places.value(trail)) is not None:
            edits.append(_inserted(places.text, inside, f"{key}: {said}"))
        else:
            fresh.setdefault(section, []).append(f"{key}: {said}")
    text = places.text
    for edit in sorted(edits, key=lambda one: one.start, reverse=True):
        text = text[: edit.start] + edit.text + text[edit.end :]
    ended = text if text.endswith("\n") else text + "\n"
    return ended + "".join(f"{name}: {{{', '.join(keys)}}}\n" for name, keys in fresh.items())


def _inserted(text: str, start: int, said: str) -> _Edit:
    """Put a key first into a mapping, on one line with it or on a line of its own."""
    if text[start] == "{":
        comma = "" if text[start + 1 :].lstrip().startswith("}") else ", "
        return _Edit(start=start + 1, end=start + 1, text=said + comma)
    indent = " " * (start - (text.rfind("\n", 0, start) + 1))
    return _Edit(start=start, end=start, text=f"{said}\n{indent}")


def _removed(places: _Places, trail: Trail) -> list[_Edit]:
    """Take a key and its scalar out, with its line or with its comma."""
    text, start = places.text, places.key(trail)
    end = places.scalar_end(places.value(trail) or start)
    line = text.rfind("\n", 0, start) + 1
    if not text[line:start].strip():  # first on its line: a mapping with a line for each key
        after = text.find("\n", end)
        return [_Edit(start=line, end=len(text) if after < 0 else after + 1, text="")]
    after_comma = _AFTER.match(text, end)
    if after_comma is not None and "," in after_comma[0]:
        return [_Edit(start=start, end=after_comma.end(), text="")]
    before = text[:start].rstrip().removesuffix(",")
    return [_Edit(start=len(before), end=end, text="")]


def _dropped(places: _Places, count: int, kept: tuple[int, ...]) -> list[_Edit]:
    """Take out the lines of the windows that are not kept, each with the comments above it."""
    if not count or len(kept) == count:
        return []
    lines = places.text.splitlines()
    key = places.text.count("\n", 0, places.key(("faults",)))
    first = [_with_comments(lines, places.starts(("faults", one)), key) for one in range(count)]
    ends = [*first[1:], _section_end(lines, places.starts(("faults", count - 1)))]
    if not kept:
        first[0] = key
    return [
        _Edit(start=places.line(first[one]), end=places.line(ends[one]), text="")
        for one in range(count)
        if one + 1 not in kept
    ]


def _with_comments(lines: list[str], start: int, above: int) -> int:
    """Give the line at which the comments right above a line begin."""
    while start - 1 > above and lines[start - 1].lstrip().startswith("#"):
        start -= 1
    return start


def _section_end(lines: list[str], start: int) -> int:
    """Give the line after the last one that belongs to a section of the file."""
    end = start + 1
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip() and not line.lstrip().startswith("#"):
            if not line[0].isspace() and not line.startswith("-"):
                break
            end = number + 1
    return end
