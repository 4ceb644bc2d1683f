"""How servers were seen to differ without being wrong, row by row; each has a test of its name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

Test = TypeVar("Test", bound=Callable[..., object])

# What was seen -> how it is to be read.
ROWS: Final[dict[str, str]] = {
    "unknown or dead session": "404 is right; 400 is a defect, and begins anew only by policy",
    "no session id": "200 with an error of code 0 is a protocol error like another",
    "the same id twice in one session": "lost or refused is the client's fault; mixed up is named",
    "cancel, legacy": "unanswered or answered with an error; no hang",
    "cancel of the id 0": "ignored by a released SDK: not asked for unless a scenario says so",
    "cancel on a stateless server": "taken, without effect; not judged",
    "client gone": "work that goes on is an orphan in the modern era, nothing in the legacy one",
    "modern request to a legacy-only server": "`era: auto` copes with each way of refusing",
    "unknown method, wrong Accept, unknown tool": "any refusal will do",
    "401": "needs no error=; another user's session may be answered 403",
    "a slow call": "the time to its headers is not the time to its first event",
    "body over 4 MiB": "413, drained or not: read before the broken pipe is called an error",
    "ugly refusals": "an error under 200, a page of HTML: no verdict",
    "a panic kills the process": "a crash",
    "a stream that stays open": "its reply counts when it comes, and no end is waited for",
    "SIGTERM raised again": "judged by time and by lost calls, not by the exit status",
    "a cancelled call answered -32800": "fine",
    "arguments that are not validated strictly": "an unknown one may be dropped",
    "consequences of one flaw": "stand under their cause",
    "memory, a weak witness": "judged by what each further flood adds",
    "stateless": "any session id is answered 200, and rightly so",
    "ids outside the protocol": "null and fractions are never sent",
    "a foreign Host": "403 and 421 are good guards",
    "a foreign Origin": "served: told once a run, and no part of the score",
}

_TESTED: Final[dict[str, list[str]]] = {}


def row(name: str) -> Callable[[Test], Test]:
    """Say which row a test is about."""
    assert name in ROWS, name

    def note(test: Test) -> Test:
        _TESTED.setdefault(name, []).append(getattr(test, "__name__", ""))
        return test

    return note


def untested() -> list[str]:
    """Name the rows that no test of the loaded modules is about."""
    return [name for name in ROWS if name not in _TESTED]
