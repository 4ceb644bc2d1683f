from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from harness import plan
from harness.plan import Plan
from harness.rig.issuer import control
from harness.scenario import expectations, expressions
from harness.scenario.load import load
from harness.scenario.records import (
    REFERENCE_TOOLS,
    Agent,
    Answers,
    CallStep,
    ListStep,
    ReferenceTarget,
    Scenario,
)
from scenarios import shipped
from tests.reference.calls import ERAS, Bench, Caller, Era, bench

pytestmark = pytest.mark.anyio
SCENARIOS = {name: load(file).scenario for name, file in shipped().items()}
# Those whose agents are asked back need a client that answers: see test_asked.
BUNDLED = [
    name
    for name, each in SCENARIOS.items()
    if isinstance(each.target, ReferenceTarget) and each.client.answers == Answers()
]
ROUNDS = 2  # what one round leaves behind meets the next one


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """As everywhere, but for as long as the module's server lives."""
    return "asyncio"


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """The hardened server, once for all scenarios."""
    folder: Path = tmp_path_factory.mktemp("answers")
    async with control.serve(log_dir=None) as issuer, bench(issuer, folder) as running:
        yield running


async def walk(agent: Agent, planned: Plan, session: int, caller: Caller) -> None:
    """Take an agent's steps in order, and ask of each reply what the scenario asks."""
    kept: dict[str, object] = {}
    for index, step in enumerate(plan.flat(agent) * ROUNDS):
        values = {
            **kept,
            "nonce": planned.nonce(session, index),
            "session": planned.mark(session),
            "agent": agent.name,
            "index": index,
        }
        if isinstance(step, ListStep):
            answer = await caller.ask(step.method, {})
        else:
            assert isinstance(step, CallStep)
            template = expressions.compile(step.arguments)
            answer = await caller.call(step.call, json.loads(template.render_json(values)))
            found = expectations.compile_keep(step.keep)(answer.result)
            assert set(found) == set(step.keep)
            kept |= found
        assert answer.status == 200, answer
        assert answer.result, answer
        assert expectations.compile(step.expect)(answer.result, values) is None, answer


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("name", BUNDLED)
async def test_the_bundled_server_answers_what_a_shipped_scenario_asks(
    server: Bench, name: str, era: Era
) -> None:
    """With nothing going wrong, every expectation is met and every value is there to be kept."""
    scenario: Scenario = SCENARIOS[name]
    planned = plan.make(scenario)
    with anyio.fail_after(30):
        for number, agent in enumerate(scenario.agents):
            session = next(each.session for each in planned.sessions if each.agent == number)
            await walk(agent, planned, session, await server.caller(era))


@pytest.mark.parametrize("era", ERAS)
async def test_another_calls_answer_is_not_taken_for_ones_own(server: Bench, era: Era) -> None:
    """The same expectations refuse a true answer to somebody else's question."""
    scenario = SCENARIOS["first_storm"]
    planned = plan.make(scenario)
    search = scenario.agents[0].steps[1]
    assert isinstance(search, CallStep)
    with anyio.fail_after(30):
        caller = await server.caller(era)
        answer = await caller.call("search", {"query": planned.nonce(3, 4)})
    check = expectations.compile(search.expect)
    values: dict[str, Any] = {"nonce": planned.nonce(4, 3), "session": planned.mark(4)}
    reason = check(answer.result, values)
    assert reason is not None
    assert reason.name == "FOREIGN_NONCE"


async def test_the_tools_that_a_scenario_may_name_are_those_of_the_server(server: Bench) -> None:
    """A misspelt tool of the bundled server is found before anything is started."""
    with anyio.fail_after(30):
        answer = await (await server.caller("modern")).ask("tools/list", {})
    assert {tool["name"] for tool in answer.result["tools"]} == set(REFERENCE_TOOLS)
