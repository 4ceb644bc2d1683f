"""What a target should be ready for, line by line: what is wanted, and what would deny it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CUTS: Final = ("tcp-reset", "tcp-blackhole", "tcp-down", "tcp-truncate", "reconnect-storm")
ENDS: Final = ("process-kill", "sigkill", "sigterm", "rolling-deploy", "replica-loss")
EXPIRY: Final = ("token-expire", "token-revoke")
_ARGUMENTS: Final = ("args-invalid", "args-fuzz")
_DEPENDENCY: Final = (
    "dep-latency", "dep-down", "dep-reset", "dep-429", "dep-pool", "dep-stale", "dep-drift",
    "dep-partial", "result-empty", "tool-slow", "timeout-mismatch",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Line:
    """What is wanted, the verdicts that deny it, and the faults under which that is seen."""

    area: str
    wanted: str
    verdicts: tuple[str, ...]
    faults: tuple[str, ...] = ()  # none: any run shows it
    told: bool = False  # it takes a scenario that says what a true answer is
    missing: str = "no check of this run could see it"  # why it is not measured, without faults


LINES: Final = (
    Line(
        area="auth",
        wanted="nobody is served without a token",
        verdicts=("authn-bypass",),
        faults=("no-token",),
    ),
    Line(
        area="auth",
        wanted="an expired or revoked token is refused, by a 401 that a client can act on",
        verdicts=("authn-bypass", "auth-masked", "wrong-status"),
        faults=EXPIRY,
    ),
    Line(
        area="auth",
        wanted="sessions and their context outlive a renewed token",
        verdicts=("no-recovery",),
        faults=EXPIRY,
    ),
    Line(
        area="auth",
        wanted="each tool asks for its own scope",
        verdicts=("scope-bypass", "auth-masked"),
        faults=("scope-deny",),
    ),
    Line(
        area="auth",
        wanted="tokens for others, or of another kind, are refused",
        verdicts=("audience-bypass", "authn-bypass"),
        faults=("aud-wrong", "refresh-as-access"),
    ),
    Line(
        area="auth",
        wanted="a session belongs to whoever opened it",
        verdicts=("authn-bypass", "crosstalk"),
        faults=("session-hijack", "state-tamper", "resume-probe"),
    ),
    Line(
        area="auth",
        wanted="agents may share a credential without losing their sessions",
        verdicts=("no-recovery", "refresh-storm"),
        faults=("shared-credential", "refresh-race"),
    ),
    Line(
        area="auth",
        wanted="the caller's token stays here: what is behind gets a credential of its own",
        verdicts=("secret-leak",),
        faults=("identity-hop",),
    ),
    Line(
        area="transport",
        wanted="dropped connections are survived, and clients come back",
        verdicts=("no-recovery", "crash", "hang"),
        faults=CUTS,
    ),
    Line(
        area="transport",
        wanted="a restart or a lost replica costs nobody the service",
        verdicts=("no-recovery", "no-drain", "hung-exit"),
        faults=ENDS,
    ),
    Line(
        area="transport",
        wanted="answers arrive whole, or say that they are not",
        verdicts=("truncated", "stream-cut", "buffered-stream"),
        faults=("tcp-truncate", "tcp-bandwidth", "tcp-slice", "dep-partial", "payload-response"),
    ),
    Line(
        area="transport",
        wanted="clients of older and newer revisions are served",
        verdicts=("version-reject", "wrong-status"),
        faults=("version-skew",),
    ),
    Line(
        area="transport",
        wanted="foreign origins are refused, and the names it is known by are served",
        verdicts=("authn-bypass", "host-reject"),
        faults=("origin-evil", "host-header"),
    ),
    Line(
        area="transport",
        wanted="sessions that nobody ends are ended",
        verdicts=("leak-session", "leak-memory"),
        faults=("session-flood", "reject-flood", "soak"),
    ),
    Line(
        area="transport",
        wanted="messages without bounds are refused",
        verdicts=("unbounded-size",),
        faults=("payload-request", "payload-response"),
    ),
    Line(
        area="transport",
        wanted="tools are listed in one order, and whoever listens is told when they change",
        verdicts=("stale-list",),
        missing="no agent of this run lists the tools",
    ),
    Line(
        area="error handling",
        wanted="a failure is said to be one: no empty list, no text in its place",
        verdicts=("silent-empty", "auth-masked"),
        faults=(*_DEPENDENCY, *EXPIRY, *CUTS, "payload-request", "scope-deny"),
    ),
    Line(
        area="error handling",
        wanted="every agent gets its own data, and true ones",
        verdicts=("crosstalk", "wrong-answer", "stale-read"),
        told=True,
    ),
    Line(
        area="error handling",
        wanted="every call comes to an end: an answer or an error, within its budget",
        verdicts=("hang",),
    ),
    Line(
        area="error handling",
        wanted="arguments are validated on every call, and the model is told what is wrong",
        verdicts=("bad-validation",),
        faults=_ARGUMENTS,
    ),
    Line(
        area="error handling",
        wanted="a repeated write takes effect once",
        verdicts=("double-exec",),
        faults=("response-lost", "call-repeat", "tcp-reset", "dep-reset"),
    ),
    Line(
        area="error handling",
        wanted="writes at the same time lose nothing",
        verdicts=("lost-update",),
    ),
    Line(
        area="error handling",
        wanted="one slow call holds nobody else",
        verdicts=("hol-block",),
        missing="no kind of call of this run is slow, or none met a fast one",
    ),
    Line(
        area="error handling",
        wanted="retries back off, heed Retry-After, and stop: a breaker",
        verdicts=("retry-amplification", "cpu-spin"),
        faults=("dep-429", "dep-down", "agent-loop"),
    ),
    Line(
        area="error handling",
        wanted="work ends when its caller is gone",
        verdicts=("orphan-work", "leak-conn"),
        faults=("call-cancel", "client-vanish", "timeout-mismatch"),
    ),
    Line(
        area="error handling",
        wanted="what is behind it may fail, and it recovers",
        verdicts=("no-recovery", "hang", "crash"),
        faults=_DEPENDENCY,
    ),
    Line(
        area="observability",
        wanted="health checks say what calls would say",
        verdicts=("health-lies",),
        faults=("dep-down", "host-header", "sigterm", "slow-start"),
    ),
)
AREAS: Final = ("auth", "transport", "observability", "error handling", "testing")
