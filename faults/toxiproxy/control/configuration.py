"""The proxies that a file names, in the original's format, and what may be wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from faults.toxiproxy.control.bodies import BodyError, Members, array, decode, fields
from faults.toxiproxy.control.demands import PROXY, ApiError, require, text

NUMBERED_FROM = 1  # as people count, and as the original does in its own words


class ConfigurationError(Exception):
    """A configuration cannot be used; the text names the file and says what is wrong in it."""


def read(path: str) -> tuple[bytes, list[str]]:
    """A file's content for the API to populate from, and what in it has no effect.

    Raises:
        ConfigurationError: the file cannot be read, or is no list of proxies.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from None
    try:
        _parse(content)
        entries = array(decode(content))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigurationError(f"{path}: not JSON: {error.msg} ({where})") from None
    except (BodyError, UnicodeDecodeError, RecursionError, ValueError):
        raise ConfigurationError(f"{path}: expected a JSON array of proxies") from None
    try:
        _check(entries)
    except (BodyError, ApiError) as error:
        raise ConfigurationError(f"{path}: {error}") from None
    return content, [f"{path}: {warning}" for warning in _warnings(entries)]


def _parse(content: bytes) -> None:
    """See to it that a person's mistake is shown by its place."""
    text = content.decode("utf-8")
    if not text.strip():
        raise json.JSONDecodeError("the file is empty", text, 0)
    json.loads(text)


def _check(entries: Iterable[object]) -> None:
    seen: dict[str, int] = {}
    for position, entry in enumerate(entries, start=NUMBERED_FROM):
        where = f" at proxy {position}"
        try:
            given = fields(entry, PROXY)
        except BodyError as error:
            raise BodyError(f"{error}{where}") from None
        require(given, "name", "upstream", where=where)
        name = text(given, "name")
        if name in seen:
            raise BodyError(f"proxy {position} has the name of proxy {seen[name]}: {name}")
        seen[name] = position


def _warnings(entries: Iterable[object]) -> list[str]:
    return [
        f"toxics of proxy {position} are not read from a file; add them through the API"
        for position, entry in enumerate(entries, start=NUMBERED_FROM)
        if isinstance(entry, Members)
        and any(key.lower() == "toxics" and held for key, held in entry)
    ]
