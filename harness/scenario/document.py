"""YAML text -> plain values and the place of each: the one door through which a file comes in.

Only what JSON can say is let through. The values are resolved by YAML 1.2's core schema, so `on`
and `yes` are text. Anchors, aliases, tags, merge keys and doubled keys are refused, because a
scenario must mean what it looks like; size and depth are bounded before anything is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from harness.errors import ScenarioError
from harness.scenario.mistakes import Mistakes, Spot, Trail, shown

SIZE_MAX_BYTES: Final = 64 * 1024  # read within about a second, whatever stands in it
DEPTH_MAX: Final = 24
_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,40}|0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}")
_REAL: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_ENDLESS: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


@dataclass(frozen=True, kw_only=True)
class Document:
    """A file's plain values (what JSON can say), and what was refused on the way."""

    value: object
    mistakes: Mistakes


def read(text: str, file: str) -> Document:
    """Read one document; refusals that leave the rest readable are collected, not raised.

    Raises:
        ScenarioError: when the text is no YAML, more than one document, too large or too deep.
    """
    mistakes = Mistakes(file)
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > SIZE_MAX_BYTES:
        mistakes.add((), f"at most {SIZE_MAX_BYTES} bytes", f"{size_bytes}", "split the file")
        raise ScenarioError(mistakes.in_order())
    reader = _Reader(mistakes)
    try:
        value = reader.document(iter(YAML(typ="safe", pure=True).parse(text)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)
        problem = " ".join(str(error.problem or error.context or "a syntax error").split())
        mistakes.add((), *_worded(problem), _mend(text, spot, problem), spot)
        raise ScenarioError(mistakes.in_order()) from None
    except YAMLError as error:
        problem = str(error).strip().partition("\n")[0]
        mistakes.add((), "YAML text", problem, "save the file as plain UTF-8 text")
        raise ScenarioError(mistakes.in_order()) from None
    return Document(value=value, mistakes=mistakes)


_PARTS: Final = {
    "<block end>": "the end of this list or mapping",
    "'<block mapping start>'": "a line that is indented otherwise",
    "'<block sequence start>'": "a list that is indented otherwise",
    "'<scalar>'": "text",
    "the node content": "a value",
    "'<stream end>'": "the end of the file",
}


def _worded(problem: str) -> tuple[str, str]:
    """Say what was expected and what came, of a parser's complaint in its own words."""
    if found := re.fullmatch(r"expected (.+), but (?:found|got) (.+)", problem):
        wanted, came = (_PARTS.get(each, each) for each in found.groups())
        return f"YAML with {wanted} here", came
    if problem.startswith("could not find expected"):
        return "YAML with a colon behind each key", "a line without one, here or above"
    if problem.startswith("mapping values"):
        return "YAML", "a colon where none can stand"
    return "YAML", problem.removeprefix("found ")


def _mend(text: str, spot: Spot, problem: str) -> str:
    lines = text.splitlines()
    line = lines[spot.line - 1] if spot.line <= len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "indent with spaces, not with tabs"
    before = lines[spot.line - 2].partition("#")[0].strip() if spot.line > 1 else ""
    if re.fullmatch(r"- [\w-]+", before):
        return f"write {before}: with a colon, as more follows below it"
    if re.match(r"\[\d+\]", line[spot.column - 1 :]) and "{" in line:
        return 'quote the path inside { }, as in "result[0].id"'
    if problem.startswith("mapping values"):
        return "put a text with a colon in it in quotes, or check the indentation"
    return "check indentation, quotes and brackets here"


class _Reader:
    """Builds the values of one document out of parser events."""

    def __init__(self, mistakes: Mistakes) -> None:
        self._mistakes = mistakes
        self._events: Iterator[Any] = iter(())

    def document(self, events: Iterator[Any]) -> object:
        """Build the only document's value."""
        self._events = events
        value: object = None
        documents = 0
        for event in events:
            if isinstance(event, DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._mistakes.add(
                        (), "one document", "a second one", "give it a file of its own", _at(event)
                    )
                    raise ScenarioError(self._mistakes.in_order())
                value = self._value(next(events), ())
        return value

    def _value(self, event: Any, trail: Trail) -> object:
        spot = _at(event)
        self._mistakes.values[trail] = spot
        if len(trail) > DEPTH_MAX:
            self._mistakes.add(
                trail, f"at most {DEPTH_MAX} levels", "a deeper one", "flatten the values"
            )
            raise ScenarioError(self._mistakes.in_order())
        if isinstance(event, AliasEvent):
            self._mistakes.add(trail, "a value", "an alias", "write the value out here")
            return None
        if event.anchor:
            self._mistakes.add(
                trail, "a value", f"the anchor &{event.anchor}", "remove it, write values out"
            )
        if event.tag is not None and str(event.tag) != "!":
            self._mistakes.add(
                trail, "a plain value", "a YAML tag", "remove what begins with an exclamation mark"
            )
        if isinstance(event, SequenceStartEvent):
            return self._sequence(trail)
        if isinstance(event, MappingStartEvent):
            return self._mapping(trail)
        assert isinstance(event, ScalarEvent)
        return self._scalar(event, trail)

    def _sequence(self, trail: Trail) -> list[object]:
        values: list[object] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            values.append(self._value(event, (*trail, len(values))))
        return values

    def _mapping(self, trail: Trail) -> dict[str, object]:
        values: dict[str, object] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            spot = _at(event)
            if not isinstance(event, ScalarEvent):
                self._mistakes.values[(*trail, "?")] = spot
                self._mistakes.add((*trail, "?"), "a word as key", "a collection", "use a word")
                self._value(event, (*trail, "?"))
                self._value(next(self._events), (*trail, "?"))
                continue
            key = event.value
            if key == "<<" and event.style is None:
                self._mistakes.add(
                    trail, "keys", "a merge key <<", "write the merged keys out", spot
                )
                self._value(next(self._events), (*trail, "<<"))
            elif key in values:
                self._mistakes.add(
                    (*trail, key), "each key once", f"{key} again", "keep one of them", spot
                )
                kept = dict(self._mistakes.values)
                self._value(next(self._events), (*trail, key))
                self._mistakes.values.update(kept)
            else:
                self._mistakes.keys[(*trail, key)] = spot
                values[key] = self._value(next(self._events), (*trail, key))
        return values

    def _scalar(self, event: ScalarEvent, trail: Trail) -> object:
        text: str = event.value
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            # JSON writes signs beyond the first plane as two escapes, which belong together.
            try:
                text = text.encode("utf-16", "surrogatepass").decode("utf-16")
            except UnicodeDecodeError:
                mend = "write the whole sign"
                self._mistakes.add(trail, "Unicode text", "half a surrogate pair", mend)
                return ""
        if event.style is not None:  # quoted or a block: text, whatever it looks like
            return text
        value = resolve(text)
        if isinstance(value, float) and not math.isfinite(value):
            self._mistakes.add(
                trail, "a finite number", shown(text), "write a number, or quote it as text"
            )
            return None
        return value


def resolve(text: str) -> object:
    """Give the value that YAML 1.2's core schema sees in an unquoted word."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        return int(text, 0) if text[:2] in {"0o", "0x"} else int(text)
    if _ENDLESS.fullmatch(text):
        return math.nan
    return float(text) if _REAL.fullmatch(text) else text


def _at(event: Any) -> Spot:
    mark = event.start_mark
    return Spot(mark.line + 1, mark.column + 1)
