"""Plays random cases on the wire engine; run as `python -m tests.wire.hostile.fuzz --cases N`.

Every transport in turn, or the one that `--transport` names. A case is a string of bytes (`tape`),
so what fails is repeated by `--transport NAME --tape HEX`. Ends with 1 at the first thing that must
not be.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import psutil
import uvloop

from harness.errors import leaves
from tests.wire.hostile.over_http import StreamableStage
from tests.wire.hostile.over_pipes import PipeStage
from tests.wire.hostile.over_sse import SseStage
from tests.wire.hostile.stage import Stage, WrongError, staged

STAGES: Final[dict[str, type[Stage]]] = {
    "http": StreamableStage,
    "sse": SseStage,
    "stdio": PipeStage,
}

TAPE_BYTES: Final = (8, 24, 48, 96)
PLAYERS: Final = 24  # cases under way at once
WARM_CASES: Final = 2_000  # after which memory must not grow with the number of cases
MIB: Final = 1024 * 1024
GROWTH_MAX_BYTES: Final = 64 * MIB
SETTLE_S: Final = 30.0


@dataclass
class Figures:
    """What came of it."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    elapsed_s: float = 0.0
    grown_bytes: int = 0


def tapes(cases: int, seed: int) -> Iterator[bytes]:
    """So many tapes; the same seed gives the same ones."""
    source = random.Random(seed)
    for _ in range(cases):
        yield source.randbytes(source.choice(TAPE_BYTES))


async def play(stage: Stage, cases: Iterator[bytes]) -> Figures:
    """Play every tape on this stage.

    Raises:
        WrongError: naming the tape that showed it, or what was left in the end.
    """
    process, figures = psutil.Process(), Figures()
    began_s = time.monotonic()
    async with staged(stage):
        files = process.num_fds()
        await _many(stage, islice(cases, WARM_CASES))
        before_bytes = process.memory_info().rss
        await _many(stage, cases)
        figures.grown_bytes = max(0, process.memory_info().rss - before_bytes)
        if figures.grown_bytes > GROWTH_MAX_BYTES:
            raise WrongError(f"memory grew by {figures.grown_bytes / MIB:.0f} MiB")
        await _quiet(process, files)
        figures.cases, figures.outcomes = stage.cases, stage.outcomes
    figures.elapsed_s = time.monotonic() - began_s
    return figures


async def _many(stage: Stage, cases: Iterator[bytes]) -> None:
    """Let a crowd of players take tapes until there are none."""
    under_way: dict[int, bytes] = {}

    async def player(number: int) -> None:
        for tape in cases:
            under_way[number] = tape
            try:
                await stage.case(f"{number}", tape)
            except Exception as error:
                raise WrongError(
                    f"--tape {tape.hex()}: {error!r} {stage.complaints[:1]}"
                ) from error
            if stage.complaints:
                shown = ", ".join(each.hex() for each in under_way.values())
                raise WrongError(f"{stage.complaints[0]}, under one of these tapes: {shown}")

    async with asyncio.TaskGroup() as group:
        for number in range(PLAYERS):
            group.create_task(player(number))


async def _quiet(process: psutil.Process, files: int) -> None:
    """See that every connection and every task of the cases is gone.

    Raises:
        WrongError: when one is not.
    """
    until_s = time.monotonic() + SETTLE_S
    while (left := process.num_fds() - files) > 0 or len(asyncio.all_tasks()) > 1:
        if time.monotonic() > until_s:
            raise WrongError(f"{left} descriptors and {len(asyncio.all_tasks()) - 1} tasks left")
        await asyncio.sleep(0.02)


def main() -> int:
    """Play as many cases as asked and say what came of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=20_000, help="so many on each transport")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--transport", choices=STAGES, help="play on this one alone")
    parser.add_argument("--tape", help="play this one case alone")
    chosen = parser.parse_args()
    for name in [chosen.transport] if chosen.transport else STAGES:
        cases = tapes(chosen.cases, chosen.seed)
        if chosen.tape:
            cases = iter([bytes.fromhex(chosen.tape)])
        try:
            figures = uvloop.run(play(STAGES[name](), cases))
        except (WrongError, ExceptionGroup) as wrong:
            for error in leaves(wrong):
                _say(f"WRONG over {name}: {error}")
            return 1
        _show(name, figures)
    return 0


def _show(name: str, figures: Figures) -> None:
    rate = figures.cases / max(figures.elapsed_s, 1e-9)
    _say(f"{name}: {figures.cases:,} cases in {figures.elapsed_s:.1f} s ({rate:,.0f} a second)")
    _say(f"memory grew by {figures.grown_bytes / MIB:.1f} MiB")
    for outcome, count in figures.outcomes.most_common():
        _say(f"{count:>10,}  {outcome.lower().replace('_', ' ')}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
