"""Does a target act for whoever asked, with a credential of its own, bought no more than needed?

What it shows where it depends on somebody is read off the dependency's own ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faults.credentials import OTHER_USER
from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.executions import owners
from harness.evidence.phases import Evidence, Mask
from harness.journal import BEHAVIOUR_CODES, DependencyEntry, call_id
from harness.scenario.auth import client_of
from harness.scenario.marks import PRELUDE_INDEX
from harness.scenario.units import counted
from harness.verdict import Finding

_LEDGER: Final = "the dependency's ledger"
_UNSEEN: Final = "no request at a dependency carries a call's nonce and a user"
_USER: Final = Rule(
    verdict="crosstalk",
    wrong="were made at the dependency in another user's name",
    source=f"{_LEDGER}; MCP security best practices: confused deputy",
    unseen=_UNSEEN,
    hard=True,
    own="one",
)
_LEAK: Final = Rule(
    verdict="secret-leak",
    wrong="had their caller's own token passed on to a dependency",
    source=f"{_LEDGER}; MCP authorization: a server MUST NOT pass through the token it received",
    unseen=_UNSEEN,
    hard=True,
    own="one",
)
_STORM: Final = Rule(
    verdict="refresh-storm",
    wrong="made the target buy a token of its own",
    source=f"{_LEDGER}; RFC 6749, section 5.1: a token serves until it expires",
    unseen="no call reached a dependency",
)
TOKEN: Final = "token"  # noqa: S105  the operation's name
TOKENS_MIN: Final = 20
SHARE_MAX: Final = 0.5  # tokens bought for each other request

Whole = NDArray[np.int64]


def _callers(evidence: Evidence, entries: tuple[DependencyEntry, ...]) -> Whole:
    """Give for each request at the dependency the attempt that it served; -1 for none known."""
    calls = evidence.calls
    index = np.where(calls["attempt"] == 0, PRELUDE_INDEX, 0).astype(np.uint32) + calls["index"]
    # Of an attempt and its repeats, which bear one nonce, the one that settled it.
    last = np.flatnonzero((calls["last"] == 1) | (calls["attempt"] == 0))
    keys: dict[str, int] = {}
    which = [keys.setdefault(entry.key, len(keys)) for entry in entries]
    owner = owners(
        tuple(keys),
        marks=evidence.plan.marks,
        session=calls["session"][last],
        index=index[last],
    )[which]
    return np.where(owner >= 0, last[owner], -1)


def _marked(evidence: Evidence, attempts: Whole) -> Mask:
    mask = np.zeros(len(evidence.calls), dtype=np.bool_)
    mask[attempts[attempts >= 0]] = True
    return mask


def right_user(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether what a call has done at a dependency is done in its caller's name.

    Needs squall's own issuer, whose users are known, and a dependency that is told users; one call
    in another's name is enough. A target that names no user there, or itself, is not judged.
    """
    told, entries = evidence.scenario.auth, evidence.journal.of(DependencyEntry)
    if told is None or told.issuer != "embedded" or told.grant == "bearer" or not entries:
        return ()
    users = {client_of("control"), client_of("treated"), OTHER_USER}
    named = tuple(entry for entry in entries if entry.subject in users and entry.key)
    if not named:
        return ()
    at = _callers(evidence, named)
    calls = evidence.calls
    expected = np.where(calls["treated"] == 1, client_of("treated"), client_of("control"))
    expected[calls["behaviour"] == BEHAVIOUR_CODES["hop_user"]] = OTHER_USER
    seen = np.array([entry.subject for entry in named])
    wrong = (at >= 0) & (seen != expected[np.maximum(at, 0)])
    return sightings.judge(
        evidence, _USER, judged=_marked(evidence, at), bad=_marked(evidence, at[wrong])
    )


def own_credential(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether the tokens that agents show to the target stay there; one that does not fails.

    Needs a dependency that tells whose credential it is shown.
    """
    entries = evidence.journal.of(DependencyEntry)
    known = tuple(entry for entry in entries if entry.credential)
    if not known:
        return ()
    at = _callers(evidence, known)
    passed = np.array([entry.credential == "caller" for entry in known])
    if passed.any() and not (at[passed] >= 0).any():
        why = (
            f"{counted(int(passed.sum()), 'requests')} at a dependency carried a caller's own token"
        )
        return (_failed(_LEAK, why, observed=int(passed.sum()), limit=0, evidence=()),)
    return sightings.judge(
        evidence, _LEAK, judged=_marked(evidence, at), bad=_marked(evidence, at[passed])
    )


def few_tokens(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether the target uses its own token for as long as it is good.

    Needs a dependency that sells tokens. Fails where at least 20 were bought, and one for every
    other request beside them. How often agents renew theirs is their own policy, and not judged.
    """
    entries = evidence.journal.of(DependencyEntry)
    bought = sum(entry.operation == TOKEN and entry.status == OK for entry in entries)
    others = tuple(entry for entry in entries if entry.operation != TOKEN)
    if not bought:
        return ()
    if not others:
        return (sightings.unknown(_STORM, _STORM.unseen),)
    limit = max(TOKENS_MIN, int(SHARE_MAX * len(others)))
    why = (
        f"the target bought {counted(bought, 'tokens')} for "
        f"{counted(len(others), 'requests')} at its dependency"
    )
    if bought < limit:
        return (sightings.passed(_STORM, len(others), why),)
    served = _callers(evidence, others)
    named = tuple(call_id(evidence.calls[at]) for at in np.unique(served[served >= 0]))
    evidence_of = named[: sightings.EVIDENCE_MAX]
    return (_failed(_STORM, why, observed=bought, limit=limit, evidence=evidence_of),)


def _failed(
    rule: Rule, why: str, *, observed: int, limit: int, evidence: tuple[str, ...]
) -> Finding:
    return Finding(
        verdict=rule.verdict,
        ruling="fail",
        fault="",  # it does so at all times
        observed=float(observed),
        limit=float(limit),
        unit="requests",
        why=why,
        source=rule.source,
        evidence=evidence,
        hard=rule.hard,
    )


OK: Final = 200
CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (
    right_user,
    own_credential,
    few_tokens,
)
