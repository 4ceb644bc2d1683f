"""Was a credential that is no good refused, and refused in the way that lets a client recover?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from faults.credentials import AudWrong, ClockSkew, RefreshAsAccess
from faults.identity import NoToken, TokenExpire, TokenRevoke
from faults.issuers import JwksRotate
from harness.checks import sightings
from harness.checks.credentials import PUBLIC
from harness.checks.sightings import Rule
from harness.evidence.phases import UNAUTHORIZED, Evidence, Mask
from harness.journal import NEVER_NS, SampleEntry, TokenEntry
from harness.outcome import Auth, Outcome, Reason
from harness.verdict import Finding

_SOURCE: Final = "MCP authorization, token handling: an invalid or expired token MUST get 401"
_UNSEEN: Final = "no attempt under an invalid credential came to a reply"
_BYPASS: Final = Rule(
    verdict="authn-bypass",
    wrong="were served on an expired, revoked, absent or damaged token, on none for access, or on "
    "one under a withdrawn key",
    source=_SOURCE,
    unseen=_UNSEEN,
    hard=True,
)
_WRONG_STATUS: Final = Rule(
    verdict="wrong-status",
    wrong="under an invalid token were refused with something else than a 401 "
    "challenge, so that no client knows to renew it",
    source=_SOURCE,
    unseen=_UNSEEN,
)
_MASKED: Final = Rule(
    verdict="auth-masked",
    wrong="under an invalid token were answered 200 with the refusal as the tool's own text",
    source=_SOURCE,
    unseen=_UNSEEN,
)
_SPOKE: Final = (
    Outcome.OK,
    Outcome.WRONG,
    Outcome.TOOL_ERROR,
    Outcome.PROTOCOL_ERROR,
    Outcome.HTTP_ERROR,
)
_ROUNDED_NS: Final = 1_000_000_000  # tokens count their lives in whole seconds
# Refusals that say nothing of the credential: the session is gone, the request is too large, the
# server is too busy, a gateway answers in its place.
_OTHER_REFUSALS: Final = (404, 408, 413, 421, 429, 502, 503, 504)
_SAMPLE_WHOLE_MAX: Final = 280  # shorter texts were not cut
_ASKING: Final = (TokenExpire, TokenRevoke, NoToken, RefreshAsAccess, ClockSkew, AudWrong)


def _tried(evidence: Evidence) -> Mask:
    """Tell which attempts put an invalid credential before the server and were answered."""
    calls = evidence.calls
    public = np.array([name in PUBLIC for name in evidence.plan.calls] or [False])
    anonymous_list = public[calls["call"]] & (calls["auth"] == Auth.ABSENT)
    tried = ~sightings.fit(evidence) & np.isin(calls["outcome"], _SPOKE) & (calls["status"] > 0)
    tried &= ~np.isin(calls["status"], _OTHER_REFUSALS)
    tried &= ~(anonymous_list & (calls["status"] != UNAUTHORIZED))
    return np.asarray(tried | _refused_at_once(evidence))


def _refused_at_once(evidence: Evidence) -> Mask:
    """Mark refusals that came while the server still had leeway to accept.

    The journal calls such a token valid, since serving it would have been no fault; that it was
    dead already shows in when it expired, or in its being older than the revocation.
    """
    calls = evidence.calls
    mask = np.zeros(len(calls), dtype=np.bool_)
    refused = (calls["auth"] == Auth.VALID) & (calls["status"] == UNAUTHORIZED)
    positions = np.flatnonzero(refused & (calls["treated"] == 1))
    if not len(positions):
        return mask
    held: dict[int, list[TokenEntry]] = {}
    for entry in evidence.journal.of(TokenEntry):
        if entry.edge != "failed":
            held.setdefault(entry.session, []).append(entry)
    revoked_ns = [
        window.start_ns
        for window in evidence.phases.windows
        if window.injected and isinstance(window.fault, TokenRevoke)
    ]
    for at in positions:
        sent_ns = int(calls["sent_ns"][at])
        tokens = held.get(int(calls["session"][at]), [])
        last = next((token for token in reversed(tokens) if token.at_ns <= sent_ns), None)
        if last is not None:
            expired = NEVER_NS < last.expires_ns <= sent_ns + _ROUNDED_NS
            revoked = any(last.at_ns <= edge_ns <= sent_ns for edge_ns in revoked_ns)
            mask[at] = expired or revoked
    return mask


def _served(evidence: Evidence) -> Mask:
    """Tell which attempts were given a result that meets the step, or another call's."""
    calls = evidence.calls
    served = (calls["outcome"] == Outcome.OK) | (calls["reason"] == Reason.FOREIGN_NONCE)
    return np.asarray(_tried(evidence) & served)


def masked(evidence: Evidence) -> Mask:
    """Tell which attempts were refused in the words of the tool."""
    calls = evidence.calls
    claims = np.isin(calls["outcome"], (Outcome.OK, Outcome.WRONG, Outcome.TOOL_ERROR))
    return np.asarray(_tried(evidence) & claims & ~_served(evidence))


def _asked(evidence: Evidence) -> bool:
    """Tell whether this run meant to present invalid credentials at all."""
    faults = [window.fault for window in evidence.phases.windows]
    meant = any(
        isinstance(fault, _ASKING) or (isinstance(fault, JwksRotate) and fault.asks_after_s)
        for fault in faults
    )
    return bool((~sightings.fit(evidence)).any()) or (evidence.scenario.auth is not None and meant)


def authn_bypass(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether anybody was served under a credential that is no good; one is enough.

    Needs one answered attempt under an invalid credential; says nothing when none was meant.
    """
    if not _asked(evidence):
        return ()
    # Being served on a token for another resource has a name of its own.
    judged = _tried(evidence) & (evidence.calls["auth"] != Auth.MISDIRECTED)
    return sightings.judge(evidence, _BYPASS, judged=judged, bad=_served(evidence))


def wrong_status(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether every refusal of a credential was a 401.

    Needs one answered attempt under an invalid credential. Refusals for another reason (404, 413,
    429, a gateway's 5xx) are not judged, and what was served or masked has a name of its own.
    """
    if not _asked(evidence):
        return ()
    tried = _tried(evidence)
    refused = tried & ~_served(evidence) & ~masked(evidence)
    silent = _without_challenge(evidence, refused)
    bad = refused & ((evidence.calls["status"] != UNAUTHORIZED) | silent)
    return sightings.judge(evidence, _WRONG_STATUS, judged=tried, bad=bad)


def _without_challenge(evidence: Evidence, refused: Mask) -> Mask:
    """Mark the sampled 401 replies that carried no challenge.

    Only some calls leave a sample, so this can accuse and never acquit; one that was cut short
    may have lost its challenge and is passed over.
    """
    calls = evidence.calls
    mask = np.zeros(len(calls), dtype=np.bool_)
    plain = {
        (entry.session, entry.index, entry.attempt)
        for entry in evidence.journal.of(SampleEntry)
        if "challenge: " not in entry.text and len(entry.text) < _SAMPLE_WHOLE_MAX
    }
    if plain:
        for at in np.flatnonzero(refused & (calls["status"] == UNAUTHORIZED)):
            row = calls[at]
            mask[at] = (int(row["session"]), int(row["index"]), int(row["attempt"])) in plain
    return mask


def auth_masked(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a refusal was dressed up as the tool's answer.

    Needs one answered attempt under an invalid credential.
    """
    if not _asked(evidence):
        return ()
    return sightings.judge(evidence, _MASKED, judged=_tried(evidence), bad=masked(evidence))


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    authn_bypass,
    wrong_status,
    auth_masked,
)
