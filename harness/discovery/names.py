"""What the names of arguments give away: which are references, which secrets, which free text."""

from __future__ import annotations

import re
from typing import Any, Final

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
# Names something that has to be there already: an invented one finds nothing.
_REFERENCES: Final = frozenset(
    (
        "id", "ids", "uuid", "key", "path", "paths", "file", "files", "filename", "directory",
        "dir", "folder", "uri", "url", "slug", "ref", "sha", "hash", "repo", "repository", "owner",
        "table", "handle", "cursor", "branch", "commit", "revision",
    )
)  # fmt: skip
_SECRETS: Final = frozenset(
    ("password", "passphrase", "secret", "token", "credential", "credentials", "apikey", "pin")
)
_PAGES: Final = frozenset(("page", "next", "continuation", "sync", "progress"))
# A key by which a server knows a call that is made twice.
_REPEATS: Final = frozenset(
    (
        "idempotencykey", "idempotencytoken", "requestid", "clienttoken", "clientrequestid",
        "dedupekey", "deduplicationid",
    )
)  # fmt: skip
_TIMES: Final = frozenset(
    ("duration", "seconds", "secs", "delay", "wait", "sleep", "ms", "millis", "milliseconds")
)
# Choices that are taken last.
HARMFUL: Final = frozenset(
    (
        "error", "fail", "failure", "fatal", "none", "delete", "remove", "drop", "destroy", "purge",
        "reset", "kill", "stop", "shutdown", "cancel", "all", "write", "create", "update",
    )
)  # fmt: skip
# The last word of a name -> a text that such an argument takes, most servers over.
_TEXTS: Final[dict[str, str]] = {
    "timezone": "UTC", "tz": "UTC", "zone": "UTC",
    "date": "2026-01-15", "day": "2026-01-15", "since": "2026-01-15", "until": "2026-01-16",
    "time": "12:00", "datetime": "2026-01-15T12:00:00Z", "timestamp": "2026-01-15T12:00:00Z",
    "language": "en", "lang": "en", "locale": "en", "country": "US", "currency": "USD",
    "email": "agent@example.com", "host": "localhost", "hostname": "localhost",
    "city": "London", "location": "London", "place": "London", "address": "London",
    "symbol": "AAPL", "ticker": "AAPL", "expression": "1 + 1", "formula": "1 + 1",
    "sql": "SELECT 1", "pattern": "a", "regex": "a", "glob": "*", "query": "a", "q": "a",
    "search": "a", "keyword": "a", "keywords": "a", "term": "a", "terms": "a", "words": "a",
    "unit": "", "format": "", "mode": "", "version": "1",
    "url": "https://example.com/", "uri": "https://example.com/",
    "revision": "HEAD", "ref": "HEAD", "commit": "HEAD",
    "path": ".", "directory": ".", "dir": ".", "folder": ".", "cwd": ".", "root": ".",
}  # fmt: skip
_FORMATS: Final[dict[str, str]] = {
    "date-time": "2026-01-15T12:00:00Z",
    "date": "2026-01-15",
    "time": "12:00:00Z",
    "duration": "PT1S",
    "email": "agent@example.com",
    "hostname": "localhost",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000001",
}
# What a text may have to look like, tried against a schema's own expression.
SAMPLES: Final = (
    "a", "A", "1", "abc", "ABC", "Abc", "10", "123", "2026", "2026-01-15", "12:00", "12:00:00",
    "2026-01-15T12:00:00Z", "a1", "A1", "1.0", "1.0.0", "v1", "a-b", "a_b", "a.b", "/", "/a", "a/b",
    "#ffffff", "en", "en-US", "US", "USD", "+41441234567", "agent@example.com", "127.0.0.1",
    "https://example.com/", "00000000-0000-4000-8000-000000000001", "abcdef0123456789",
)  # fmt: skip
_QUOTED: Final = re.compile(
    r"(?:e\.g\.|for example|example:|such as|like)[,:]?\s*[\"'`“]([^\"'`”]{1,60})[\"'`”]",
    re.IGNORECASE,
)
_CHOICE: Final = re.compile(r"(?<!\w)[\"'`]([\w.-]{1,30})[\"'`]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


def words(name: str) -> list[str]:
    """Give the words of a name in lower case: `noteId` and `note_id` are note and id."""
    return [word.lower() for word in _WORDS.findall(name)]


def flat(name: str) -> str:
    """Give a name without what only spelling adds, so that `noteId` is `note_id`."""
    return "".join(words(name))


def is_reference(name: str) -> bool:
    """Whether an argument names something that has to exist at the server."""
    return bool(words(name)) and words(name)[-1] in _REFERENCES and not is_repeat_key(name)


def is_repeat_key(name: str) -> bool:
    """Whether an argument is the key by which a repeated call is known."""
    return flat(name) in _REPEATS


def is_secret(name: str) -> bool:
    """Whether an argument, a variable or a flag holds what nobody may see."""
    parts = words(name)
    joined = "".join(parts)
    if any(part in _SECRETS for part in parts) and not is_repeat_key(name):
        return not _PAGES.intersection(parts)  # a page's token is a place in a list
    return joined.endswith(("apikey", "accesskey", "privatekey", "secretkey"))


def is_time(name: str) -> bool:
    """Whether a number says how long something takes."""
    return bool(words(name)) and words(name)[-1] in _TIMES


def least(name: str) -> float:
    """Give the number that an argument is tried with: one, or a short while where it is a time."""
    if not is_time(name):
        return 1
    return 50 if words(name)[-1] in {"ms", "millis", "milliseconds"} else 0.2


def text_for(name: str, schema: dict[str, Any]) -> str | None:
    """Give a text that suits an argument's name or format; None where neither says anything."""
    named = _FORMATS.get(str(schema.get("format")))
    if named is not None:
        return named
    description = str(schema.get("description", ""))[:500]
    told = _QUOTED.search(description)
    if told is not None and not _CONTROL.search(told[1]):
        return told[1]
    parts = words(name)
    known = _TEXTS.get(parts[-1]) if parts else None
    if known:
        return known
    chosen = _CHOICE.search(description)  # "'local' or 'remote'"
    return chosen[1] if chosen is not None else None


def takes_any_text(name: str, schema: dict[str, Any]) -> bool:
    """Whether an argument is free text, which may hold whatever a caller makes up."""
    if any(word in schema for word in ("enum", "const", "format", "pattern")):
        return False
    parts = words(name)
    fixed = _TEXTS.get(parts[-1]) if parts else None
    return not is_secret(name) and (fixed is None or fixed in {"a", "."})
