"""One side of one place: what all its runs counted there, laid so that rows meet the other's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.comparison.digest import Digest, Lot, Stretch
from harness.comparison.tables import Fine, Table, added, merged, stacked

Sides = tuple[Sequence[Digest], Sequence[Digest]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where is looked: one or both arms, a phase, and one tool or all."""

    arms: tuple[str, ...]
    phase: str
    tool: str = ""  # "" is all


@dataclass(frozen=True, kw_only=True, eq=False)
class Counted:
    """What one run counted at a place."""

    by_group: Table
    by_part: Table  # of all tools, whatever the place
    fine: Fine
    slowness: float | None


def counted(sides: Sides, place: Place) -> tuple[list[Counted], list[Counted]] | str:
    """Count a place on both sides, or name the side that has no calls there."""
    found = [[_stretches(run, place) for run in side] for side in sides]
    for name, side in zip(("base", "head"), found, strict=True):
        if any(len(run) < len(place.arms) for run in side):
            return f"no calls in {name}"
    every = [stretch for side in found for run in side for stretch in run]
    tables = [_lots(stretch, place.tool)[0].by_group for stretch in every]
    bits = min(table.bits for table in tables)
    rows = {
        arm: min(t.rows for s, t in zip(every, tables, strict=True) if s.arm == arm)
        for arm in place.arms
    }
    base, head = ([_count(run, place, rows, bits) for run in side] for side in found)
    return base, head


def together(runs: Sequence[Counted]) -> Counted:
    """Lay the runs of a side together."""
    told = [run.slowness for run in runs if run.slowness is not None]
    return Counted(
        by_group=added([run.by_group for run in runs]),
        by_part=added([run.by_part for run in runs]),
        fine=merged([run.fine for run in runs]),
        slowness=float(np.median(told)) if told else None,
    )


def _stretches(run: Digest, place: Place) -> list[Stretch]:
    return [
        stretch
        for arm in place.arms
        for stretch in run.stretches
        if stretch.arm == arm and stretch.phase == place.phase and _lots(stretch, place.tool)
    ]


def _lots(stretch: Stretch, tool: str) -> list[Lot]:
    return [lot for lot in stretch.lots if tool in ("", lot.tool)]


def _count(
    stretches: Sequence[Stretch], place: Place, rows: Mapping[str, int], bits: int
) -> Counted:
    lots = [_lots(stretch, place.tool) for stretch in stretches]
    told = [stretch.slowness for stretch in stretches if stretch.slowness is not None]
    return Counted(
        by_group=stacked(
            [
                added([lot.by_group.coarser(bits) for lot in mine]).folded(rows[stretch.arm])
                for stretch, mine in zip(stretches, lots, strict=True)
            ]
        ),
        by_part=added([stretch.by_part.coarser(bits) for stretch in stretches]),
        fine=merged([lot.fine for mine in lots for lot in mine]),
        slowness=max(told, default=None),
    )
