"""Do calls that need nothing of a dependency wait for it all the same?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.manners import Under, asked, windows
from harness.evidence.phases import BASELINE, Evidence, Mask
from harness.outcome import Outcome
from harness.verdict import Finding

Whole = NDArray[np.int64]

_STARVED: Final = Rule(
    verdict="hol-block",
    wrong="of tools that need nothing of the dependency waited for it, or failed with it",
    source="the tool's own answers with nothing broken, and the dependency's ledger: a call that "
    "needs nothing of it must not wait for it",
    unseen="too few calls that need nothing of the dependency were made while it was failing",
    unit="calls",
)
_CALLS_MIN: Final = 8  # of a kind in the baseline, and of all together under the fault
_SHARE_MAX: Final = 0.5
_TIME_SHARE_MAX: Final = 0.3
_HELD_MIN: Final = 4
_SLOWER: Final = 5.0  # than the kind's slowest twentieth with nothing broken
_SLOW_NS: Final = 1_000_000_000
_FAILED: Final = (Outcome.TOOL_ERROR, Outcome.TIMEOUT, Outcome.HANG)


def starving(evidence: Evidence) -> tuple[Finding, ...]:
    """Ask whether a failing dependency holds up tools that never asked it for anything.

    Needs eight calls of such a tool in the baseline, all of them well, and eight of such tools
    under a fault of the dependency. Held up is who fails, or takes more than a second and five
    times what the slowest twentieth took before. It is a finding when more than half of the calls
    were, or when their sessions spent three tenths of the fault so: who waits asks less often.
    Says nothing where no dependency keeps a ledger, or every tool needs it.
    """
    under = windows(evidence)
    free = _free(evidence) if under else np.zeros(0, dtype=np.bool_)
    if not free.any():
        return ()
    judged = [(one, met) for one in under if len(met := _met(one, free)) >= _CALLS_MIN]
    if not judged:
        return (sightings.unknown(_STARVED, _STARVED.unseen),)
    held = _held(evidence)
    found = [
        _starved(one, met, met[held[met]])
        for one, met in judged
        if float(held[met].mean()) > _SHARE_MAX or _waited(one, met, held) > _TIME_SHARE_MAX
    ]
    if found:
        return tuple(found)
    return (sightings.passed(_STARVED, sum(len(met) for _, met in judged)),)


def _free(evidence: Evidence) -> Mask:
    """Tell, by kind of call, whether it never asked a dependency for anything, and worked.

    Not every request says which call it is for. One that came while a call was under way may be
    its own, so a kind of which half had such company is taken to ask.
    """
    settled, counts = evidence.settled, asked(evidence)
    down = evidence.downstream
    nameless_ns = np.sort(down.at_ns[(down.call < 0) & ~down.aside])
    ended_ns = evidence.ended_ns[evidence.logical]
    company = np.searchsorted(nameless_ns, ended_ns, side="right")
    company -= np.searchsorted(nameless_ns, settled["sent_ns"], side="left")
    free = np.zeros(len(evidence.plan.calls), dtype=np.bool_)
    calm = evidence.phase == BASELINE
    for code in np.unique(settled["call"][calm]):
        kind = settled["call"] == code
        worked = evidence.ok[kind & calm]
        alone = float((company[kind & calm] == 0).mean()) > _SHARE_MAX
        usual = len(worked) >= _CALLS_MIN and bool(worked.all())
        free[code] = alone and usual and not counts[kind].any()
    return free


def _met(under: Under, free: Mask) -> Whole:
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


def _waited(under: Under, met: Whole, held: Mask) -> float:
    """Give the share of the fault's time that the sessions of these calls were held up for."""
    evidence, window = under.evidence, under.window
    bad = met[held[met]]
    if len(bad) < _HELD_MIN:
        return 0.0
    ended_ns = np.minimum(evidence.ended_ns[evidence.logical][bad], window.end_ns)
    waited_ns = np.maximum(ended_ns - evidence.settled["sent_ns"][bad], 0).sum()
    sessions = len(np.unique(evidence.settled["session"][met]))
    return float(waited_ns) / (sessions * max(window.end_ns - window.start_ns, 1))


def _starved(under: Under, met: Whole, bad: Whole) -> Finding:
    evidence = under.evidence
    kinds = np.unique(evidence.settled["call"][bad])
    tools = [evidence.plan.calls[code] for code in kinds]
    return Finding(
        verdict=_STARVED.verdict,
        ruling="fail",
        fault=under.window.id,
        tool=tools[0] if len(tools) == 1 else "",
        observed=len(bad) / len(met),
        limit=_SHARE_MAX,
        unit="share of calls",
        why=f"{len(bad)} of {len(met)} calls that never ask the dependency for anything "
        f"({', '.join(tools[: sightings.TOOLS_NAMED_MAX])}) waited or failed under "
        f"{under.window.id}",
        source=_STARVED.source,
        evidence=sightings.worst_first(
            evidence, evidence.logical[bad], evidence.ended_ns - evidence.calls["due_ns"]
        ),
    )


CHECKS: Final[tuple[Callable[[Evidence], tuple[Finding, ...]], ...]] = (starving,)
