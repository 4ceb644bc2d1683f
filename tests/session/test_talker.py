"""What a session does on its own after a server has said something, in virtual time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.outcome import Outcome
from harness.scenario.records import Scenario
from harness.session.talker import compile_rules
from harness.wire.reply import Reply
from tests.session.staged import SEARCH, Asked, Play, Target, fine, refused, scenario
from tests.virtual import Backend, backend

pytestmark = pytest.mark.anyio
S = 1_000_000_000
_SUBSCRIBE = {"method": "resources/subscribe", "uri": "squall://board"}


@pytest.fixture
def anyio_backend() -> Backend:
    """Twenty seconds in a blink."""
    return backend()


def _scenario(*steps: dict[str, Any], **client: Any) -> Scenario:
    return scenario(*steps, client=client, load={"sessions": 1, "ramp": "0s"})


async def test_a_new_session_is_subscribed_to_what_the_old_one_was(tmp_path: Path) -> None:
    """A subscription dies with its session; an agent that wants it asks again."""
    first = "id-0-1"

    def answer(asked: Asked) -> Reply:
        lost = asked.session_id == first and asked.at_ns > 5 * S
        return refused(404) if lost else fine()

    play = Play(
        tmp_path,
        _scenario(_SUBSCRIBE, *[SEARCH] * 30, listen=True),
        target=Target(answer=answer),
    )
    await play.run()
    asked = [one for one in play.target.asked if one.method == "resources/subscribe"]
    assert [one.session_id for one in asked] == [first, "id-0-2"]
    assert {one.params["uri"] for one in asked} == {"squall://board"}
    assert play.clients[0].inbox.counts["resubscribed"] == 1
    play.balance()


async def test_an_unsubscribed_resource_stays_unsubscribed(tmp_path: Path) -> None:
    """What was ended on purpose does not come back with a new session."""
    ends = {"method": "resources/unsubscribe", "uri": "squall://board"}

    def answer(asked: Asked) -> Reply:
        lost = asked.session_id == "id-0-1" and asked.at_ns > 5 * S
        return refused(404) if lost else fine()

    steps = (_SUBSCRIBE, ends, *[SEARCH] * 30)
    play = Play(tmp_path, _scenario(*steps, listen=True), target=Target(answer=answer))
    await play.run()
    methods = [one.method for one in play.target.asked]
    assert methods.count("resources/subscribe") == methods.count("resources/unsubscribe") == 1
    assert len(play.target.opened) == 2


@pytest.mark.parametrize("follows", [True, False])
async def test_changed_tools_are_listed_again_if_the_scenario_says_so(
    tmp_path: Path, follows: bool
) -> None:
    """Once for however many changes, before the next step."""
    play = Play(tmp_path, _scenario(SEARCH, listen=True, follow_changes=follows))

    def change() -> None:
        for what in ("tools", "tools", "prompts"):
            play.clients[0].inbox.hear({"method": f"notifications/{what}/list_changed"})

    await play.run(scenes=((5.5, change), (9.5, change)))
    listed = [one for one in play.target.asked if one.method == "tools/list"]
    assert len(listed) == (2 if follows else 0)
    assert play.clients[0].inbox.counts["heard:tools/list_changed"] == 4
    assert {Outcome(each) for each in play.last["outcome"].tolist()} == {Outcome.OK}


def test_rules_are_those_of_the_scenario() -> None:
    """Nothing is declared that the scenario does not say."""
    assert compile_rules(_scenario()).declare("modern") == {}
    rules = compile_rules(
        _scenario(
            {**SEARCH, "task": True},
            answers={
                "sampling": "refuse",
                "elicitation": "decline",
                "roots": ["file:///srv"],
                "after": "200ms",
            },
        )
    )
    assert (rules.sampling, rules.elicitation, rules.after_ns) == ("refuse", "decline", 200_000_000)
    assert set(rules.declare("modern")) == {"sampling", "elicitation", "roots", "extensions"}
    assert set(rules.declare("legacy")) == {"sampling", "elicitation", "roots"}
