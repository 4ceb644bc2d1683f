from __future__ import annotations

import re

import jsonschema_rs
import pytest

from faults.catalogue import CATALOGUE
from harness import plan
from harness.evidence.watch import cramped
from harness.scenario.document import read
from harness.scenario.load import load
from harness.scenario.records import ReferenceTarget
from harness.scenario.schema import json_schema
from harness.selftest.stage import stages
from scenarios import shipped

SHIPPED = shipped()
PROMISED = {
    *("first_storm", "slow_network", "dropped_connections", "token_expires", "token_revoked"),
    *("oversized_payloads", "lost_reply", "clients_vanish", "slow_neighbours", "steady"),
    *("steady_echo", "sessions_die", "blackhole", "throttled", "compose_storm", "stdio_storm"),
    *("agents_are_asked", "database_goes_away", "dependency_storm", "game_plan"),
}
VALIDATOR = jsonschema_rs.Draft202012Validator(json_schema())


def test_the_promised_scenarios_are_there() -> None:
    """By name, and nothing that is not a scenario."""
    assert set(SHIPPED) == PROMISED


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_scenario_loads_and_meets_the_schema(name: str) -> None:
    """It asks one question and is gated on something."""
    loaded = load(SHIPPED[name])
    assert loaded.name == name
    assert loaded.scenario.question.endswith("?")
    assert loaded.scenario.limits.model_dump(exclude_none=True)
    errors = VALIDATOR.iter_errors(read(loaded.text, name).value)
    assert [error.message for error in errors] == []


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_scenario_fits_a_small_machine(name: str) -> None:
    """Within a minute and 120 calls a second, server and generator share two cores."""
    scenario = load(SHIPPED[name]).scenario
    planned = plan.make(scenario)
    seconds = planned.end_ns / 1e9
    assert 20 <= seconds <= 60
    assert 10 <= scenario.load.sessions <= 40
    assert sum(planned.count(each.session) for each in planned.sessions) / seconds <= 120


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_scenario_watches_for_as_long_as_its_limit_needs(name: str) -> None:
    """So that a way back that is allowed is seen, though the machine is crowded for a while."""
    scenario = load(SHIPPED[name]).scenario
    assert cramped(plan.make(scenario), scenario) is None


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_shipped_scenario_begins_by_explaining_itself(name: str) -> None:
    """Three lines of comment at least, before the question."""
    comment = re.match(r"(?:#.*\n)+", SHIPPED[name].read_text(encoding="utf-8"))
    assert comment is not None
    assert comment[0].count("\n") >= 3


def test_together_they_use_every_fault() -> None:
    """Nobody has to guess how a fault is written: those of the self-test are to be read too."""
    there = (*SHIPPED.values(), *stages().values())
    used = {window.fault.kind for file in there for window in load(file).scenario.faults}
    assert used == set(CATALOGUE)


def test_a_game_plan_asks_before_each_of_its_faults() -> None:
    """What to see to, and a hypothesis to begin with: a page is filled with both."""
    for window in load(SHIPPED["game_plan"]).scenario.faults:
        assert window.pause
        assert window.hypothesis is not None
        assert window.hypothesis.expected


def test_each_has_its_own_seed() -> None:
    """So that no two runs share nonces by accident."""
    seeds = [load(file).scenario.seed for file in SHIPPED.values()]
    assert len(set(seeds)) == len(seeds)


def test_all_but_three_need_nothing_beside_squall() -> None:
    """They run on the bundled server; the three need Node.js, containers and PostgreSQL."""
    loaded = {name: load(file).scenario for name, file in SHIPPED.items()}
    others = {
        name
        for name, scenario in loaded.items()
        if not isinstance(scenario.target, ReferenceTarget)
        or any(hasattr(one, "postgres") for one in scenario.dependencies.values())
    }
    assert others == {"steady_echo", "compose_storm", "database_goes_away"}
