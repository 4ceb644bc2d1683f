"""What became of the odd requests of outsiders: each held against the one rule that it is about.

A rule speaks for one era; what a server may do as it likes has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from faults.agent_sessions import ListDrift, OutsiderFault, RejectFlood, SessionFlood
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, WindowSpan
from harness.journal import ProbeEntry
from harness.verdict import Finding

_BINDING: Final = (
    "MCP security best practices, session hijacking: MUST NOT use sessions for authentication, "
    "SHOULD bind a session id to its user"
)
_ENDED: Final = "MCP 2025-11-25, Streamable HTTP, session management: MUST respond with 404"
_NEGOTIATION: Final = (
    "MCP 2025-11-25, lifecycle, version negotiation: MUST respond with another version"
)
_UNSUPPORTED: Final = "MCP 2026-07-28, versioning: 400 with -32022 and data.supported"
_MIRROR: Final = "MCP 2026-07-28, Streamable HTTP, headers: MUST reject a mismatch, 400 with -32020"
_VERSION_HEADER: Final = (
    "MCP 2025-11-25, Streamable HTTP, protocol version header: MUST respond with 400"
)
_STATE: Final = (
    "MCP 2026-07-28, multi round-trip requests: a state that decides anything MUST be "
    "integrity-protected and SHOULD be bound to its user; MUST reject what fails"
)
_REPLAY: Final = (
    "MCP 2025-11-25, Streamable HTTP, resumability: MUST NOT replay what was for another stream"
)
_ORIGIN: Final = "MCP, Streamable HTTP, security: MUST validate Origin, 403 since 2025-11-25"
_HOST: Final = "what a name is for: who is served by one is served behind a proxy, and has a health"
_REFUSED: Final = 400
_LOST: Final = 404
# What an outsider found there is none of: no rule is broken by that.
_NO_CALL: Final = "no-call"  # the scenario has none that an outsider could make
_MOOT: Final = ("no-session", "no-ids", "no-streams", "no-state")
# Says nothing of what was asked: too much at once, or a gateway in the server's place.
_BUSY: Final = (408, 429, 502, 503, 504)

Answer = Callable[[ProbeEntry], bool]


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """What one kind of odd request may not come to."""

    kind: str  # of behaviour
    variants: tuple[str, ...]  # begin so
    era: str  # "" for both
    rule: Rule
    bad: Answer


def _served(entry: ProbeEntry) -> bool:
    return entry.outcome == "ok" and entry.reason != "result_type"


def _not_lost(entry: ProbeEntry) -> bool:
    return entry.status != _LOST and not _served(entry)


def _unfit_opening(entry: ProbeEntry) -> bool:
    """A client can go on from a new session, a 404 and the 400 that names the mistake."""
    return entry.outcome != "ok" and entry.status not in {_LOST, _REFUSED}


def _rule(verdict: str, wrong: str, source: str, *, hard: bool = False) -> Rule:
    unseen = "no such request was answered"
    return Rule(
        verdict=verdict, wrong=wrong, source=source, unseen=unseen, hard=hard, unit="requests"
    )


EXPECTATIONS: Final = (
    Expectation(
        kind="session_hijack",
        variants=("foreign-token",),
        era="legacy",
        rule=_rule(
            "authn-bypass",
            "were served in another user's session, on a token that is not his",
            _BINDING,
            hard=True,
        ),
        bad=_served,
    ),
    Expectation(
        kind="session_hijack",
        variants=("foreign-read",),
        era="",
        rule=_rule(
            "crosstalk",
            "brought one user what another had left there",
            _BINDING,
            hard=True,
        ),
        bad=lambda entry: entry.carried == "foreign",
    ),
    Expectation(
        kind="resume_probe",
        variants=("foreign-id", "no-streams"),
        era="",
        rule=_rule("crosstalk", "were answered with another session's events", _REPLAY, hard=True),
        bad=lambda entry: entry.carried == "foreign",
    ),
    Expectation(
        kind="session_idle",
        variants=("unknown-id", "ended-id"),
        era="legacy",
        rule=_rule(
            "wrong-status",
            "under the id of a session that is none were not answered 404, after which alone a "
            "client begins anew",
            _ENDED,
        ),
        bad=lambda entry: entry.status != _LOST,
    ),
    Expectation(
        kind="session_idle",
        variants=("idle-id",),
        era="legacy",
        rule=_rule(
            "wrong-status",
            "in a session that had idled were answered neither with a result nor with 404",
            _ENDED,
        ),
        bad=_not_lost,
    ),
    Expectation(
        kind="stale_id",
        variants=("stale-id", "without-id", "stale-discover"),
        era="",
        rule=_rule(
            "wrong-status",
            "to open a session were answered so that no client can begin anew",
            _ENDED,
        ),
        bad=_unfit_opening,
    ),
    Expectation(
        kind="version_skew",
        variants=("older", "future"),
        era="legacy",
        rule=_rule(
            "version-reject",
            "of a client of another version were refused where a version is to be negotiated",
            _NEGOTIATION,
        ),
        bad=lambda entry: not _served(entry),
    ),
    Expectation(
        kind="version_skew",
        variants=("bad-header",),
        era="legacy",
        rule=_rule("wrong-status", "were served under a version that is none", _VERSION_HEADER),
        bad=_served,
    ),
    Expectation(
        kind="version_skew",
        variants=("future",),
        era="modern",
        rule=_rule(
            "version-reject",
            "of a newer client were refused without a list of what is spoken instead",
            _UNSUPPORTED,
        ),
        bad=lambda entry: not _served(entry) and not _lists_versions(entry),
    ),
    Expectation(
        kind="version_skew",
        variants=("future", "mirror-"),
        era="modern",
        rule=_rule(
            "wrong-status",
            "were served though their header and their body differ, or their version is none",
            _MIRROR,
        ),
        bad=_served,
    ),
    Expectation(
        kind="state_tamper",
        variants=("altered", "foreign"),
        era="modern",
        rule=_rule(
            "authn-bypass",
            "went on from a requestState that the server did not write for this caller",
            _STATE,
            hard=True,
        ),
        bad=_served,
    ),
    Expectation(
        kind="origin_evil",
        variants=("evil",),
        era="",
        rule=_rule("authn-bypass", "from the page of a foreign origin were served", _ORIGIN),
        bad=_served,
    ),
    Expectation(
        kind="host_header",
        variants=("forwarded", "served ", "health"),
        era="",
        rule=_rule("host-reject", "were refused for the name that they came by", _HOST),
        bad=lambda entry: entry.status >= _REFUSED,
    ),
)


def _stateless(judged: Iterable[ProbeEntry]) -> bool:
    """Served under an id that it never gave out: it keeps no sessions, so none is dead."""
    return any(entry.variant == "unknown-id" and _served(entry) for entry in judged)


def _lists_versions(entry: ProbeEntry) -> bool:
    return entry.status == _REFUSED and entry.code == -32022 and entry.reason != "nothing_listed"  # noqa: PLR2004


def judge(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask, for each fault of an outsider's, whether its requests came to what they may come to.

    Needs one such request that was answered, in the era that its rule speaks for. Says nothing
    where the scenario has no such fault.
    """
    entries: dict[int, list[ProbeEntry]] = {}
    for entry in evidence.journal.of(ProbeEntry):
        entries.setdefault(entry.window, []).append(entry)
    findings: list[Finding] = []
    for window in evidence.phases.windows:
        if window.injected and isinstance(window.fault, OutsiderFault):
            given = entries.get(window.window, [])
            ruled = [
                _ruled(one, window, about) for one in EXPECTATIONS if (about := _of(one, given))
            ]
            findings += ruled or _unruled(window, given)
    return tuple(findings)


def _of(expectation: Expectation, given: Iterable[ProbeEntry]) -> list[ProbeEntry]:
    """Give the answered requests that an expectation speaks of."""
    return [
        entry
        for entry in given
        if entry.kind == expectation.kind
        and entry.variant.startswith(expectation.variants)
        and expectation.era in {"", entry.era}
        and entry.status > 0
        and entry.status not in _BUSY
    ]


def _unruled(window: WindowSpan, given: list[ProbeEntry]) -> list[Finding]:
    """Say why nothing was ruled: there is nothing to ask of such a server, or nobody could."""
    if isinstance(window.fault, SessionFlood | RejectFlood):
        return []
    if isinstance(window.fault, ListDrift) and any(_served(entry) for entry in given):
        return []  # what the sessions are given meanwhile is another check's
    rule = _rule(window.fault.shows[0], "", "")
    moot = [entry for entry in given if entry.variant in _MOOT]
    if moot:
        why = f"there is nothing of the kind here: {tell(moot[0])}"
        return [sightings.passed(rule, len(moot), why, fault=window.id)]
    if given and given[0].variant == _NO_CALL:
        why = f"{rule.unseen}, for none could be made: {given[0].sent}"
        return [sightings.unknown(rule, why, fault=window.id)]
    why = tell(given[0]) if given else "no outsider came to ask"
    return [sightings.unknown(rule, f"{rule.unseen}: {why}", fault=window.id)]


def _ruled(expectation: Expectation, window: WindowSpan, judged: list[ProbeEntry]) -> Finding:
    rule = expectation.rule
    bad = [entry for entry in judged if expectation.bad(entry)]
    if _stateless(judged):
        bad = [entry for entry in bad if not _served(entry)]
    if not bad:
        what = ", ".join(dict.fromkeys(tell(entry) for entry in judged[:3]))
        why = f"all {len(judged)} odd requests were answered as they may be: {what}"
        return sightings.passed(rule, len(judged), why, fault=window.id)
    return Finding(
        verdict=rule.verdict,
        ruling="fail",
        fault=window.id,
        tool=bad[0].tool,
        observed=float(len(bad)),
        limit=0.0,
        unit=rule.unit,
        why=f"{len(bad)} of {len(judged)} {rule.unit} {rule.wrong}: {tell(bad[0])}",
        source=rule.source,
        first_s=min(entry.sent_ns for entry in bad) / 1e9,
        last_s=max(entry.at_ns for entry in bad) / 1e9,
        evidence=tuple(tell(entry) for entry in bad[: sightings.EVIDENCE_MAX]),
        hard=rule.hard,
    )


def tell(entry: ProbeEntry) -> str:
    """Put one odd request and its answer in words that a person can follow."""
    code = "" if entry.code is None else f", error {entry.code}"
    said = f" {entry.text!r}" if entry.text else ""
    got = f"HTTP {entry.status}{code}{said}" if entry.status else entry.reason or entry.outcome
    return f"{entry.sent}, at {entry.sent_ns / 1e9:.1f} s: {got}"


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (judge,)
