"""What may become of the odd requests of outsiders, and what may not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import pytest

from faults.agent_sessions import (
    HostHeader,
    InitWithStaleId,
    OriginEvil,
    ResumeProbe,
    SessionHijack,
    SessionIdle,
    StateTamper,
    VersionSkew,
)
from faults.catalogue import CATALOGUE
from faults.fault import Fault
from harness.checks import outsiders
from harness.evidence.phases import Evidence
from harness.journal import ProbeEntry
from harness.verdict import Finding
from tests.checks import cases

FAULTS: Final[dict[str, Fault]] = {
    "session_hijack": SessionHijack(),
    "stale_id": InitWithStaleId(),
    "session_idle": SessionIdle(),
    "resume_probe": ResumeProbe(),
    "state_tamper": StateTamper(),
    "version_skew": VersionSkew(),
    "origin_evil": OriginEvil(),
    "host_header": HostHeader(),
}


def probe(kind: str, variant: str, era: str, status: int, **more: Any) -> ProbeEntry:
    """Make one odd request and its answer; a 200 is a result unless it is said."""
    more.setdefault("outcome", "ok" if status == 200 else "http_error")
    return ProbeEntry(
        at_ns=13_000_000_000,
        session=-1,
        window=1,
        kind=kind,
        variant=variant,
        era=era,
        sent="a request",
        sent_ns=12_900_000_000,
        status=status,
        **more,
    )


def under(kind: str, *entries: ProbeEntry) -> tuple[Evidence, tuple[Finding, ...]]:
    """Give the run in which these came, and what is said of them."""
    of = cases.run(FAULTS[kind], extra=entries)
    return of, outsiders.judge(of)


BAD: Final = [
    ("session_hijack", "foreign-token", "legacy", 200, {}, "authn-bypass"),
    ("session_hijack", "foreign-read", "modern", 200, {"carried": "foreign"}, "crosstalk"),
    ("resume_probe", "foreign-id", "legacy", 200, {"carried": "foreign"}, "crosstalk"),
    ("session_idle", "unknown-id", "legacy", 500, {}, "wrong-status"),
    ("session_idle", "unknown-id", "legacy", 401, {}, "wrong-status"),
    ("session_idle", "ended-id", "legacy", 400, {}, "wrong-status"),
    ("session_idle", "ended-id", "legacy", 200, {}, "wrong-status"),
    ("session_idle", "idle-id", "legacy", 500, {}, "wrong-status"),
    ("stale_id", "stale-id", "legacy", 500, {}, "wrong-status"),
    ("stale_id", "without-id", "legacy", 403, {}, "wrong-status"),
    ("version_skew", "future", "legacy", 400, {}, "version-reject"),
    ("version_skew", "bad-header", "legacy", 200, {}, "wrong-status"),
    ("version_skew", "future", "modern", 400, {"code": -32000}, "version-reject"),
    (
        "version_skew",
        "future",
        "modern",
        400,
        {"code": -32022, "reason": "nothing_listed"},
        "version-reject",
    ),
    ("version_skew", "mirror-method", "modern", 200, {}, "wrong-status"),
    ("state_tamper", "altered", "modern", 200, {}, "authn-bypass"),
    ("state_tamper", "foreign", "modern", 200, {}, "authn-bypass"),
    ("origin_evil", "evil", "legacy", 200, {}, "authn-bypass"),
    ("host_header", "forwarded", "modern", 421, {}, "host-reject"),
    ("host_header", "served mcp.example.com", "legacy", 403, {}, "host-reject"),
    ("host_header", "health", "legacy", 421, {}, "host-reject"),
]


@pytest.mark.parametrize(("kind", "variant", "era", "status", "more", "verdict"), BAD)
def test_an_answer_that_breaks_a_rule_is_named_and_told(  # noqa: PLR0917  one case, a column each
    kind: str, variant: str, era: str, status: int, more: dict[str, Any], verdict: str
) -> None:
    """Under its own fault, with the request and its answer as evidence, and the rule's source."""
    of, findings = under(kind, probe(kind, variant, era, status, **more))
    failed = cases.one([finding for finding in findings if finding.ruling == "fail"])
    assert failed.verdict == verdict
    assert failed.verdict in FAULTS[kind].shows
    assert failed.fault == of.phases.windows[0].id
    assert failed.evidence[0].startswith(f"a request, at 12.9 s: HTTP {status}")
    assert failed.source


GOOD: Final = [
    ("session_hijack", "foreign-token", "legacy", 404, {}),
    ("session_hijack", "foreign-token", "legacy", 403, {}),
    ("session_hijack", "foreign-read", "modern", 200, {"carried": "none"}),
    ("resume_probe", "own-id", "legacy", 200, {"carried": "own"}),
    ("session_idle", "unknown-id", "legacy", 404, {}),
    ("session_idle", "unknown-id", "legacy", 200, {}),  # it keeps no sessions
    ("session_idle", "idle-id", "legacy", 200, {}),
    ("session_idle", "idle-id", "legacy", 404, {}),
    ("stale_id", "stale-id", "legacy", 200, {}),
    ("stale_id", "stale-id", "legacy", 404, {}),
    ("stale_id", "stale-id", "legacy", 400, {}),
    ("version_skew", "older", "legacy", 200, {}),
    ("version_skew", "bad-header", "legacy", 400, {}),
    ("version_skew", "missing-header", "legacy", 400, {}),
    ("version_skew", "future", "modern", 400, {"code": -32022}),
    ("version_skew", "mirror-name", "modern", 400, {"code": -32020}),
    ("state_tamper", "altered", "modern", 400, {"code": -32602}),
    ("state_tamper", "altered", "modern", 200, {"reason": "result_type"}),  # it asks again
    ("state_tamper", "altered", "modern", 200, {"outcome": "tool_error"}),
    ("origin_evil", "evil", "legacy", 403, {}),
    ("host_header", "forwarded", "legacy", 200, {}),
    ("host_header", "public", "legacy", 421, {}),  # a good guard
    ("host_header", "pod", "legacy", 403, {}),
]


@pytest.mark.parametrize(("kind", "variant", "era", "status", "more"), GOOD)
def test_an_answer_that_a_server_may_give_is_no_finding(
    kind: str, variant: str, era: str, status: int, more: dict[str, Any]
) -> None:
    """Sound servers differ, and none of this is wrong."""
    of, findings = under(kind, probe(kind, variant, era, status, **more))
    assert not [finding for finding in findings if finding.ruling == "fail"]
    assert cases.failed(of) == set()


@pytest.mark.parametrize(
    ("kind", "variant", "era", "status"),
    [
        ("session_hijack", "foreign-token", "modern", 200),
        ("session_idle", "unknown-id", "modern", 400),
        ("version_skew", "mirror-method", "legacy", 200),
        ("version_skew", "bad-header", "modern", 200),
        ("state_tamper", "altered", "legacy", 200),
    ],
)
def test_no_rule_of_one_era_is_asked_of_the_other(
    kind: str, variant: str, era: str, status: int
) -> None:
    """What the other era forbids is not even looked at."""
    _, findings = under(kind, probe(kind, variant, era, status))
    assert {finding.ruling for finding in findings} == {"unknown"}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_server_that_was_not_reached_is_unknown(kind: str) -> None:
    """No outsider, none let in, no answer, or a gateway's: nothing is concluded."""
    silent = probe(kind, "not-let-in", "", 0, outcome="transport_error", reason="hang")
    for entries in ((), (silent,), (probe(kind, "evil", "legacy", 503),)):
        _, findings = under(kind, *entries)
        assert cases.one(findings).ruling == "unknown"
        assert cases.one(findings).verdict == FAULTS[kind].shows[0]


def test_a_scenario_without_a_call_that_an_outsider_can_make_is_no_matter_of_the_servers() -> None:
    """It says what the scenario lacks, and of no answer that never was."""
    sent = "no step calls a tool that only reads, with ${nonce} in its arguments"
    silent = probe("resume_probe", "no-call", "", 0, outcome="transport_error")
    _, findings = under("resume_probe", replace(silent, sent=sent))
    finding = cases.one(findings)
    assert finding.ruling == "unknown"
    assert finding.why.endswith(sent)
    assert "transport_error" not in finding.why


@pytest.mark.parametrize(
    ("kind", "variant"),
    [
        ("session_idle", "no-session"),
        ("resume_probe", "no-ids"),
        ("state_tamper", "no-state"),
    ],
)
def test_a_server_that_has_nothing_of_the_kind_breaks_no_rule(kind: str, variant: str) -> None:
    """Sessions, event ids and states are a server's own choice."""
    _, findings = under(kind, probe(kind, variant, "legacy", 200))
    assert cases.one(findings).ruling == "pass"
    assert "nothing of the kind" in cases.one(findings).why


def test_a_run_without_outsiders_is_asked_nothing() -> None:
    """Faults of other kinds leave the question unasked."""
    assert outsiders.judge(cases.run(CATALOGUE["client-vanish"]())) == ()


def test_a_foreign_origin_that_is_served_fails_no_score() -> None:
    """It is told, and is no hard rule: many released servers do it."""
    _, findings = under("origin_evil", probe("origin_evil", "evil", "legacy", 200))
    assert not cases.one(findings).hard
