"""Does a token open no more than it is for: its scopes, its resource, its kind and its time?"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Final

import numpy as np

from faults.credentials import AudWrong, ClockSkew, ScopeDeny
from faults.fault import Fault
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.executions import match
from harness.journal import BEHAVIOUR_CODES, EffectEntry
from harness.outcome import Auth, Outcome, Reason
from harness.phases import UNAUTHORIZED, Evidence, Mask
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


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (scope, audience, skew)
