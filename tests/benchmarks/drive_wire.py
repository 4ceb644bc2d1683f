"""Drives squall's own wire engine: fifty sessions in a closed loop, a record for each call."""

from __future__ import annotations

import asyncio
import struct
import sys
from typing import Final, Literal, cast

import uvloop

from harness.clock import NS_PER_S, RunClock
from harness.outcome import Outcome
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from tests.benchmarks.rounds import ARGUMENTS, SESSIONS, asked_rounds, cpu_seconds, report_round

_RECORD: Final = struct.Struct("<10q")
_DEADLINE_NS: Final = 10 * NS_PER_S
_JOURNAL_BYTES_MAX: Final = 64 * 1024 * 1024


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
        self._journal = bytearray()

    async def open(self) -> None:
        """Open every session."""
        for client in self._clients:
            reply = await client.open(deadline_ns=self._clock.now_ns() + _DEADLINE_NS)
            assert reply.outcome is Outcome.OK, reply

    async def run(self, seconds: float) -> int:
        """Call for so long; the calls made."""
        self._running = True
        self._journal.clear()
        asyncio.get_running_loop().call_later(seconds, self._stop)
        return sum(await asyncio.gather(*(self._call(client) for client in self._clients)))

    def _stop(self) -> None:
        self._running = False

    async def _call(self, client: WireClient) -> int:
        calls, now_ns, pack = 0, self._clock.now_ns, _RECORD.pack
        while self._running:
            due_ns = now_ns()
            reply = await client.request(
                "tools/call", ARGUMENTS, name="echo", deadline_ns=due_ns + _DEADLINE_NS
            )
            assert reply.outcome is Outcome.OK, reply
            if len(self._journal) > _JOURNAL_BYTES_MAX:
                self._journal.clear()
            self._journal += pack(
                due_ns, reply.sent_ns, reply.first_ns, reply.done_ns, reply.outcome, reply.reason,
                reply.status, reply.request_bytes, reply.reply_bytes, reply.ended_by,
            )  # fmt: skip
            calls += 1
        return calls


async def _main() -> None:
    driver = _Driver(sys.argv[1], cast("Literal['legacy', 'modern']", sys.argv[2]))
    await driver.open()
    for seconds in asked_rounds():
        before_s = cpu_seconds()
        calls = await driver.run(seconds)
        report_round(calls, cpu_seconds() - before_s)


if __name__ == "__main__":
    uvloop.run(_main())
