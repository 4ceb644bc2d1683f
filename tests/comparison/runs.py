"""Runs to compare: drawn straight into digests by the thousand, or whole run folders on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from harness.comparison.digest import PARTS, Digest, Drawn, Lot, Mark, Stretch, groups
from harness.comparison.identity import Identity
from harness.comparison.ruling import Side
from harness.comparison.tables import Told, count, fine
from harness.journal import Journal, JournalWriter
from harness.plan import make
from harness.scenario.load import load_text
from tests import journals
from tests.journals import MS, Spoil

WINDOW: Final = "1:tcp-latency"
RECOVERY: Final = "1:recovery"

IDENTITY: Final = Identity(
    scenario="storm",
    seed=1,
    era="modern",
    transport="Streamable HTTP",
    toxiproxy="embedded",
    workers=0,
    machine={"system": "Linux", "architecture": "x86_64", "processors": "2", "memory": "8 GiB"},
    digest="0123456789ab",
    given={"load.sessions": "40"},
)


@dataclass(frozen=True, kw_only=True)
class World:
    """What equal runs have in common, and how much they differ."""

    sessions: int = 60
    calls_per_s: float = 4.0  # of a session
    lengths_s: tuple[tuple[str, float], ...] = (
        ("baseline", 30.0),
        (WINDOW, 10.0),
        (RECOVERY, 10.0),
    )
    tools: tuple[str, ...] = ("fetch", "search")
    ms: float = 20.0
    sigma: float = 0.4  # of a call's logarithm
    by_session: float = 0.05  # of a session's luck
    by_moment: float = 0.05  # of half a second's
    by_run: float = 0.0  # of a whole run's
    scale: float = 1.0  # every latency
    tail: float = 1.0  # the slowest 8 in 100
    failing: float = 0.001  # the share of calls that fail, one half of them lost
    added_ms: float = 50.0  # by the fault


def drawn_run(world: World, random: np.random.Generator, *, run: str = "1a2b3c4d") -> Digest:
    """Draw one run."""
    luck = world.ms * np.exp(random.normal(0, world.by_run))
    sessions = np.exp(random.normal(0, world.by_session, world.sessions))
    stretches = []
    for phase, length_s in world.lengths_s:
        moments = np.exp(random.normal(0, world.by_moment, int(length_s * 2) + 1))
        for first, arm in enumerate(("treated", "control")):
            numbers = np.arange(first, world.sessions, 2)
            at_s = np.arange(0.0, length_s, 1 / world.calls_per_s)
            who = np.repeat(np.arange(len(numbers)), len(at_s))
            when_s = np.tile(at_s, len(numbers))
            took_ms = luck * sessions[numbers][who] * moments[(when_s * 2).astype(np.intp)]
            took_ms = took_ms * np.exp(random.normal(0, world.sigma, len(who))) * world.scale
            slow = took_ms > np.quantile(took_ms, 0.92)
            took_ms = np.where(slow, took_ms * world.tail, took_ms)
            if phase == WINDOW and arm == "treated":
                took_ms = took_ms + world.added_ms
            wrong = random.random(len(who)) < world.failing
            lost = wrong & (random.random(len(who)) < 0.5)
            told = Told(
                failed=wrong & ~lost,
                lost=lost,
                timed=np.ones(len(who), dtype=np.bool_),
                took_ns=(took_ms * MS).astype(np.int64),
            )
            group = groups(numbers)[who]
            part = np.minimum(when_s / length_s * PARTS, PARTS - 1).astype(np.intp)
            tool = np.arange(len(who)) % len(world.tools)
            lots = []
            for place, name in enumerate(world.tools):
                mine = np.flatnonzero(tool == place)
                its = told.of(mine)
                table = count(its, group[mine], int(group.max()) + 1)
                lots.append(Lot(tool=name, by_group=table, fine=fine(its)))
            stretches.append(
                Stretch(
                    arm=arm,
                    phase=phase,
                    lots=tuple(lots),
                    by_part=count(told, part, PARTS),
                    slowness=1.0,
                )
            )
    figure = Drawn(value=92.0, draws=random.normal(92, 1.0, 200))
    back = Drawn(value=1.0, draws=np.round(random.random(200) * 2))
    window = Mark(id=WINDOW, bit=True, score=figure, recovery=back, watched_s=10.0, slice_s=1.0)
    return Digest(
        run=run,
        squall="0.1.0",
        started_at="2026-01-01T12:00:00+00:00",
        target="http://127.0.0.1:8001/mcp",
        revision="0123456789abcdef",
        ruling="pass",
        headline="PASS  storm",
        doubts=(),
        late_p50_ms=0.2,
        late_p99_ms=0.9,
        stretches=tuple(stretches),
        windows=(window,),
        score=figure,
    )


def side(
    world: World, random: np.random.Generator, *, name: str = "runs/base", runs: int = 1
) -> Side:
    """Draw one side."""
    drawn = tuple(drawn_run(world, random, run=f"{number:08x}") for number in range(runs))
    return Side(name=name, identity=IDENTITY, runs=drawn)


def pair(world: World, seed: int, *, runs: int = 1, **changes: Any) -> tuple[Side, Side]:
    """Draw a base, and a head that differs from it by `changes` and by chance."""
    random = np.random.default_rng(seed)
    base = side(world, random, runs=runs)
    return base, side(replace(world, **changes), random, name="runs/head", runs=runs)


# --- run folders ----------------------------------------------------------------------------

STORM: Final = """\
question: Does it hold when things break?
seed: {seed}
agents:
  - name: worker
    pace: {pace}
    steps:
      - call: search
        with: {{query: "${{nonce}}"}}
      - call: append_note
        with: {{text: "${{nonce}}"}}
        effect: once
load: {{sessions: {sessions}, ramp: 1s}}
phases: {{warmup: 1s, baseline: 10s, recovery: 6s}}
faults:
  - tcp-latency: {{delay: 50ms}}
    for: 6s
"""
MACHINE: Final = {
    "system": "Linux",
    "architecture": "x86_64",
    "processors": 2,
    "memory_bytes": 8 << 30,
}


def folder(
    place: Path,
    *,
    run: str = "1a2b3c4d",
    seed: int = 7,
    chance: int = 1,
    sessions: int = 20,
    pace: str = "4/s",
    latency_ms: float = 20.0,
    spoil: Spoil | None = None,
    how: str = "completed",
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write the run folder of a believable run; `chance` seeds what no plan decides."""
    place.mkdir(parents=True)
    text = STORM.format(seed=seed, sessions=sessions, pace=pace)
    of = load_text(text, "scenario.yaml").scenario
    by = make(of)
    made = journals.healthy(of, by, latency_ms=latency_ms, seed=chance, spoil=spoil, how=how)
    known = {
        "squall": "0.1.0",
        "scenario": "storm",
        "run_id": run,
        "started_at": "2026-01-01T12:00:00+00:00",
        "machine": MACHINE,
        "workers": 0,
        "transport": "Streamable HTTP",
        "toxiproxy": {"kind": "embedded"},
        "target": "http://127.0.0.1:8001/mcp",
        "overrides": {},
    }
    (place / "facts.json").write_text(json.dumps({**known, **(facts or {})}), encoding="utf-8")
    (place / "scenario.yaml").write_text(text, encoding="utf-8")
    _write(place, made)
    return place


def _write(place: Path, made: Journal) -> None:
    with JournalWriter(folder=place) as writer:
        for entry in made.entries:
            writer.append(entry)
        writer.buffer.extend(made.calls.tobytes())
