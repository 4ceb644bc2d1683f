"""Does a token open no more than it is for: its scopes, its resource, its kind and its time?"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final

import numpy as np

from faults.credentials import AudWrong, ClockSkew, ScopeDeny, SharedCredential
from faults.fault import Fault
from faults.identity import NoToken
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.executions import match
from harness.evidence.phases import UNAUTHORIZED, Evidence, Mask
from harness.journal import BEHAVIOUR_CODES, EffectEntry
from harness.outcome import Auth, Outcome, Reason
from harness.scenario.marks import PRELUDE_INDEX
from harness.verdict import Finding

_UNSEEN: Final = "no attempt under such a token came to a reply"
_SCOPE: Final = "MCP authorization: insufficient scope is answered with 403; RFC 6750, section 3.1"
_SCOPE_BYPASS: Final = Rule(
    verdict="scope-bypass",
    wrong="took effect under a token whose scope does not cover them",
    source=_SCOPE,
    unseen=_UNSEEN,
    hard=True,
)
_SCOPE_MASKED: Final = Rule(
    verdict="auth-masked",
    wrong="under a token whose scope does not cover them were answered well and did nothing",
    source=_SCOPE,
    unseen=_UNSEEN,
)
_AUDIENCE: Final = Rule(
    verdict="audience-bypass",
    wrong="were served on a token that its issuer made for another resource",
    source="MCP authorization, token handling: a server MUST validate that tokens were issued "
    "for it; RFC 8707",
    unseen=_UNSEEN,
    hard=True,
)
_SKEW: Final = Rule(
    verdict="wrong-status",
    wrong="under a fresh token whose clock is a little off were refused as if it were no good",
    source="RFC 7519, sections 4.1.4 to 4.1.6: some leeway for clocks that differ",
    unseen=_UNSEEN,
)
_OPEN: Final = Rule(
    verdict="authn-bypass",
    wrong="were served without a token, though the target was given an issuer to trust",
    source="MCP authorization, token handling: invalid requests MUST get 401",
    unseen="",
    hard=True,
)
_EVICTED: Final = Rule(
    verdict="no-recovery",
    wrong="were refused after other sessions had been opened with the same token",
    source="MCP security best practices: sessions are not a means of authentication",
    unseen="no session of its own was opened with a token in use",
)
_GONE: Final = (400, 401, 403, 404)  # what a session is told that others have ended
SHARE_MIN: Final = 0.2
# Listing is often public; without a token, being told what there is does not mean a bypass.
PUBLIC: Final = ("tools/list", "resources/list", "prompts/list", "ping")
ANSWERED: Final = (
    Outcome.OK,
    Outcome.WRONG,
    Outcome.TOOL_ERROR,
    Outcome.PROTOCOL_ERROR,
    Outcome.HTTP_ERROR,
)
# Refusals that say nothing of the credential.
_OTHER_REFUSALS: Final = (404, 408, 413, 421, 429, 502, 503, 504)


def _presented(evidence: Evidence, behaviour: str) -> Mask:
    """Tell which attempts misbehaved so and were answered, for whatever reason."""
    calls = evidence.calls
    told = np.isin(calls["outcome"], ANSWERED) & (calls["status"] > 0)
    told &= ~np.isin(calls["status"], _OTHER_REFUSALS)
    return np.asarray(told & (calls["behaviour"] == BEHAVIOUR_CODES[behaviour]))


def _asked(evidence: Evidence, kind: type[Fault]) -> bool:
    """Tell whether this run meant to present such tokens."""
    with_tokens = evidence.scenario.auth is not None
    return with_tokens and any(isinstance(w.fault, kind) for w in evidence.phases.windows)


def _executed(evidence: Evidence, attempts: Mask) -> Mask:
    """Tell which of these preludes took effect, by the ledger."""
    mask = np.zeros(len(attempts), dtype=np.bool_)
    at = np.flatnonzero(attempts)
    times = match(
        map(attrgetter("key"), evidence.journal.of(EffectEntry)),
        marks=evidence.plan.marks,
        session=evidence.calls["session"][at],
        index=evidence.calls["index"][at] + np.uint32(PRELUDE_INDEX),
    ).times
    mask[at] = times > 0
    return mask


def _answered_well(evidence: Evidence, attempts: Mask) -> Mask:
    """Tell which of these attempts were told that all is well."""
    calls = evidence.calls
    return np.asarray(attempts & np.isin(calls["outcome"], (Outcome.OK, Outcome.WRONG)))


def _scope_bypass(evidence: Evidence, tried: Mask) -> Mask:
    """Tell which calls were done although the token did not cover them.

    The ledger knows; where there is none, an answer that holds all that the step expects does.
    """
    if evidence.journal.of(EffectEntry):
        return _executed(evidence, tried)
    return np.asarray(tried & (evidence.calls["outcome"] == Outcome.OK))


def scope(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a call that the token's scope does not cover was done, or said to be done.

    Needs one answered attempt under such a token. One that took effect is enough. An error that
    says what is missing is right, whatever its form.
    """
    if not _asked(evidence, ScopeDeny):
        return ()
    tried = _presented(evidence, "narrow_token")
    done = _scope_bypass(evidence, tried)
    masked = _answered_well(evidence, tried) & ~done
    return (
        *sightings.judge(evidence, _SCOPE_BYPASS, judged=tried, bad=done),
        *sightings.judge(evidence, _SCOPE_MASKED, judged=tried, bad=masked),
    )


def audience(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a token for another resource opened this one; one answer is enough.

    Needs one answered attempt under such a token.
    """
    if not _asked(evidence, AudWrong):
        return ()
    calls = evidence.calls
    served = (calls["outcome"] == Outcome.OK) | (calls["reason"] == Reason.FOREIGN_NONCE)
    tried = _presented(evidence, "misdirected_token")
    return sightings.judge(evidence, _AUDIENCE, judged=tried, bad=np.asarray(tried & served))


def skew(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a token was served whose clock differs by no more than clocks do.

    Needs one answered attempt under such a token.
    """
    if not _asked(evidence, ClockSkew):
        return ()
    calls = evidence.calls
    tried = _presented(evidence, "skewed_token") & (calls["auth"] == Auth.VALID)
    refused = tried & np.isin(calls["status"], (UNAUTHORIZED, 403))
    return sightings.judge(evidence, _SKEW, judged=tried, bad=refused)


def open_door(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether tools run for anyone, where the scenario has them ask for tokens.

    Needs no fault. Says nothing where the target's own issuer was to be found and there is none:
    then it may be open on purpose, unless calls without a token are what the scenario is about.
    """
    told, calls = evidence.scenario.auth, evidence.calls
    if told is None or told.grant == "bearer":
        return ()
    about = any(isinstance(window.fault, NoToken) for window in evidence.phases.windows)
    if told.issuer != "embedded" and not about:
        return ()
    tool = np.array([name not in PUBLIC for name in evidence.plan.calls] or [False])
    judged = (calls["auth"] == Auth.NONE_NEEDED) & tool[calls["call"]] & (calls["attempt"] > 0)
    judged &= (calls["outcome"] == Outcome.OK) & (calls["status"] > 0)
    if not judged.any():
        return ()
    windows = np.zeros(len(calls), dtype=np.int16)  # at all times, so by no fault
    return sightings.judge(evidence, _OPEN, judged=judged, bad=judged, windows=windows)


def sharing(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a session goes on when others are opened with its token.

    Needs a call that followed upon such an opening, and was answered. A fifth of them refused
    fails: now and then a session is lost for another reason.
    """
    if not _asked(evidence, SharedCredential):
        return ()
    calls = evidence.calls
    opened = (calls["behaviour"] == BEHAVIOUR_CODES["share_token"]) & (calls["status"] > 0)
    shared = np.zeros(int(evidence.group[-1]) + 1 if len(calls) else 0, dtype=np.bool_)
    shared[evidence.group[opened]] = True
    judged = shared[evidence.group] & (calls["attempt"] == 1) & (calls["status"] > 0)
    bad = judged & np.isin(calls["status"], _GONE)
    if int(bad.sum()) < SHARE_MIN * int(judged.sum()):
        bad = np.zeros(len(calls), dtype=np.bool_)
    return sightings.judge(evidence, _EVICTED, judged=np.asarray(judged), bad=np.asarray(bad))


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    scope,
    audience,
    skew,
    open_door,
    sharing,
)
