"""Values and comments as a scenario file has them: one way to write each, all of it printable."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from typing import Any, Final

from harness.errors import ScenarioError
from harness.scenario.document import read, resolve

WIDTH: Final = 80
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][\w-]{0,60}", re.ASCII)
_PLAIN_TEXT: Final = re.compile(r"[A-Za-z_][\w./-]{0,60}", re.ASCII)


def flow(value: Any) -> str:
    """Write a value on one line, as in `{query: "a", limit: 5}`."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key(name)}: {flow(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(one) for one in value) + "]"
    if isinstance(value, str):
        return quoted(value)
    return json.dumps(value)


def key(name: str) -> str:
    """Write a key."""
    return name if _is_plain(name, _PLAIN_KEY) else quoted(name)


def word(text: str) -> str:
    """Write a text without quotes where it can be, as names of tools are."""
    return text if _is_plain(text, _PLAIN_TEXT) else quoted(text)


def quoted(text: str) -> str:
    """Write a text in double quotes; what cannot be seen, or turns the line round, is escaped."""
    plain = all(sign.isprintable() for sign in text)
    return json.dumps(text, ensure_ascii=not plain)


def comment(text: str, indent: int = 0) -> list[str]:
    """Write a comment, wrapped; whatever a server put into it stays one harmless text."""
    lead = " " * indent + "# "
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    return textwrap.wrap(
        shown,
        WIDTH,
        initial_indent=lead,
        subsequent_indent=lead + ("  " if text.startswith("- ") else ""),
        break_on_hyphens=False,
    )


def mapping(name: str, fields: dict[str, str]) -> list[str]:
    """Write fields on one line, or one below the other where there is no room."""
    inline = f"{name}: {{" + ", ".join(f"{key}: {text}" for key, text in fields.items()) + "}"
    if len(inline) <= WIDTH:
        return [inline]
    return [f"{name}:", *(f"  {key}: {text}" for key, text in fields.items())]


def says(value: Any) -> bool:
    """Whether a file can say a value, so that reading it gives the same again."""
    try:
        document = read(f"it: {flow(value)}\n", "value")
    except (ScenarioError, ValueError, RecursionError):
        return False
    found = document.value
    return not document.mistakes.in_order() and isinstance(found, dict) and found.get("it") == value


def _is_plain(text: str, allowed: re.Pattern[str]) -> bool:
    return allowed.fullmatch(text) is not None and resolve(text) == text
