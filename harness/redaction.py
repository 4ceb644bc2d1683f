"""Keeps credentials out of what is written down: the one place that knows how they look.

Servers echo what they were sent, in error texts above all. What was a credential is replaced by a
word; what was cut short on the way is still known by how it begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

HIDDEN: Final = "[redacted]"
_KNOWN_BY: Final = 12  # how many characters tell a secret, should the rest be cut off
_B64TOKEN: Final = r"[A-Za-z0-9._~+/=-]"  # RFC 6750
_SHAPES: Final = re.compile(
    # As in an Authorization header; neither prose nor the parameters of a challenge.
    rf"(?P<scheme>\b(?:bearer|basic)\s+)(?![\w-]+=[^=\s]){_B64TOKEN}{{16,}}"
    r"|\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_.-]*)?"  # a JWT, or the beginning of one
    # The password in a URL.
    r"|(?P<account>\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@\"'<>]{0,256}:)[^\s/@\"'<>]{1,1024}(?=@)",
    re.IGNORECASE,
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Give the text without anything that looks like a credential, and without `secrets`."""
    for secret in secrets:
        if secret:
            known = re.escape(secret[:_KNOWN_BY])
            rest = f"{_B64TOKEN}*" if len(secret) > _KNOWN_BY else ""
            text = re.sub(known + rest, HIDDEN, text)
    return _SHAPES.sub(lambda found: (found["scheme"] or found["account"] or "") + HIDDEN, text)


# A flag or a variable whose name says that its value is one: `--api-key X`, `API_TOKEN=X`.
_NAMED: Final = re.compile(
    r"(?P<name>[\w-]*(?:token|secret|password|passwd|api[-_]?key)[\w-]*)(?P<gap>=|(?<=\S)\s+)"
    r"(?P<value>'[^']*'|\"[^\"]*\"|[^\s'\"]+)",
    re.IGNORECASE,
)


def redact_command(command: str) -> str:
    """Give a command line without credentials, those that only their names give away included."""

    def hide(found: re.Match[str]) -> str:
        if found["gap"] != "=" and not found["name"].startswith("-"):
            return found[0]
        return f"{found['name']}{found['gap']}{HIDDEN}"

    return redact(_NAMED.sub(hide, command))


def redact_logs(folder: Path, secrets: Iterable[str] = ()) -> None:
    """Take credentials, and `secrets`, out of a folder's logs; one that is gone is no error."""
    known = tuple(secrets)
    for log in folder.glob("*.log"):
        with suppress(OSError):
            text = log.read_text(encoding="utf-8", errors="replace")
            hidden = redact(text, known)
            if hidden != text:
                log.write_text(hidden, encoding="utf-8")
