"""What an experiment is objected to, whichever check found it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.scenario.mistakes import Trail


@dataclass(frozen=True, kw_only=True)
class Objection:
    """One thing that makes no sense, and where."""

    trail: Trail
    expected: str
    came: str
    mend: str
