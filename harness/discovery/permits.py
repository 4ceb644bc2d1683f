"""Which tools may be tried: those that only read, unless whoever asks takes the effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, assert_never

from harness.discovery.findings import LeftOut
from harness.discovery.offers import Tool

AGAIN: Final = "squall init --allow-effects tries it"


@dataclass(frozen=True, kw_only=True)
class Permit:
    """What the caller of `squall init` has agreed to."""

    effects: bool = False
    skipped: Sequence[str] = ()  # names of tools, * and ? allowed


def refusal(tool: Tool, permit: Permit) -> LeftOut | None:
    """Say why a tool may not be called, not even once; None when it may."""
    for pattern in permit.skipped:
        if fnmatchcase(tool.name, pattern):
            return LeftOut(kind="tool", name=tool.name, why=f"skipped, as --skip {pattern} says")
    effects = tool.effects
    if effects == "none" or permit.effects:
        return None
    match effects:
        case "destroys":
            why = "destructive"
            if tool.hints.get("destructiveHint") is not True:
                why = "it writes, and does not say that it destroys nothing"
        case "adds":
            why = "it writes"
        case "unsaid":
            why = "not annotated, so it may write or destroy"
        case _:
            assert_never(effects)
    return LeftOut(kind="tool", name=tool.name, why=f"{why}; {AGAIN}")
