"""Flaws of a server's life: how it ends, how large it grows, and what it says of itself."""

from __future__ import annotations

from typing import Final

from harness.flaws import Flaw
from harness.selftest.cases import Case

CASES: Final = (
    Case(flaw=Flaw.SIGTERM_HANG, stage="lifecycle", faults=("sigterm",), verdict="hung-exit"),
    Case(flaw=Flaw.SIGTERM_CUT, stage="lifecycle", faults=("sigterm",), verdict="no-drain"),
    Case(flaw=Flaw.LAZY_ENV, stage="launch", faults=("env-missing",), verdict="late-fail-config"),
    Case(flaw=Flaw.NO_KEEPALIVE, stage="streams", faults=("idle-cut",), verdict="stream-cut"),
    Case(flaw=Flaw.ABSOLUTE_WRITE_TIMEOUT, stage="streams", faults=(), verdict="stream-cut"),
    Case(flaw=Flaw.NO_FLUSH_HEADER, stage="streams", faults=(), verdict="buffered-stream"),
    Case(flaw=Flaw.MEMORY_PER_CALL, stage="soak", faults=("soak",), verdict="leak-memory"),
)
