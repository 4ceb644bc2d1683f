"""Opens sessions with a standing GET stream, lets them call and idle, and weighs them."""

from __future__ import annotations

import asyncio
import gc
import json
import sys

import psutil
import uvloop

from harness.clock import NS_PER_S, RunClock
from harness.outcome import Outcome
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from tests.benchmarks.rounds import ARGUMENTS, say

_WARM_SESSIONS = 20
_CALLS = 5
_BATCH = 100


async def _open(url: str, clock: RunClock, schemas: SchemaBook, sessions: int) -> list[WireClient]:
    endpoint = Endpoint.from_url(url)
    clients = []
    for start in range(0, sessions, _BATCH):
        batch = [
            WireClient(endpoint, era="legacy", now_ns=clock.now_ns, schemas=schemas, listen=True)
            for _ in range(min(_BATCH, sessions - start))
        ]
        await asyncio.gather(*(_use(client, clock) for client in batch))
        clients += batch
    return clients


async def _use(client: WireClient, clock: RunClock) -> None:
    reply = await client.open(deadline_ns=clock.now_ns() + 10 * NS_PER_S)
    assert reply.outcome is Outcome.OK, reply
    for _ in range(_CALLS):
        deadline_ns = clock.now_ns() + 10 * NS_PER_S
        reply = await client.request("tools/call", ARGUMENTS, name="echo", deadline_ns=deadline_ns)
        assert reply.outcome is Outcome.OK, reply


async def _main() -> None:
    url, sessions = sys.argv[1], int(sys.argv[2])
    clock, schemas, process = RunClock(), SchemaBook(), psutil.Process()
    warm = await _open(url, clock, schemas, _WARM_SESSIONS)
    gc.collect()
    before_bytes = process.memory_info().rss
    clients = await _open(url, clock, schemas, sessions)
    await asyncio.sleep(0.5)
    gc.collect()
    grown_bytes = process.memory_info().rss - before_bytes
    say(json.dumps({"sessions": sessions, "kib_per_session": grown_bytes / 1024 / sessions}))
    del warm, clients


if __name__ == "__main__":
    uvloop.run(_main())
