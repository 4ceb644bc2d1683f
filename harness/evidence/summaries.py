"""The counts that stand beside the opinions: sessions, calls, effects and tokens."""

from __future__ import annotations

from typing import Final

import numpy as np

from harness.evidence.phases import DROPPED, Evidence
from harness.outcome import Outcome

BYTES_PER_TOKEN: Final = 4  # a usual estimate for JSON and English
_ALIVE: Final = ("opened", "reopened")


def sessions(evidence: Evidence) -> dict[str, int]:
    """Count sessions: opened = survived + reopened + lost.

    Lost: its last word was a loss, or its calls of the last phase were asked and none answered.
    """
    asked, answered = _last_words(evidence)
    counts = {"opened": 0, "survived": 0, "reopened": 0, "lost": 0}
    for session, entries in evidence.session_edges.items():
        edges = [entry.edge for entry in entries if entry.edge != "closed"]
        if not set(edges) & set(_ALIVE):
            continue
        hung = session < len(asked) and asked[session] > 0 and answered[session] == 0
        counts["opened"] += 1
        if edges[-1] not in _ALIVE or hung:
            counts["lost"] += 1
        else:
            counts["reopened" if "reopened" in edges else "survived"] += 1
    return counts


def _last_words(evidence: Evidence) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], ...]:
    """Count the calls, and the answered ones, of each session in the last phase that has any."""
    told = evidence.phase[evidence.counted]
    last = int(told.max()) if len(told) else DROPPED
    mine = (evidence.phase == last) & evidence.counted
    session = evidence.settled["session"]
    return tuple(
        np.bincount(session[mask], minlength=evidence.session_count)
        for mask in (mine, mine & evidence.ok)
    )


def calls(evidence: Evidence) -> dict[str, int]:
    """Count logical calls of the whole run by the name of their outcome."""
    counts = np.bincount(evidence.settled["outcome"], minlength=len(Outcome))
    return {outcome.name.lower(): int(counts[outcome]) for outcome in Outcome}


def effects(evidence: Evidence) -> dict[str, int]:
    """Count the calls that should take effect once by what the ledger says of them.

    `happened` includes the doubled; `orphaned` happened too, and their callers never learned so.
    Where the ledger shows nothing at all, every one is unknown.
    """
    declared = evidence.calls[evidence.declared]
    executions = evidence.executions.times
    happened = executions > 0
    if not happened.any():
        nothing = dict.fromkeys(("happened", "absent", "unknown", "doubled", "orphaned"), 0)
        return {**nothing, "unknown": len(declared)}
    unheard = declared["outcome"] != Outcome.OK
    return {
        "happened": int(happened.sum()),
        "absent": int((~happened).sum()),
        "unknown": 0,
        "doubled": int((executions > 1).sum()),
        "orphaned": int((happened & unheard).sum()),
    }


def tokens(evidence: Evidence) -> dict[str, float]:
    """Estimate the model tokens that a session's requests and replies would cost: mean and max."""
    attempts = evidence.calls
    if not len(attempts):
        return {"mean": 0.0, "max": 0.0}
    size_bytes = attempts["request_bytes"].astype(np.float64) + attempts["reply_bytes"]
    by_session = np.bincount(attempts["session"], weights=size_bytes)
    spoke = by_session[by_session > 0] / BYTES_PER_TOKEN
    if not len(spoke):
        return {"mean": 0.0, "max": 0.0}
    return {"mean": round(float(spoke.mean()), 1), "max": round(float(spoke.max()), 1)}
