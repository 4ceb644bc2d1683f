"""How the target treats a dependency that fails it: retries, their spacing, and when it stops.

All of it as the dependency's ledger saw it, so nothing here is the target's own word. Where the
answers were held up on their way back the ledger cannot see that they failed; there a request
beyond what the tool ever makes counts as a retry.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.evidence.downstream import Downstream
from harness.evidence.phases import BASELINE, Evidence, Mask, WindowSpan
from harness.journal import DependencyEntry
from harness.outcome import Outcome
from harness.verdict import Breaker, Manners, RetryAfter

Whole = NDArray[np.int64]

CALLS_MIN: Final = 5  # that asked the dependency, before anything is said of how
LEANS_MIN: Final = 0.95  # of a tool's baseline answers that had a request at the dependency
FAILURES_FIRST: Final = 5  # that a breaker may need to see before it opens
TRIED_MIN: Final = 6  # calls after these, before a breaker is called shut
OPEN_SHARE_MAX: Final = 0.5  # of those calls that still reach the dependency
_WAITS_MIN: Final = 5
_SPREAD_MIN: Final = 0.2  # of the median wait, between its 10th and 90th percentile
_SPREAD_LEAST_NS: Final = 15_000_000  # what a busy machine adds by itself
_FAILED: Final = (Outcome.TOOL_ERROR, Outcome.PROTOCOL_ERROR, Outcome.TIMEOUT, Outcome.HANG)


@dataclass(frozen=True, kw_only=True, eq=False)
class Under:
    """The calls that one fault of a dependency met, and what they made the target ask."""

    evidence: Evidence
    window: WindowSpan

    @property
    def down(self) -> Downstream:
        """Every request of the run."""
        return self.evidence.downstream

    @cached_property
    def calls(self) -> Whole:
        """Which settled calls were sent while it was in force and lean on the dependency."""
        settled = self.evidence.settled
        sent_ns = settled["sent_ns"]
        met = (sent_ns >= self.window.start_ns) & (sent_ns < self.window.healed_ns)
        return np.flatnonzero(met & leaning(self.evidence)[settled["call"]])

    @cached_property
    def requests(self) -> Whole:
        """Which requests these calls caused, in time order; those for a token left out."""
        mine = np.isin(self.down.call, self.calls) & ~self.down.aside
        return np.flatnonzero(mine)

    @cached_property
    def by_call(self) -> Whole:
        """How many requests each settled call caused, for each time that its client asked."""
        counts = asked(self.evidence)
        return np.asarray(counts // np.maximum(self.evidence.settled["attempt"], 1))

    @cached_property
    def asking(self) -> Whole:
        """Which of the calls caused a request."""
        return self.calls[self.by_call[self.calls] > 0]


def asked(evidence: Evidence) -> Whole:
    """Count each settled call's requests at the dependencies, those for a token left out."""
    down = evidence.downstream
    mine = (down.call >= 0) & ~down.aside
    return np.bincount(down.call[mine], minlength=len(evidence.settled)).astype(np.int64)


def leaning(evidence: Evidence) -> Mask:
    """Tell, by kind of call, whether its answers come from the dependency."""
    settled = evidence.settled
    reached = asked(evidence) > 0
    leans = np.zeros(len(evidence.plan.calls), dtype=np.bool_)
    usual = evidence.ok & (evidence.phase == BASELINE)
    for code in np.unique(settled["call"][usual]):
        mine = usual & (settled["call"] == code)
        leans[code] = float(reached[mine].mean()) >= LEANS_MIN
    return leans


def usual(evidence: Evidence) -> float | None:
    """Give how many requests a call makes with nothing broken; None where none was seen."""
    counts = asked(evidence)
    mine = evidence.ok & (evidence.phase == BASELINE) & (counts > 0)
    return float(counts[mine].mean()) if mine.any() else None


def windows(evidence: Evidence) -> tuple[Under, ...]:
    """Give each fault of a dependency that was in force; none where no ledger was kept."""
    if not len(evidence.downstream):
        return ()
    return tuple(
        Under(evidence=evidence, window=window)
        for window in evidence.injected
        if window.fault.lever == "dependency"
    )


def rows(evidence: Evidence) -> tuple[Manners, ...]:
    """Give how the target behaved under each fault of a dependency, right or wrong."""
    most = _most(evidence)
    return tuple(_row(under, most) for under in windows(evidence))


def _row(under: Under, most: dict[tuple[int, str], int]) -> Manners:
    retries = _retries(under, most)
    counts = under.by_call[under.asking]
    waits_ns = np.array([wait for each in retries.values() for wait in each[:1]], dtype=np.int64)
    second_ns = np.array([each[1] for each in retries.values() if len(each) > 1], dtype=np.int64)
    spacing = float(np.median(waits_ns)) if len(waits_ns) else None
    growth = None
    if spacing and len(second_ns) >= _WAITS_MIN:
        growth = float(np.median(second_ns)) / max(spacing, 1.0)
    breaker, probes = breaker_of(under)
    usually = usual(under.evidence)
    return Manners(
        fault=under.window.id,
        calls=len(under.calls),
        asking=len(under.asking),
        requests=len(under.requests),
        per_call=round(float(counts.mean()), 3) if len(counts) else None,
        usual_per_call=None if usually is None else round(usually, 3),
        retried=len(retries),
        retries_max=max((len(each) for each in retries.values()), default=0),
        spacing_ms=None if spacing is None else round(spacing / 1e6, 3),
        spacing_growth=None if growth is None else round(growth, 2),
        jitter=_jitter(waits_ns),
        retry_after=_retry_after(under),
        breaker=breaker,
        probes=probes,
        back_s=_back_s(under),
    )


# --- retries ---------------------------------------------------------------------------------


def _most(evidence: Evidence) -> dict[tuple[int, str], int]:
    """Give how often a kind of call makes each kind of request at most, with nothing broken."""
    most: dict[tuple[int, str], int] = {}
    down, settled, phase = evidence.downstream, evidence.settled, evidence.phase
    seen: dict[tuple[int, str], int] = {}
    for at in np.flatnonzero((down.call >= 0) & ~down.aside):
        call = int(down.call[at])
        if phase[call] == BASELINE:
            key = (call, down.entries[at].operation)
            seen[key] = seen.get(key, 0) + 1
    for (call, operation), count in seen.items():
        kind = (int(settled["call"][call]), operation)
        most[kind] = max(most.get(kind, 0), count)
    return most


def _retries(under: Under, most: dict[tuple[int, str], int]) -> dict[tuple[int, str], list[int]]:
    """Give for each call and kind of request that was tried again how long each retry waited.

    A retry follows a request that failed by the ledger, or goes beyond what the tool ever makes.
    The wait is from the answer before, as it left, to the request.
    """
    down, settled = under.down, under.evidence.settled
    waits: dict[tuple[int, str], list[int]] = {}
    before: dict[tuple[int, str], tuple[int, int]] = {}
    for at in under.requests:
        key = (int(down.call[at]), down.entries[at].operation)
        last, count = before.get(key, (-1, 0))
        kind = (int(settled["call"][key[0]]), key[1])
        beyond = count >= most.get(kind, 1)
        if last >= 0 and (not down.good[last] or beyond):
            waits.setdefault(key, []).append(max(0, int(down.at_ns[at] - down.done_ns[last])))
        before[key] = (int(at), count + 1)
    return waits


def _jitter(waits_ns: Whole) -> bool | None:
    """Tell whether first retries are spread out; None where there is nothing to tell it by."""
    if len(waits_ns) < _WAITS_MIN:
        return None
    low, middle, high = np.quantile(waits_ns, (0.1, 0.5, 0.9))
    return bool(high - low > max(_SPREAD_MIN * float(middle), _SPREAD_LEAST_NS))


def _retry_after(under: Under) -> RetryAfter:
    """Tell what was made of `Retry-After`: kept to, not kept to, or passed on at once."""
    down, settled = under.down, under.evidence.settled
    told: dict[int, list[int]] = {}
    for at in under.requests:
        told.setdefault(int(down.call[at]), []).append(int(at))
    early = kept = slept = passed_on = 0
    for call, mine in told.items():
        first = next((n for n, at in enumerate(mine) if _asks_to_wait(down.entries[at])), None)
        if first is None:
            continue
        at = mine[first]
        until_ns = int(down.done_ns[at] + down.entries[at].retry_after_s * 1e9)
        if len(mine) > first + 1:
            soon = int(down.at_ns[mine[first + 1]]) < until_ns
            early, kept = early + soon, kept + (not soon)
        elif settled["outcome"][call] in (Outcome.TIMEOUT, Outcome.HANG):
            slept += 1
        else:
            passed_on += 1
    counts: dict[RetryAfter, int] = {
        "ignored": early, "waited past the deadline": slept, "kept": kept, "passed on": passed_on,
    }  # fmt: skip
    return max(counts, key=lambda name: counts[name]) if any(counts.values()) else "not asked"


def _asks_to_wait(entry: DependencyEntry) -> bool:
    return entry.status > 0 and entry.retry_after_s > 0


# --- breaker ---------------------------------------------------------------------------------


def after_failures(under: Under, first: int) -> tuple[Whole, Mask]:
    """Give the calls sent after so many had failed, and which of them reached the dependency.

    Those that were still under way at the fault's end are left out: it may have saved them.
    """
    settled = under.evidence.settled
    mine = under.calls
    failed = np.isin(settled["outcome"][mine], _FAILED)
    ended_ns = np.sort(under.evidence.ended_ns[under.evidence.logical][mine][failed])
    if len(ended_ns) < first:
        return mine[:0], np.zeros(0, dtype=np.bool_)
    later = mine[settled["sent_ns"][mine] > ended_ns[first - 1]]
    whole_ns = under.evidence.ended_ns[under.evidence.logical][later]
    later = later[whole_ns < under.window.end_ns]
    return later, np.asarray(under.by_call[later] > 0)


def breaker_of(under: Under) -> tuple[Breaker, int | None]:
    """Tell whether the target left its dependency alone after failures, and how often it looked.

    Not measured where few calls failed, or where no request could reach the ledger anyway.
    """
    later, reached = after_failures(under, FAILURES_FIRST)
    failed = np.isin(under.evidence.settled["outcome"][later], _FAILED)
    if len(later) < TRIED_MIN or float(failed.mean()) < OPEN_SHARE_MAX or not len(under.requests):
        return "not measured", None
    if float(reached.mean()) > OPEN_SHARE_MAX:
        return "stayed shut", None
    return "opened", int(reached.sum())


def _back_s(under: Under) -> float | None:
    """Give how long after the fault a request went well again; None where none was seen."""
    down, healed_ns = under.down, under.window.healed_ns
    well = down.at_ns[down.good & ~down.aside & (down.call >= 0) & (down.at_ns >= healed_ns)]
    return round((int(well[0]) - healed_ns) / 1e9, 3) if len(well) else None


def counted(rows_: tuple[Manners, ...]) -> Iterator[Manners]:
    """Yield those with enough calls to say anything."""
    return (row for row in rows_ if row.asking >= CALLS_MIN)
