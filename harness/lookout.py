"""What becomes of a launched target while a storm lasts: its process, and what that costs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

import anyio

from harness.clock import RunClock
from harness.journal import JournalWriter, TargetEntry, VitalsEntry
from harness.rig import vitals
from harness.rig.launched import Launched, Turn
from harness.wire.pipe import describe_end

VITALS_S: Final = 1.0


async def watch(launched: Launched | None, clock: RunClock, writer: JournalWriter) -> None:
    """Write down what befalls the target's process, and sample its tree once a second.

    Only a target that squall launched has one; for any other this returns at once.
    """
    if launched is None:
        return

    def write(turn: Turn) -> None:
        how = describe_end(turn.status) if turn.edge == "ended" else ""
        writer.append(TargetEntry(at_ns=clock.now_ns(), how=how, **asdict(turn)))

    launched.on_turn = write
    while True:
        # Of the moment when the look began: a relaunch meanwhile is of another process.
        asked_ns = clock.now_ns()
        seen = await vitals.sample(launched.pid)
        writer.append(
            VitalsEntry(
                at_ns=asked_ns,
                alive=seen.rss_bytes is not None or seen.threads is not None,
                rss_bytes=seen.rss_bytes,
                open_files=seen.open_files,
                threads=seen.threads,
                cpu_s=seen.cpu_s,
                children=seen.children,
            )
        )
        await anyio.sleep(VITALS_S)
