"""A treated session that misbehaves once, on real sockets, towards a server that is a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import anyio
import anyio.lowlevel
import numpy as np

from faults.levers import Behaviour
from harness import journal
from harness.clock import NS_PER_S
from harness.journal import Calls, JournalWriter, ProbeEntry
from harness.plan import PlannedSession, PlannedWindow, make
from harness.scenario.records import Scenario
from harness.session.conduct import Conduct
from harness.session.identity import Identity
from harness.session.mischief.acts import ACTS
from harness.session.mischief.scene import Scene
from harness.session.record import Recorder, Who
from harness.session.stage import Stage
from harness.session.steps import compile_agent
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from harness.wire.speaker import Speaker
from tests.wire.scripted import CLOCK, WAIT_S, within

SEARCH: dict[str, Any] = {"call": "search", "with": {"query": "${nonce}", "limit": 3}}
NOTE: dict[str, Any] = {"call": "note", "with": {"text": "${nonce}"}, "effect": "once"}
DISCOVERED: dict[str, Any] = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
TOOL: dict[str, Any] = {
    "name": "search",
    "inputSchema": {
        "type": "object",
        "properties": {"query": {"type": "string"}, "limit": {"type": "integer", "maximum": 9}},
        "required": ["query"],
    },
}


@dataclass(kw_only=True)
class Acted:
    """What an act has left behind in the journal."""

    folder: Path

    @property
    def calls(self) -> Calls:
        """Every attempt."""
        calls = journal.read(self.folder).calls
        return np.asarray(calls)

    @property
    def probes(self) -> tuple[ProbeEntry, ...]:
        """Every probe."""
        return journal.read(self.folder).of(ProbeEntry)


async def act(
    folder: Path,
    url: str,
    behaviour: Behaviour,
    *,
    step: dict[str, Any] = SEARCH,
    era: Literal["legacy", "modern"] = "legacy",
    times: int = 1,
    window_s: float = 0.0,
    stop: anyio.Event | None = None,
) -> Acted:
    """Open a session at `url` and let it misbehave so many times, each to its end.

    With `window_s` the plan has a window of that length, which begins now; it is over at `stop`.
    """
    async with _stage(folder, url, step, era, window_s) as (stage, planned):
        client = stage.connect(planned)
        await client.open(deadline_ns=within(WAIT_S))
        stage.conduct.engage(behaviour, now_ns=0)
        steps = list(stage.plan.steps(planned.session))
        for number in range(times):
            async with anyio.create_task_group() as group:
                stage.backstage.open(group)
                if stop is not None:
                    group.start_soon(_end_at, stop, stage.conduct, behaviour)
                chosen = steps[number]
                values = {"nonce": chosen.nonce, "session": "s", "index": number, "agent": "a"}
                scene = Scene(
                    stage=stage,
                    session=planned,
                    who=Who(session=planned.session, treated=True),
                    client=client,
                    identity=_identity(stage, planned),
                    planned=chosen,
                    step=stage.steps[0][0],
                    values=values,
                    begin_again=_stays,
                )
                await ACTS[behaviour.kind](scene, behaviour)
        await client.close(deadline_ns=within(WAIT_S))
        client.drop_connections()
        await anyio.lowlevel.checkpoint()  # the loop closes what was dropped
    return Acted(folder=folder)


async def _end_at(stop: anyio.Event, conduct: Conduct, behaviour: Behaviour) -> None:
    await stop.wait()
    conduct.disengage(behaviour)


async def _stays() -> None:
    """Nobody was cut off."""


@asynccontextmanager
async def _stage(
    folder: Path,
    url: str,
    step: dict[str, Any],
    era: Literal["legacy", "modern"],
    window_s: float,
) -> AsyncIterator[tuple[Stage, PlannedSession]]:
    scenario = Scenario.model_validate(
        {
            "question": "Does one act do what it says?",
            "era": era,
            "agents": [{"name": "worker", "pace": "1/s", "steps": [step]}],
            "load": {"sessions": 2, "ramp": "0s"},
            "phases": {"warmup": "0s", "baseline": "20s"},
            "client": {"deadline": "5s"},
        }
    )
    plan, schemas = make(scenario), SchemaBook()
    if window_s:
        now_ns, length_ns = CLOCK.now_ns(), round(window_s * NS_PER_S)
        end_ns = now_ns + length_ns
        window = PlannedWindow(
            window=1, start_ns=now_ns, end_ns=end_ns, recovery_end_ns=end_ns + length_ns
        )
        plan = replace(plan, windows=(window,))
    schemas.learn({"tools": [TOOL]})

    def connect(_: PlannedSession) -> Speaker:
        return WireClient(Endpoint.from_url(url), era=era, now_ns=CLOCK.now_ns, schemas=schemas)

    with JournalWriter(folder) as writer:
        yield (
            Stage(
                scenario=scenario,
                plan=plan,
                clock=CLOCK,
                conduct=Conduct(),
                recorder=Recorder(writer),
                writer=writer,
                steps=(compile_agent(scenario, plan, 0),),
                connect=connect,
                credential=lambda _: None,
                schemas=schemas,
            ),
            next(one for one in plan.sessions if one.arm == "treated"),
        )


def _identity(stage: Stage, planned: PlannedSession) -> Identity:
    return Identity(
        credential=None,
        planned=planned,
        plan=stage.plan,
        conduct=stage.conduct,
        clock=stage.clock,
        writer=stage.writer,
        present=lambda _: None,
    )
