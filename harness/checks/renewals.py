"""What became of sessions when their access token was renewed under them.

A session that dies, or forgets, the moment a good new token replaces the old one is bound to the
bytes of the token instead of to whom it was issued.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from faults.fault import Fault
from harness.checks import sightings
from harness.evidence.phases import Evidence, Indices, Mask
from harness.journal import NEVER_NS, SessionEntry, TokenEntry
from harness.outcome import Outcome

# A session notices a loss at its next call; a loss this long after renewal has another cause.
NOTICED_NS: Final = 30 * 1_000_000_000
SHARE_MIN: Final = 0.2
ELSEWHERE_SHARE_MAX: Final = 0.02
FORGETFUL_MIN: Final = 3  # calls of one kind that fail since a renewal


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
    """Find calls that fail since their session's token was renewed, and else hardly ever do.

    A failure belongs to the renewal before it when no call of its kind has been answered in the
    session since then. Only kinds count to which that happens after a fifth of the renewals or
    more, while of all their other calls at most 2 % fail.
    """
    calls = evidence.calls
    judged = sightings.attempted(evidence) & sightings.fit(evidence) & (calls["attempt"] > 0)
    judged &= (calls["last"] == 1) & ~sightings.struck(evidence, _is_network)
    failed = np.isin(calls["outcome"], (Outcome.TOOL_ERROR, Outcome.WRONG)) & judged
    judged &= np.isin(calls["call"], np.unique(calls["call"][failed]))
    stretch, first = _stretches(evidence, made, judged)
    since = failed & first
    hits: list[Indices] = []
    for code in np.unique(calls["call"][since]):
        mine = judged & (calls["call"] == code)
        bad, rest = mine & since, mine & ~since
        renewed = len(np.unique(stretch[mine & (stretch >= 0)]))
        struck = len(np.unique(stretch[bad]))
        if (
            int(bad.sum()) >= FORGETFUL_MIN
            and struck >= SHARE_MIN * renewed
            and rest.any()
            and float(failed[rest].mean()) <= ELSEWHERE_SHARE_MAX
        ):
            hits.append(np.flatnonzero(bad))
    return np.concatenate(hits) if hits else np.zeros(0, dtype=np.intp)


def _is_network(fault: Fault) -> bool:
    return fault.lever == "network"


def _stretches(evidence: Evidence, made: Renewals, judged: Mask) -> tuple[NDArray[np.int64], Mask]:
    """Divide each session's calls of each kind at its renewals.

    Gives each attempt its stretch's number, -1 before any renewal, and whether no call of its
    stretch was answered before it or by it.
    """
    calls = evidence.calls
    stretch = np.full(len(calls), -1, dtype=np.int64)
    first = np.zeros(len(calls), dtype=np.bool_)
    positions = np.flatnonzero(judged)
    if not len(made.session) or not len(positions):
        return stretch, first
    rows = calls[positions]
    session = rows["session"].astype(np.int64)
    behind = _behind(made, session, rows["sent_ns"])
    order = np.lexsort((rows["sent_ns"], behind, rows["call"], session))
    keys = np.stack((session, rows["call"].astype(np.int64), behind))[:, order]
    fresh = np.ones(len(positions), dtype=np.bool_)
    fresh[1:] = (keys[:, 1:] != keys[:, :-1]).any(axis=0)
    number = np.cumsum(fresh) - 1
    answered = np.cumsum(rows["outcome"][order] == Outcome.OK)
    before = (answered - (rows["outcome"][order] == Outcome.OK))[fresh][number]
    late = keys[2] > 0
    stretch[positions[order[late]]] = number[late]
    first[positions[order]] = late & (answered == before)
    return stretch, first


def _behind(
    made: Renewals, session: NDArray[np.int64], sent_ns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Count the renewals that each attempt's session had behind it when it was sent."""
    # One number made of (session, time) orders both columns at once.
    span = max(int(sent_ns.max()), int(made.at_ns.max())) + 2
    edges = np.sort(made.session * span + made.at_ns)
    behind = np.searchsorted(edges, session * span + sent_ns, side="right")
    return np.asarray(behind - np.searchsorted(edges, session * span, side="left"), dtype=np.int64)
