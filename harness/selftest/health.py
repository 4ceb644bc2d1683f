"""Flaws of what a server says of its own health, and of where and how it is started."""

from __future__ import annotations

from typing import Final

from harness.flaws import Flaw
from harness.selftest.cases import Case

CASES: Final = (
    Case(flaw=Flaw.HEALTH_LIES, stage="health", faults=("dep-down",), verdict="health-lies"),
    Case(flaw=Flaw.READY_TOO_EARLY, stage="starts", faults=("slow-start",), verdict="health-lies"),
    Case(
        flaw=Flaw.CWD_RELATIVE,
        stage="starts",
        faults=("path-differs",),
        verdict="late-fail-config",
    ),
)
