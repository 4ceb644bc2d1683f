"""Addresses and commands as they may be written into a file: without the credentials in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from harness.discovery import names
from harness.redaction import HIDDEN, redact
from harness.scenario.records import LaunchTarget, StdioTarget, Target, UrlTarget

_PUBLIC: Final = "hidden"  # in a URL, where brackets would have to be escaped


def public(target: Target) -> tuple[Target, bool]:
    """Give a target without credentials, and whether that is another one."""
    match target:
        case UrlTarget():
            shown: Target = target.model_copy(update={"url": _url(target.url)})
        case LaunchTarget():
            shown = target.model_copy(
                update={"url": _url(target.url), "launch": words(target.launch)}
            )
        case StdioTarget():
            shown = target.model_copy(update={"stdio": words(target.stdio)})
        case _:
            shown = target
    return shown, shown != target


def words(command: Sequence[str]) -> tuple[str, ...]:
    """Give a command without the values of flags and variables that are secret by their names."""
    shown: list[str] = []
    hides = False
    for each in command:
        if hides and not each.startswith("-"):
            shown.append(HIDDEN)
            hides = False
            continue
        name, equals, value = each.partition("=")
        flag = each.startswith("-")
        if equals and value and names.is_secret(name):
            shown.append(f"{name}={HIDDEN}")
            continue
        hides = flag and not equals and names.is_secret(each)
        shown.append(_url(each) if "://" in each else redact(each))
    return tuple(shown)


def _url(url: str) -> str:
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return redact(url)
    if any(_hides(name) for name, _ in pairs):
        kept = [(name, _PUBLIC if _hides(name) else value) for name, value in pairs]
        url = urlunsplit(parts._replace(query=urlencode(kept)))
    return redact(url)


def _hides(name: str) -> bool:
    """Whether a part of a query holds a secret; there, a key is one."""
    return names.is_secret(name) or names.flat(name) == "key"
