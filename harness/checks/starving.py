"""Do calls that need nothing of a dependency wait for it all the same?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.manners import Under, asked, windows
from harness.outcome import Outcome
from harness.phases import BASELINE, Evidence, Mask
from harness.verdict import Finding

_STARVED: Final = Rule(
    verdict="hol-block",
    wrong="of tools that need nothing of the dependency waited for it, or failed with it",
    source="the tool's own answers with nothing broken, and the dependency's ledger: a call that "
    "needs nothing of it must not wait for it",
    unseen="too few calls that need nothing of the dependency were made while it was failing",
    unit="calls",
)
_CALLS_MIN: Final = 8  # of a kind, in the baseline and under the fault
_SHARE_MAX: Final = 0.5
_SLOWER: Final = 5.0  # than the kind's slowest twentieth with nothing broken
_SLOW_NS: Final = 1_000_000_000
_FAILED: Final = (Outcome.TOOL_ERROR, Outcome.TIMEOUT, Outcome.HANG)


def starving(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a failing dependency holds up tools that never asked it for anything.

    Needs eight calls of such a tool in the baseline, all of them well, and eight under a fault of
    the dependency. Held up is who fails, or takes more than a second and five times what the
    slowest twentieth took before; half of a tool's calls make it a finding. Says nothing where no
    dependency keeps a ledger, or every tool needs it.
    """
    under = windows(evidence)
    free = _free(evidence) if under else np.zeros(0, dtype=np.bool_)
    if not free.any():
        return ()
    found: list[Finding] = []
    judged = 0
    for one in under:
        met = _met(one, free)
        judged += len(met)
        held = met[_held(evidence)[met]]
        for code in np.unique(evidence.settled["call"][held]):
            finding = _kind(one, met, held, int(code))
            found += [] if finding is None else [finding]
    if found:
        return tuple(found)
    if not judged:
        return (sightings.unknown(_STARVED, _STARVED.unseen),)
    return (sightings.passed(_STARVED, judged),)


def _free(evidence: Evidence) -> Mask:
    """Tell, by kind of call, whether it never asked a dependency for anything, and worked."""
    settled, counts = evidence.settled, asked(evidence)
    free = np.zeros(len(evidence.plan.calls), dtype=np.bool_)
    calm = evidence.phase == BASELINE
    for code in np.unique(settled["call"][calm]):
        kind = settled["call"] == code
        worked = evidence.ok[kind & calm]
        free[code] = not counts[kind].any() and len(worked) >= _CALLS_MIN and worked.all()
    return free


def _met(under: Under, free: Mask) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Give the calls of these kinds that were sent while the dependency was failing."""
    settled, window = under.evidence.settled, under.window
    sent_ns = settled["sent_ns"]
    inside = (sent_ns >= window.start_ns) & (sent_ns < window.end_ns) & free[settled["call"]]
    return np.flatnonzero(inside & ~under.evidence.excused)


def _held(evidence: Evidence) -> Mask:
    """Tell which settled calls failed, or took far longer than their kind does."""
    settled = evidence.settled
    took_ns = evidence.ended_ns[evidence.logical] - settled["sent_ns"]
    slow_ns = np.full(len(evidence.plan.calls), _SLOW_NS, dtype=np.int64)
    usual = evidence.ok & (evidence.phase == BASELINE)
    for code in np.unique(settled["call"][usual]):
        before = np.quantile(took_ns[usual & (settled["call"] == code)], 0.95)
        slow_ns[code] = max(_SLOW_NS, round(_SLOWER * float(before)))
    late = took_ns > slow_ns[settled["call"]]
    return np.asarray(np.isin(settled["outcome"], _FAILED) | late)


def _kind(
    under: Under,
    met: np.ndarray[tuple[int], np.dtype[np.int64]],
    held: np.ndarray[tuple[int], np.dtype[np.int64]],
    code: int,
) -> Finding | None:
    evidence = under.evidence
    kinds = evidence.settled["call"]
    bad, all_ = held[kinds[held] == code], met[kinds[met] == code]
    if len(all_) < _CALLS_MIN or len(bad) <= _SHARE_MAX * len(all_):
        return None
    places = evidence.logical[bad]
    took_ns = evidence.ended_ns - evidence.calls["due_ns"]
    tool = evidence.plan.calls[code]
    return Finding(
        verdict=_STARVED.verdict,
        ruling="fail",
        fault=under.window.id,
        tool=tool,
        observed=len(bad) / len(all_),
        limit=_SHARE_MAX,
        unit="share of calls",
        why=f"{len(bad)} of {len(all_)} calls of {tool}, which never asks the dependency for "
        f"anything, waited or failed under {under.window.id}",
        source=_STARVED.source,
        evidence=sightings.worst_first(evidence, places, took_ns),
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (starving,)
