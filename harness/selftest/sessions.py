"""Flaws that outsiders bring to light: of sessions, versions and headers."""

from __future__ import annotations

from typing import Final

from harness.flaws import Flaw
from harness.selftest.cases import Case, Era

_LEGACY: Final[tuple[Era, ...]] = ("legacy",)
_MODERN: Final[tuple[Era, ...]] = ("modern",)
_STAGE: Final = "sessions"

CASES: Final = (
    Case(
        flaw=Flaw.SESSION_LEAK,
        stage=_STAGE,
        faults=("session-flood",),
        verdict="leak-session",
        eras=_LEGACY,
    ),
    Case(
        flaw=Flaw.REJECT_LEAKS,
        stage=_STAGE,
        faults=("reject-flood",),
        verdict="leak-session",
    ),
    Case(
        flaw=Flaw.UNKNOWN_SESSION_500,
        stage=_STAGE,
        faults=("session-idle",),
        verdict="wrong-status",
        eras=_LEGACY,
    ),
    Case(
        flaw=Flaw.SESSION_UNBOUND,
        stage=_STAGE,
        faults=("session-hijack",),
        verdict="authn-bypass",
        eras=_LEGACY,
        also=("crosstalk",),
    ),
    Case(
        flaw=Flaw.SESSION_UNBOUND,
        stage=_STAGE,
        faults=("session-hijack",),
        verdict="crosstalk",
        eras=_MODERN,
    ),
    Case(
        flaw=Flaw.REPLAY_UNSCOPED,
        stage=_STAGE,
        faults=("resume-probe",),
        verdict="crosstalk",
        eras=_LEGACY,
    ),
    Case(flaw=Flaw.LOCALHOST_ONLY, stage=_STAGE, faults=("host-header",), verdict="host-reject"),
    Case(
        flaw=Flaw.VERSION_STRICT, stage=_STAGE, faults=("version-skew",), verdict="version-reject"
    ),
    Case(
        flaw=Flaw.MIRROR_UNCHECKED,
        stage=_STAGE,
        faults=("version-skew",),
        verdict="wrong-status",
        eras=_MODERN,
    ),
    Case(
        flaw=Flaw.STATE_UNSIGNED,
        stage=_STAGE,
        faults=("state-tamper",),
        verdict="authn-bypass",
        eras=_MODERN,
    ),
    Case(flaw=Flaw.ORIGIN_UNCHECKED, stage=_STAGE, faults=("origin-evil",), verdict="authn-bypass"),
)
