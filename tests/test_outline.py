from __future__ import annotations

import pytest

from harness import plan
from harness.outline import WIDTH, describe
from harness.scenario.load import load, load_text
from harness.scenario.records import Scenario
from scenarios import shipped
from tests.scenario.broken import SOUND

DEPENDING = """\
auth: {issuer: embedded}
target: {launch: [server], url: "http://127.0.0.1:${port}/mcp"}
dependencies:
  store: {embedded: {}, variable: STORE}
  db: {upstream: "db:5432", variable: DB}"""


@pytest.mark.parametrize("name", sorted(shipped()))
def test_a_plan_fits_a_terminal(name: str) -> None:
    """80 columns, no trailing blanks, and the question on top."""
    scenario = load(shipped()[name]).scenario
    text = describe(plan.make(scenario), scenario)
    assert all(len(line) <= WIDTH for line in text.splitlines())
    assert all(line == line.rstrip() for line in text.splitlines())
    assert text.startswith(scenario.question.split()[0])


def test_a_plan_says_when_who_and_how_much() -> None:
    """Phases with their times, sessions in each arm, the sum of calls."""
    scenario = load_text(SOUND, "x").scenario
    planned = plan.make(scenario, seed=99)
    text = describe(planned, scenario)
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "baseline 4.0 s 14.0 s 10.0 s what all is compared with" in rows
    assert "tcp-latency 14.0 s 19.0 s 5.0 s needs a proxy" in rows
    assert "researcher 12 6 6 2/s 3" in rows
    assert "writer 8 4 4 1/2s 1" in rows
    assert "seed 99" in rows
    total = sum(planned.count(each.session) for each in planned.sessions)
    assert f"calls {total:,} in 37.0 s, 28.0 a second; effects are counted in the ledger" in rows
    assert "limits answered >= 99%, recovery <= 5s" in rows


def test_who_counts_the_effects_of_a_server_of_ones_own_is_said() -> None:
    """Nobody, until the scenario names what does: then it is that."""
    document = {
        "question": "Is every order placed once?",
        "target": {"url": "http://127.0.0.1:8001/mcp"},
        "agents": [{"name": "a", "steps": [{"call": "order", "effect": "once"}]}],
    }
    uncounted = Scenario.model_validate(document)
    counted = Scenario.model_validate({**document, "audit": {"call": "count_orders"}})
    told = [" ".join(describe(plan.make(of), of).split()) for of in (uncounted, counted)]
    assert "nobody counts the effects: `audit: {call: TOOL}`" in told[0]
    assert "effects are counted by count_orders" in told[1]


def test_what_the_target_depends_on_is_named() -> None:
    """With where it is, for a reader must see what will be struck."""
    text = SOUND.replace("target: {reference: hardened}", DEPENDING)
    assert "db: {upstream" in text
    scenario = load_text(text, "x").scenario
    rows = [" ".join(line.split()) for line in describe(plan.make(scenario), scenario).splitlines()]
    assert "needs store, squall's own, behind a proxy of its own" in rows
    assert any(row.startswith("needs db, which listens at db:5432 (variable DB)") for row in rows)


def test_time_between_windows_is_shown_as_steady() -> None:
    """A gap in the timeline would look like a mistake."""
    scenario = load_text(SOUND.replace("    for: 8s", "    at: 30s\n    for: 8s"), "x").scenario
    text = describe(plan.make(scenario), scenario)
    assert "steady                24.0 s    30.0 s     6.0 s" in text
