"""What became of sessions when their access token was renewed under them.

A session that dies, or forgets, the moment a good new token replaces the old one is bound to the
bytes of the token instead of to whom it was issued.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.checks import sightings
from harness.journal import NEVER_NS, SessionEntry, TokenEntry
from harness.outcome import Outcome
from harness.phases import Evidence, Indices, Mask

# A session notices a loss at its next call; a loss this long after renewal has another cause.
NOTICED_NS: Final = 30 * 1_000_000_000
SHARE_MIN: Final = 0.2
ELSEWHERE_SHARE_MAX: Final = 0.02
FORGETFUL_MIN: Final = 3  # calls of one kind that fail right after a renewal


@dataclass(frozen=True, kw_only=True)
class Renewals:
    """Tokens that took another's place while their session lived; aligned columns."""

    session: NDArray[np.int64]
    at_ns: NDArray[np.int64]


def renewals(evidence: Evidence) -> Renewals:
    """Read them from the journal, in time order."""
    found = [
        (entry.session, entry.at_ns)
        for entry in evidence.journal.of(TokenEntry)
        if entry.edge == "renewed" and not NEVER_NS < entry.expires_ns <= entry.at_ns
    ]
    pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
    return Renewals(session=pairs[:, 0], at_ns=pairs[:, 1])


def sessions_lost(evidence: Evidence, made: Renewals) -> tuple[list[SessionEntry], int]:
    """Give the losses that directly followed a renewal, and the number of all other losses.

    "Directly": no call of the session that was sent under the new token was answered in between.
    """
    calls = evidence.calls
    ok = calls["outcome"] == Outcome.OK
    after: list[SessionEntry] = []
    others = 0
    dead: set[int] = set()
    for entry in evidence.journal.of(SessionEntry):
        if entry.edge in ("opened", "reopened"):
            dead.discard(entry.session)
        if entry.edge != "lost" or entry.session in dead:
            continue  # a client may find the same loss at every call
        dead.add(entry.session)
        own = made.at_ns[(made.session == entry.session) & (made.at_ns <= entry.at_ns)]
        if len(own) and entry.at_ns - own[-1] <= NOTICED_NS:
            kept = ok & (calls["session"] == entry.session)
            kept &= (calls["sent_ns"] > own[-1]) & (calls["done_ns"] < entry.at_ns)
            if not kept.any():
                after.append(entry)
                continue
        others += 1
    return after, others


def forgotten(evidence: Evidence, made: Renewals) -> Indices:
    """Find calls that fail right after their session's token was renewed, and else never do.

    Of each kind of call only the first one after a renewal counts, and only kinds of which at
    least a fifth of these fail, while of all others of the kind at most 2 % do.
    """
    calls = evidence.calls
    judged = sightings.sent(evidence) & sightings.fit(evidence) & (calls["attempt"] > 0)
    judged &= (calls["last"] == 1) & ~sightings.struck(evidence, _network)
    failed = np.isin(calls["outcome"], (Outcome.TOOL_ERROR, Outcome.WRONG)) & judged
    first = _first_of_kind_after(evidence, made, judged)
    hits: list[Indices] = []
    for code in np.unique(calls["call"][failed & first]):
        mine = judged & (calls["call"] == code)
        here, elsewhere = mine & first, mine & ~first
        bad = np.flatnonzero(here & failed)
        if (
            len(bad) >= FORGETFUL_MIN
            and len(bad) >= SHARE_MIN * int(here.sum())
            and elsewhere.any()
            and float(failed[elsewhere].mean()) <= ELSEWHERE_SHARE_MAX
        ):
            hits.append(bad)
    return np.concatenate(hits) if hits else np.zeros(0, dtype=np.intp)


def _network(fault: object) -> bool:
    return getattr(fault, "lever", "") == "network"


def _first_of_kind_after(evidence: Evidence, made: Renewals, judged: Mask) -> Mask:
    """Mark the first judged call of each kind that a session sent after each renewal."""
    calls = evidence.calls
    mask = np.zeros(len(calls), dtype=np.bool_)
    if not len(made.session):
        return mask
    positions = np.flatnonzero(judged)
    rows = calls[positions]
    # How many renewals of its session an attempt has behind it: one number to search, made of
    # (session, time), orders both columns at once.
    order = np.lexsort((made.at_ns, made.session))
    span = max(int(calls["done_ns"].max()), int(made.at_ns.max())) + 2
    starts = made.session[order] * span + made.at_ns[order]
    session = rows["session"].astype(np.int64)
    behind = np.searchsorted(starts, session * span + rows["sent_ns"], side="right")
    behind -= np.searchsorted(starts, session * span, side="left")
    sequence = np.lexsort((rows["sent_ns"], behind, rows["call"], session))
    keys = np.stack((session, rows["call"].astype(np.int64), behind.astype(np.int64)))[:, sequence]
    fresh = np.ones(len(positions), dtype=np.bool_)
    fresh[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    mask[positions[sequence[fresh & (keys[2] > 0)]]] = True
    return mask
