"""Flaws of what a server says it offers."""

from __future__ import annotations

from typing import Final

from harness.flaws import Flaw
from harness.selftest.cases import Case

_STAGE: Final = "lists"

CASES: Final = (
    Case(flaw=Flaw.LIST_UNSTABLE, stage=_STAGE, faults=(), verdict="stale-list"),
    Case(flaw=Flaw.LIST_UNTOLD, stage=_STAGE, faults=("list-drift",), verdict="stale-list"),
)
