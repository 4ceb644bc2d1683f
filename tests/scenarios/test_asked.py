"""Agents that are asked back, against the bundled server: every step of the shipped scenario."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness import journal, plan
from harness.clock import RunClock
from harness.journal import JournalWriter
from harness.outcome import Outcome, Reason
from harness.plan import PlannedSession
from harness.rig.issuer import control
from harness.scenario.load import load
from harness.session.conduct import Conduct
from harness.session.life import Session
from harness.session.record import Recorder
from harness.session.stage import Stage
from harness.session.steps import compile_agent
from harness.session.talker import compile_rules
from harness.wire.client import WireClient
from harness.wire.endpoint import Endpoint
from harness.wire.schemas import SchemaBook
from scenarios import shipped
from tests.reference.calls import ERAS, Bench, Era, bench

pytestmark = pytest.mark.anyio
SCENARIO = load(shipped()["agents_are_asked"]).scenario


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the module's server lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """The hardened server."""
    folder: Path = tmp_path_factory.mktemp("asked")
    async with control.serve(log_dir=None) as issuer, bench(issuer, folder) as running:
        yield running


@pytest.mark.parametrize("era", ERAS)
async def test_every_step_is_answered_when_the_client_answers(
    server: Bench, era: Era, tmp_path: Path
) -> None:
    """One session of each agent lives for a while; its calls end as its steps say."""
    short = SCENARIO.phases.model_copy(update={"warmup_s": 0.0, "baseline_s": 4.0})
    load_ = SCENARIO.load.model_copy(update={"sessions": 10, "ramp_s": 0.1})
    scenario = SCENARIO.model_copy(update={"phases": short, "load": load_})
    planned, clock = plan.make(scenario), RunClock()
    token = await server.token()
    agents = {each.agent: each for each in planned.sessions}
    with JournalWriter(tmp_path) as writer:

        def connect(of: PlannedSession) -> WireClient:
            del of
            client = WireClient(
                Endpoint.from_url(server.url),
                era=era,
                now_ns=clock.now_ns,
                schemas=SchemaBook(),
                listen=True,
            )
            client.authorization = f"Bearer {token}".encode()
            return client

        stage = Stage(
            scenario=scenario,
            plan=planned,
            clock=clock,
            conduct=Conduct(),
            recorder=Recorder(writer),
            writer=writer,
            steps=tuple(
                compile_agent(scenario, planned, number) for number in range(len(scenario.agents))
            ),
            connect=connect,
            credential=lambda _: None,
            rules=compile_rules(scenario),
        )
        with anyio.fail_after(60):
            async with anyio.create_task_group() as group:
                for one in agents.values():
                    group.start_soon(Session(stage=stage, planned=replace(one)).run)
    _check(journal.read(tmp_path).calls, planned.calls)
    said = stage.said
    assert all(said[name] for name in ("asked:roots:answered", "heard:progress"))
    assert said["asked:sampling:answered"]
    assert said["asked:elicitation:accepted"]
    assert said["heard:resources/updated"]
    assert not said["heard:progress:backwards"] + said["heard:progress:late"]
    assert said["tasks:completed"] if era == "modern" else not said["rounds"]


def _check(calls: Any, names: tuple[str, ...]) -> None:
    ended = {Outcome(each) for each in calls["outcome"].tolist()}
    assert ended == {Outcome.OK, Outcome.ABANDONED}, calls[calls["outcome"] > 0][:3]
    cancelled = calls[calls["outcome"] == Outcome.ABANDONED]
    assert {Reason(each) for each in cancelled["reason"].tolist()} == {Reason.CANCELLED}
    assert {names[each] for each in cancelled["call"].tolist()} == {"slow"}
    assert {names[each] for each in calls["call"].tolist()} == set(names)
