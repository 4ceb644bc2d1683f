"""How a target's memory answers to equal loads in a row, the one fair witness of a leak.

A healthy runtime takes memory when it first meets a load, keeps it, and moves up and down from
there; so one before-and-after accuses it. A leak grows with *every further* load, and about as much
each time. Descriptors, threads and child processes are told with the same care.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from harness.checks import sightings
from harness.checks.sightings import Rule
from harness.evidence.phases import Evidence
from harness.journal import VitalsEntry
from harness.verdict import Finding

MIB: Final = 1024**2
LEAST_BYTES: Final = 8 * MIB  # by which each further load must have grown
PER_SESSION_BYTES: Final = 10 * 1024
FURTHER_MIN: Final = 2  # how many further loads it takes
# A leak is as large each time; a heap that fills up to its next collection, or is still growing
# into its size, takes less and less.
_STEADY_MIN: Final = 0.5  # of the middle one of the further growths, for the last one
_SHORT_MIN: Final = 0.5  # of the least growth, for the one of several that may fall short of it

LEAK: Final = Rule(
    verdict="leak-memory",
    wrong="left the target larger than the one before it",
    source="growth per further equal load: twice by 8 MiB and more, each time as much; what the "
    "first one takes may be kept",
    unseen="the target's memory was not observable",
    unit="MiB",
)


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """One of several equal loads; memory is read between the last two stamps, in run time."""

    start_ns: int
    read_ns: int
    end_ns: int
    count: int  # of what the load consists of: sessions, calls, refused requests


@dataclass(frozen=True, kw_only=True)
class Growth:
    """What each load after the first one added; a figure that nobody could see is None."""

    rss_bytes: tuple[int, ...]
    count: int  # of units in one of the further loads, the least
    open_files: tuple[int, ...] | None
    threads: tuple[int, ...] | None
    children: tuple[int, ...] | None

    def leaks(self, *, per_unit_bytes: int, least_bytes: int = LEAST_BYTES) -> bool:
        """Whether every further load has added as much again, to its units as well as in all."""
        return leaks(self.rss_bytes, max(least_bytes, per_unit_bytes * self.count))

    def keeps(self, what: tuple[int, ...] | None, *, per_unit: float = 0.2) -> bool:
        """Whether every further load has left so many of its descriptors or threads behind."""
        return what is not None and min(what) >= max(3.0, per_unit * self.count)


def leaks(grown_bytes: Sequence[int], least_bytes: int) -> bool:
    """Whether each further load has added so much at least, and the last one about as much.

    Of three or more, one before the last may have added half, if the next one makes up for it.
    """
    middle = sorted(grown_bytes)[len(grown_bytes) // 2]  # of two the larger
    short = [at for at, size in enumerate(grown_bytes) if size < least_bytes]
    if grown_bytes[-1] < max(least_bytes, _STEADY_MIN * middle):
        return False
    if len(grown_bytes) <= FURTHER_MIN or len(short) != 1:
        return not short
    # Where a sample comes early, the next load is taken to have added what this one has.
    here, following = grown_bytes[short[0]], grown_bytes[short[0] + 1]
    return here >= _SHORT_MIN * least_bytes and here + following >= 2 * least_bytes


def between(edges_ns: Sequence[int], counts: Sequence[int]) -> tuple[Stretch, ...]:
    """Give the loads between these moments; memory is read in the second half of each."""
    return tuple(
        Stretch(start_ns=start, read_ns=start + (end - start) // 2, end_ns=end, count=count)
        for (start, end), count in zip(pairwise(edges_ns), counts, strict=True)
    )


def growth(evidence: Evidence, stretches: Sequence[Stretch]) -> Growth | None:
    """Give how the target grew over equal loads, the first one left out; None if nobody saw.

    Needs at least three loads, and a sample of the target in the time that each leaves for it.
    """
    if len(stretches) <= FURTHER_MIN:
        return None
    vitals = [entry for entry in evidence.journal.of(VitalsEntry) if entry.rss_bytes is not None]
    levels: list[VitalsEntry] = []
    for stretch in stretches:
        seen = [one for one in vitals if stretch.read_ns <= one.at_ns < stretch.end_ns]
        if not seen:
            return None
        # What a collection could free is no leak: of several looks, the least.
        levels.append(min(seen, key=lambda one: one.rss_bytes or 0))
    return Growth(
        rss_bytes=_added([level.rss_bytes for level in levels]) or (),
        count=min(stretch.count for stretch in stretches[1:]),
        open_files=_added([level.open_files for level in levels]),
        threads=_added([level.threads for level in levels]),
        children=_added([level.children for level in levels]),
    )


def judged(
    evidence: Evidence,
    stretches: Sequence[Stretch],
    *,
    fault: str,
    load: str,
    per_unit_bytes: int,
    evidence_ids: tuple[str, ...] = (),
) -> Finding:
    """Say whether equal loads, `load` by name ("floods of sessions"), have each left memory behind.

    `per_unit_bytes` is what one unit of a load must have left for it to be called a leak. The
    evidence names what was sent, beside the samples of the target that it rests on.
    """
    found = growth(evidence, stretches)
    if found is None:
        why = f"{LEAK.unseen} over {len(stretches)} {load}, of which it takes {FURTHER_MIN + 1}"
        return sightings.unknown(LEAK, why, fault=fault)
    added = ", ".join(f"{size / MIB:+.1f}" for size in found.rss_bytes)
    grown = found.leaks(per_unit_bytes=per_unit_bytes)
    return Finding(
        verdict=LEAK.verdict,
        ruling="fail" if grown else "pass",
        fault=fault,
        observed=min(found.rss_bytes) / MIB,
        limit=max(LEAST_BYTES, per_unit_bytes * found.count) / MIB,
        unit=LEAK.unit,
        why=f"after the first of {len(stretches)} {load}, each further one changed the target's "
        f"memory by {added} MiB",
        source=LEAK.source,
        evidence=(*_samples(stretches, found), *evidence_ids) if grown else (),
    )


def _samples(stretches: Sequence[Stretch], found: Growth) -> tuple[str, ...]:
    return tuple(
        f"{stretch.read_ns / 1e9:.0f}-{stretch.end_ns / 1e9:.0f} s: {size / MIB:+.1f} MiB"
        for stretch, size in zip(stretches[1:], found.rss_bytes, strict=True)
    )


def _added(levels: Sequence[int | None]) -> tuple[int, ...] | None:
    known = [level for level in levels if level is not None]
    if len(known) < len(levels):
        return None
    return tuple(after - before for before, after in pairwise(known))
