"""Drives squall's whole hot path: planned sessions, templates, policy, checks and the journal.

The plan is due faster than anyone could serve it, so every session is always late: a closed loop
of open-loop sessions.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tempfile
from pathlib import Path
from time import monotonic_ns
from typing import Any, Final, cast

import uvloop

from harness import plan as plans
from harness.clock import NS_PER_S, RunClock
from harness.journal import JournalWriter
from harness.outcome import Outcome
from harness.plan import Plan
from harness.running.host import YOUNG_OBJECTS
from harness.scenario.records import Scenario
from harness.session.conduct import Conduct
from harness.session.life import Session
from harness.session.record import Recorder
from harness.session.stage import Stage
from harness.session.steps import compile_agent
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.reply import Reply
from harness.wire.schemas import SchemaBook
from tests.benchmarks.rounds import SESSIONS, asked_rounds, cpu_seconds, report_round

CALLS_PER_S: Final = 40_000  # of all; fewer than they can do, so that a round ends in time
DEADLINE_NS: Final = 10 * NS_PER_S
FLUSH_S: Final = 1.0


def _scenario(seconds: float) -> Scenario:
    document: dict[str, Any] = {
        "question": "How fast is the whole hot path?",
        "era": sys.argv[2],
        "target": {"url": sys.argv[1]},
        "agents": [
            {
                "name": "caller",
                "pace": f"{CALLS_PER_S // SESSIONS * 1000}/s",
                "steps": [{"call": "echo", "with": {"text": "${nonce}" + "y" * 183}}],
            }
        ],
        "load": {"sessions": SESSIONS, "ramp": "0s"},
        "phases": {"warmup": "0s", "baseline": f"{seconds:g}ms"},
    }
    return Scenario.model_validate(document)


class _Standing(WireClient):
    """A client that outlives the rounds, as the other engines' do: opening is not measured."""

    async def open(self, *, deadline_ns: int) -> Reply:
        """Open the first time; afterwards say that it is open."""
        if self.protocol_version and self.stats.connections_opened:
            return Reply(Outcome.OK)
        return await super().open(deadline_ns=deadline_ns)

    async def close(self, *, deadline_ns: int) -> Reply | None:
        """Stay open."""
        del deadline_ns
        return None

    def drop_connections(self) -> None:
        """Stay connected."""


async def _clients(clock: RunClock) -> list[_Standing]:
    schemas, endpoint = SchemaBook(), Endpoint.from_url(sys.argv[1])
    era = cast("Any", sys.argv[2])
    clients = [
        _Standing(endpoint, era=era, now_ns=clock.now_ns, schemas=schemas) for _ in range(SESSIONS)
    ]
    for client in clients:
        reply = await client.open(deadline_ns=clock.now_ns() + DEADLINE_NS)
        assert reply.outcome is Outcome.OK, reply
    return clients


async def _round(seconds: float, clock: RunClock, clients: list[_Standing]) -> tuple[int, float]:
    """Run one plan to its end; the calls made and the CPU time of it."""
    scenario = _scenario(seconds)
    plan = plans.make(scenario)
    clock.origin_ns = monotonic_ns()  # the plan begins now

    with (
        tempfile.TemporaryDirectory() as folder,
        JournalWriter(Path(folder)) as writer,
    ):
        stage = Stage(
            scenario=scenario,
            plan=plan,
            clock=clock,
            conduct=Conduct(),
            recorder=Recorder(writer),
            writer=writer,
            steps=(compile_agent(scenario, plan, 0),),
            connect=lambda planned: clients[planned.session],
            credential=lambda _: None,
        )
        gc.collect()
        gc.freeze()  # as the host of sessions does, and
        gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
        before_s = cpu_seconds()
        keeper = asyncio.create_task(_keep(writer))
        await asyncio.gather(*(_live(stage, plan, number) for number in range(SESSIONS)))
        keeper.cancel()
        writer.flush()
        return writer.calls_written, cpu_seconds() - before_s


async def _live(stage: Stage, plan: Plan, number: int) -> None:
    await Session(stage=stage, planned=plan.sessions[number]).run()


async def _keep(writer: JournalWriter) -> None:
    while True:
        await asyncio.sleep(FLUSH_S)
        writer.flush()


async def _main() -> None:
    clock = RunClock()
    clients = await _clients(clock)
    for seconds in asked_rounds():
        calls, cpu_s = await _round(seconds, clock, clients)
        report_round(calls, cpu_s)


if __name__ == "__main__":
    uvloop.run(_main())
