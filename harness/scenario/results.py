"""Looking into a result: by path (`result[0].id`), by rows, by the texts in it.

A tool's answer may stand in `structuredContent`, as JSON in its first text block, or nowhere but
in the raw result; a path is tried in that order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from pydantic_core import from_json

Steps = tuple[str | int, ...]
ROWS_UNKNOWN: Final = -1
_WORD: Final = r"[A-Za-z_$][\w$-]*"
# `result.0.id` says the same as `result[0].id` and needs no quotes inside YAML's { }.
_PATH: Final = re.compile(rf"(?:{_WORD}|\[\d{{1,6}}\])(?:\.(?:{_WORD}|\d{{1,6}})|\[\d{{1,6}}\])*")
_STEP: Final = re.compile(rf"({_WORD})|(\d+)")
_LISTS: Final = ("tools", "resources", "prompts", "resourceTemplates", "contents", "messages")


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


def parse_path(text: str) -> Steps:
    """Read `result[0].id`, or `result.0.id`, as its steps.

    Raises:
        ValueError: when it is no path.
    """
    if not _PATH.fullmatch(text):
        raise ValueError(f"{text!r} is no path into a result")
    return tuple(name or int(number) for name, number in _STEP.findall(text))


def find(result: Mapping[str, object], steps: Steps) -> object:
    """Give what stands at a path in a result, or `MISSING`."""
    found = _walk(result.get("structuredContent"), steps)
    if found is not MISSING:
        return found
    inner = _first_text_as_json(result)
    if inner is not MISSING:
        found = _walk(inner, steps)
        if found is not MISSING:
            return found
    return _walk(result, steps)


def path(result: Mapping[str, object], text: str) -> object:
    """Give what stands at a path written as text, or `MISSING`.

    Raises:
        ValueError: when the text is no path.
    """
    return find(result, parse_path(text))


def body(result: Mapping[str, object]) -> object:
    """Give what a tool answered as a value: its structured content, or else its text as JSON."""
    structured = result.get("structuredContent", MISSING)
    return _first_text_as_json(result) if structured is MISSING else structured


def rows(result: Mapping[str, object]) -> int:
    """Count the rows of a result; -1 when nothing in it can be counted."""
    structured = result.get("structuredContent", MISSING)
    if structured is MISSING:
        structured = _first_text_as_json(result)
    # `dict` and not `Mapping`, which costs ten times as much: these come from a JSON parser.
    if isinstance(structured, dict):
        inner = structured.get("result")
        if isinstance(inner, list):
            return len(inner)
        lists = [member for member in structured.values() if isinstance(member, list)]
        if len(lists) == 1:
            return len(lists[0])
    elif isinstance(structured, list):
        return len(structured)
    content = result.get("content")
    if isinstance(content, list):
        return len(content)
    for name in _LISTS:
        listed = result.get(name)
        if isinstance(listed, list):
            return len(listed)
    return ROWS_UNKNOWN


def texts(result: Mapping[str, object]) -> Iterator[str]:
    """Yield every text that a caller would see, keys left out, structured content first."""
    pending: list[object] = [
        result[name]
        for name in ("messages", "contents", "content", "structuredContent")
        if name in result
    ] or [result]
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def _walk(value: object, steps: Steps) -> object:
    for step in steps:
        if isinstance(step, str):
            if not isinstance(value, Mapping) or step not in value:
                return MISSING
            value = value[step]
        else:
            if not isinstance(value, list) or step >= len(value):
                return MISSING
            value = value[step]
    return value


def _first_text_as_json(result: Mapping[str, object]) -> object:
    content = result.get("content")
    first = content[0] if isinstance(content, list) and content else None
    text = first.get("text") if isinstance(first, dict) else None
    if not isinstance(text, str) or not text.lstrip().startswith(("{", "[")):
        return MISSING
    try:
        parsed: object = from_json(text)
    except ValueError:
        return MISSING
    return parsed
