"""Drives squall's own wire engine: fifty sessions in a closed loop, the journal on."""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, cast

import uvloop

from harness.clock import NS_PER_S, RunClock
from harness.journal import ROWS_UNKNOWN, JournalWriter
from harness.outcome import Auth, Effect, Outcome
from harness.plan import PlannedStep
from harness.session.record import Recorder, Who
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from tests.benchmarks.rounds import ARGUMENTS, SESSIONS, asked_rounds, cpu_seconds, report_round

_DEADLINE_NS: Final = 10 * NS_PER_S
_BUFFER_BYTES_MAX: Final = 1024 * 1024


class _Driver:
    """Sessions that call until told to stop."""

    def __init__(self, url: str, era: Literal["legacy", "modern"]) -> None:
        self._clock = RunClock()
        schemas = SchemaBook()
        self._clients = [
            WireClient(Endpoint.from_url(url), era=era, now_ns=self._clock.now_ns, schemas=schemas)
            for _ in range(SESSIONS)
        ]
        self._running = False
        self._folder = tempfile.TemporaryDirectory()
        self._writer = JournalWriter(Path(self._folder.name))

    async def open(self) -> None:
        """Open every session."""
        for client in self._clients:
            reply = await client.open(deadline_ns=self._clock.now_ns() + _DEADLINE_NS)
            assert reply.outcome is Outcome.OK, reply

    async def run(self, seconds: float) -> int:
        """Call for so long; the calls made."""
        self._running = True
        asyncio.get_running_loop().call_later(seconds, self._stop)
        with self._writer as writer:
            record = Recorder(writer).success
            return sum(
                await asyncio.gather(
                    *(self._call(number, client, record, writer.buffer)
                      for number, client in enumerate(self._clients))
                )
            )  # fmt: skip

    def _stop(self) -> None:
        self._running = False

    async def _call(
        self, number: int, client: WireClient, record: Callable[..., None], buffer: bytearray
    ) -> int:
        calls, now_ns, who = 0, self._clock.now_ns, Who(session=number, treated=False)
        while self._running:
            due_ns = now_ns()
            reply = await client.request(
                "tools/call", ARGUMENTS, name="echo", deadline_ns=due_ns + _DEADLINE_NS
            )
            assert reply.outcome is Outcome.OK, reply
            step = PlannedStep(number, calls, 0, due_ns, "")
            record(who, step, 0, reply, ROWS_UNKNOWN, Effect.NONE, Auth.NONE_NEEDED)
            if len(buffer) > _BUFFER_BYTES_MAX:
                self._writer.flush()
            calls += 1
        return calls


async def _main() -> None:
    driver = _Driver(sys.argv[1], cast("Literal['legacy', 'modern']", sys.argv[2]))
    await driver.open()
    gc.collect()
    gc.freeze()  # as the host of sessions does
    for seconds in asked_rounds():
        before_s = cpu_seconds()
        calls = await driver.run(seconds)
        report_round(calls, cpu_seconds() - before_s)


if __name__ == "__main__":
    uvloop.run(_main())
