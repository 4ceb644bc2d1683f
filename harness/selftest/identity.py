"""Flaws that show in whom a server serves, for whom it acts, and on what it relies for that."""

from __future__ import annotations

from typing import Final

from harness.flaws import Flaw
from harness.selftest.cases import Case

CASES: Final = (
    Case(
        flaw=Flaw.AUTH_ERROR_AS_TEXT,
        stage="identity",
        faults=("token-expire",),
        verdict="auth-masked",
    ),
    Case(
        flaw=Flaw.SCOPE_IGNORED,
        stage="identity",
        faults=("scope-deny",),
        verdict="scope-bypass",
    ),
    Case(
        flaw=Flaw.SCOPE_DENIED_EMPTY,
        stage="identity",
        faults=("scope-deny",),
        verdict="auth-masked",
    ),
    Case(
        flaw=Flaw.AUD_UNCHECKED,
        stage="identity",
        faults=("aud-wrong",),
        verdict="audience-bypass",
    ),
    Case(
        flaw=Flaw.ANY_TOKEN_TYPE,
        stage="identity",
        faults=("refresh-as-access",),
        verdict="authn-bypass",
    ),
    Case(
        flaw=Flaw.NO_CLOCK_LEEWAY,
        stage="identity",
        faults=("clock-skew",),
        verdict="wrong-status",
    ),
    Case(
        flaw=Flaw.JWKS_FOREVER,
        stage="identity",
        faults=("jwks-rotate",),
        verdict="no-recovery",
        also=("authn-bypass",),  # what is never read again does not lose a key either
    ),
    Case(
        flaw=Flaw.JWKS_KEPT,
        stage="identity",
        faults=("jwks-rotate",),
        verdict="authn-bypass",
    ),
    Case(
        flaw=Flaw.JWKS_EVERY_CALL,
        stage="identity",
        faults=("as-outage",),
        verdict="retry-amplification",
        also=("wrong-status",),  # good tokens are refused while the issuer cannot be asked
    ),
    Case(flaw=Flaw.NO_AUTH, stage="identity", faults=(), verdict="authn-bypass"),
    Case(
        flaw=Flaw.LAST_LOGIN_WINS,
        stage="identity",
        faults=("shared-credential",),
        verdict="no-recovery",
        eras=("legacy",),  # the other has no sessions
    ),
    Case(
        flaw=Flaw.AMBIENT_USER,
        stage="hops",
        faults=("identity-hop",),
        verdict="crosstalk",
    ),
    Case(flaw=Flaw.TOKEN_PASSTHROUGH, stage="hops", faults=(), verdict="secret-leak"),
    Case(flaw=Flaw.REFRESH_STAMPEDE, stage="hops", faults=(), verdict="refresh-storm"),
    Case(
        flaw=Flaw.REFRESH_ONCE,
        stage="hops",
        faults=("refresh-fail",),
        verdict="no-recovery",
    ),
)
