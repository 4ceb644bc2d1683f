"""Does the server keep to the protocol where a client's recovery depends on it?"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import numpy as np

from faults.network import TcpBlackhole, TcpDown, TcpReset, TcpTruncate
from harness.checks import sightings
from harness.checks.claims import claims
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence, Indices
from harness.journal import SessionEntry, call_id
from harness.outcome import Outcome, Reason
from harness.scenario.units import counted
from harness.verdict import Finding

_DEAD_SESSION: Final = Rule(
    verdict="wrong-status",
    wrong="under a dead session id were answered 400 where 404 is due",
    source="MCP 2025-11-25, Streamable HTTP, session management: MUST respond with 404",
    unseen="",  # no session died: the question did not arise
    unit="sessions",
)
_SCHEMA_DRIFT: Final = Rule(
    verdict="schema-drift",
    wrong="returned structured content that breaks the tool's own outputSchema",
    source="MCP, tools, output schema: servers MUST provide structured results that conform",
    unseen="no call was answered with a result",
)
_MALFORMED: Final = Rule(
    verdict="wrong-answer",
    wrong="were answered with something that is no HTTP, SSE or JSON-RPC reply to them",
    source="MCP, Streamable HTTP; JSON-RPC 2.0 §5",
    unseen="no call was answered",
)
_MALFORMED_REASONS: Final = (
    Reason.MALFORMED_HTTP,
    Reason.ENCODED,
    Reason.WRONG_CONTENT_TYPE,
    Reason.MALFORMED_JSON,
    Reason.NOT_JSONRPC,
    Reason.NO_REPLY,
    Reason.MALFORMED_SSE,
)
_CUTS: Final = (TcpTruncate, TcpReset, TcpBlackhole, TcpDown)
_STATUS: Final = re.compile(r"\b(?:http|status)\s*:?\s*(\d{3})\b", re.IGNORECASE)
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
# A session is called dead without the client's own word after so many calls that all got 400.
_REFUSALS_MIN: Final = 3


def dead_session_status(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether requests under a dead session id got the 404 that lets a client start anew.

    Needs a session of the legacy era that died: lost by the client's own word with the status in
    it, or answered nothing but 400 from some call on. Says nothing when none died.
    """
    told = _told(evidence)
    mute = [s for s in _mute_sessions(evidence) if s not in told]
    bad = [(s, at_ns) for s, (status, at_ns) in told.items() if status == _BAD_REQUEST]
    bad += [(session, _last_ok_ns(evidence, session)) for session in mute]
    if not told and not mute:
        return ()
    if not bad:
        why = f"{counted(len(told), 'sessions')} died, and each was answered 404"
        return (sightings.passed(_DEAD_SESSION, len(told), why),)
    findings: dict[str, list[tuple[int, int]]] = {}
    for session, at_ns in sorted(bad, key=lambda pair: pair[1]):
        fault = sightings.fault_at(evidence, at_ns) if _treated(evidence, session) else ""
        findings.setdefault(fault, []).append((session, at_ns))
    if "" in findings:  # it needs no fault, so none is to blame
        findings = {"": sorted(pair for pairs in findings.values() for pair in pairs)}
    return tuple(
        Finding(
            verdict=_DEAD_SESSION.verdict,
            ruling="fail",
            fault=fault,
            observed=float(len(dead)),
            limit=0.0,
            unit="sessions",
            why=f"{len(dead)} dead sessions were answered 400 where 404 is due; a client that "
            "keeps to the specification starts a new session on 404 alone, so these stay dead",
            source=_DEAD_SESSION.source,
            evidence=tuple(
                name
                for session, at_ns in dead[: sightings.EVIDENCE_MAX]
                if (name := _refusal(evidence, session, at_ns))
            ),
        )
        for fault, dead in findings.items()
    )


def _treated(evidence: Evidence, session: int) -> bool:
    treated = evidence.session_treated
    return session < len(treated) and bool(treated[session])


def _told(evidence: Evidence) -> dict[int, tuple[int, int]]:
    """Give (status, when) of each legacy session that its client gave up for lost on 400 or 404.

    A session that was answered 400 once is remembered for that.
    """
    told: dict[int, tuple[int, int]] = {}
    for session, edges in evidence.session_edges.items():
        era = next((entry.era for entry in edges if entry.era), evidence.era)
        for entry in edges:
            status = _status(entry)
            if era != "legacy" or entry.edge != "lost" or status is None:
                continue
            if session not in told or status == _BAD_REQUEST != told[session][0]:
                told[session] = (status, entry.at_ns)
    return told


def _status(entry: SessionEntry) -> int | None:
    match = _STATUS.search(entry.why)
    status = int(match[1]) if match else None
    return status if status in (_BAD_REQUEST, _NOT_FOUND) else None


def _mute_sessions(evidence: Evidence) -> list[int]:
    """Find legacy sessions that were answered once, and then with nothing but 400 to the end."""
    calls = evidence.calls
    if evidence.era != "legacy" or not len(calls):
        return []
    real = sightings.attempted(evidence) & sightings.fit(evidence) & (calls["attempt"] > 0)
    ok = real & (calls["outcome"] == Outcome.OK)
    refused = real & (calls["status"] == _BAD_REQUEST) & (calls["outcome"] != Outcome.WRONG)
    # A kind of call that is never answered is refused for what it asks, by any session.
    telling = refused & np.isin(calls["call"], np.unique(calls["call"][ok]))
    count = int(calls["session"].max()) + 1
    last_ok_ns = np.full(count, -1, dtype=np.int64)
    np.maximum.at(last_ok_ns, calls["session"][ok], calls["sent_ns"][ok])
    after = real & (last_ok_ns[calls["session"]] >= 0)
    after &= calls["sent_ns"] > last_ok_ns[calls["session"]]
    refusals = np.bincount(calls["session"][after & telling], minlength=count)
    others = np.bincount(
        calls["session"][after & ~refused & (calls["status"] > 0)], minlength=count
    )
    return [int(s) for s in np.flatnonzero((refusals >= _REFUSALS_MIN) & (others == 0))]


def _last_ok_ns(evidence: Evidence, session: int) -> int:
    calls = evidence.calls
    mine = (calls["session"] == session) & (calls["outcome"] == Outcome.OK)
    return int(calls["done_ns"][mine].max())


def _refusal(evidence: Evidence, session: int, at_ns: int) -> str:
    """Name the refused call nearest to the moment at which the session was found dead."""
    calls = evidence.calls
    mine: Indices = np.flatnonzero(
        (calls["session"] == session) & (calls["status"] == _BAD_REQUEST)
    )
    if not len(mine):
        return ""
    nearest = mine[np.argmin(np.abs(calls["done_ns"][mine] - at_ns))]
    return call_id(calls[nearest])


def schema_drift(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether structured results keep to the schema that the tool itself published.

    An error may leave structured content out; what it does carry is read by clients as any other,
    and one that breaks the schema hides the error itself. Needs one reply with a result to a real
    call.
    """
    charged = claims(evidence)
    real = (charged.judged & (evidence.calls["attempt"] > 0)) | charged.schema_drift
    return sightings.judge(evidence, _SCHEMA_DRIFT, judged=real, bad=charged.schema_drift)


def malformed(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether replies were well-formed where the wire did not cut them.

    Needs one answered real call under a good credential. A JSON-RPC error of any code, and a
    plain or HTML body under a 4xx or 5xx, are well-formed refusals.
    """
    calls = evidence.calls
    answered = sightings.attempted(evidence) & sightings.fit(evidence) & (calls["attempt"] > 0)
    answered &= calls["outcome"] <= Outcome.HTTP_ERROR
    answered &= ~sightings.struck(evidence, lambda fault: isinstance(fault, _CUTS))
    broken = calls["outcome"] == Outcome.PROTOCOL_ERROR
    broken &= np.isin(calls["reason"], _MALFORMED_REASONS)
    return sightings.judge(
        evidence, _MALFORMED, judged=np.asarray(answered), bad=np.asarray(broken)
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    dead_session_status,
    schema_drift,
    malformed,
)
