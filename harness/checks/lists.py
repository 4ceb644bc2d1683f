"""Does the server say what it offers, always in one order, and does it say when that changes?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.clock import NS_PER_MS, NS_PER_S
from harness.evidence.phases import Evidence, Mask
from harness.journal import ListEntry
from harness.outcome import Outcome
from harness.verdict import Finding

LISTS: Final = "tools/list"
WORD_EARLY_NS: Final = 2 * NS_PER_S  # a change may be told of before it is made
NAMES_TOLD: Final = 3
# What may have lost the word of a change, or changed who asks, or whom.
_EXCUSING: Final = frozenset({"network", "identity", "process"})

_RULE: Final = Rule(
    verdict="stale-list",
    wrong="were answered with a list that had changed, though nobody had been told",
    source="MCP: notifications/tools/list_changed; since 2026-07-28 ttlMs, and tools/list SHOULD "
    "be in a deterministic order",
    unseen="no list of tools was looked at",
)

Names = Mapping[str, tuple[str, ...]]


def stale_list(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether lists of tools varied in order, or changed with nobody told and no TTL run out.

    Needs one answered `tools/list` that was looked at. In order: by the tools that two lists of one
    session have in common, or a list and the first of its arm. In content: within one session of
    the protocol, where it would have heard of a change or the server says that it tells of none;
    in the modern era a list whose `ttlMs` has run out may be another. What a fault of the network,
    of identity or of the process has cut in between is not judged.
    """
    listed = _listed(evidence)
    if not listed.any():
        return ()
    entries = evidence.journal.of(ListEntry)
    if not entries:
        return (sightings.unknown(_RULE, _RULE.unseen),)
    names = {entry.digest: entry.names for entry in entries if entry.names}
    usual: dict[bool, ListEntry] = {}
    reordered = list[ListEntry]()
    untold = list[ListEntry]()
    for entry in entries:
        first = usual.setdefault(entry.treated, entry)
        if _reordered(entry, first, names):
            reordered.append(entry)
        elif _untold(evidence, entry):
            untold.append(entry)
    at = _places(evidence, listed)
    bad = np.zeros(len(evidence.calls), dtype=np.bool_)
    windows = sightings.in_force(evidence).copy()
    for entry in (*reordered, *untold):
        place = at.get((entry.session, entry.index))
        if place is None:
            continue
        bad[place] = True
        if not windows[place]:
            windows[place] = _between(evidence, entry)
    rule = replace(_RULE, wrong=_words(reordered, untold, names)) if bad.any() else _RULE
    return sightings.judge(evidence, rule, judged=listed, bad=bad, windows=windows)


def _listed(evidence: Evidence) -> Mask:
    """Tell which attempts were answered with a list of tools."""
    codes = [code for code, name in enumerate(evidence.plan.calls) if name == LISTS]
    calls = evidence.calls
    answered = (calls["outcome"] == Outcome.OK) & (calls["attempt"] > 0)
    return np.asarray(answered & np.isin(calls["call"], codes))


def _places(evidence: Evidence, listed: Mask) -> dict[tuple[int, int], int]:
    rows = np.flatnonzero(listed)
    sessions, indices = evidence.calls["session"][rows], evidence.calls["index"][rows]
    return {
        (int(session), int(index)): int(row)
        for session, index, row in zip(sessions, indices, rows, strict=True)
    }


def _reordered(entry: ListEntry, first: ListEntry, names: Names) -> bool:
    """Tell whether a list has its tools in another order than the one before it, or the first."""
    if entry.was and entry.was != entry.digest and entry.was_content == entry.content:
        return True
    if entry.digest != first.digest and entry.content == first.content and not entry.was:
        return True
    before = names.get(entry.was or first.digest, ())
    now = names.get(entry.digest, ())
    both = set(before) & set(now)
    return [one for one in now if one in both] != [one for one in before if one in both]


def _untold(evidence: Evidence, entry: ListEntry) -> bool:
    """Tell whether a session's list had changed with nobody told and none of it run out."""
    if not entry.was or entry.was_content == entry.content:
        return False
    if entry.told_ns >= entry.was_ns - WORD_EARLY_NS:
        return False
    if entry.era == "modern" and 0 <= entry.ttl_ms * NS_PER_MS <= entry.at_ns - entry.was_ns:
        return False
    if not entry.hears and entry.declares is not False:
        return False  # it may well have told those who listen
    return not any(
        window.fault.lever in _EXCUSING
        and (entry.treated or window.arm == "both")
        and window.start_ns <= entry.at_ns
        and window.healed_ns >= entry.was_ns
        for window in evidence.injected
    )


def _between(evidence: Evidence, entry: ListEntry) -> int:
    """Give the latest window that struck the session since its list before this one; 0 for none."""
    since_ns = entry.at_ns if entry.was_ns < 0 else entry.was_ns
    numbers = [
        window.window
        for window in evidence.injected
        if (entry.treated or window.arm == "both")
        and window.start_ns <= entry.at_ns
        and window.healed_ns >= since_ns
    ]
    return numbers[-1] if numbers else 0


def _words(reordered: Sequence[ListEntry], untold: Sequence[ListEntry], names: Names) -> str:
    """Say what the lists did."""
    said = []
    if reordered:
        said.append(f"{len(reordered)} in another order than before")
    if untold:
        worst = untold[0]
        before, now = set(names.get(worst.was, ())), set(names.get(worst.digest, ()))
        few = sorted(before ^ now)[:NAMES_TOLD] if before and now else []
        about = f" (about {', '.join(few)})" if few else ""
        said.append(f"{len(untold)} changed with nobody told{about}")
    return f"were answered with a list of tools that is not to be relied on: {', '.join(said)}"


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (stale_list,)
