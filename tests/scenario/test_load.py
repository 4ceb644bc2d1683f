from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import Exit, ScenarioError
from harness.flaws import Flaw
from harness.scenario.auth import Auth
from harness.scenario.load import load, load_text
from harness.scenario.records import (
    FLAWS,
    CallStep,
    ListStep,
    ParallelStep,
    PromptStep,
    ReadStep,
    ReferenceTarget,
    UrlTarget,
)
from tests.scenario.broken import SOUND

STEPS = """\
question: Does every way to write a step work?
target: {url: "http://127.0.0.1:1/mcp"}
agents:
  - name: all
    steps:
      - list_tools
      - list_prompts:
        expect: {rows: ">= 1"}
      - call: one
        with: {deep: {list: [1, "${index}"]}}
        deadline: 500ms
        keep: {uri: uri}
      - read: "${uri}"
      - prompt: greet
        with: {who: "${agent}"}
      - parallel:
          - ping
          - call: two
            with: {a: "${uri}"}
"""


def test_a_file_becomes_a_scenario_with_its_units_read(tmp_path: Path) -> None:
    """Seconds, shares and bytes are numbers once a file is loaded; its name is its stem."""
    file = tmp_path / "storm.yaml"
    file.write_text(SOUND, encoding="utf-8")
    loaded = load(file)
    scenario = loaded.scenario
    assert (loaded.name, loaded.text) == ("storm", SOUND)
    assert [agent.share for agent in scenario.agents] == [0.6, 0.4]
    assert [agent.pace_s for agent in scenario.agents] == [0.5, 2.0]
    assert (scenario.load.ramp_s, scenario.phases.baseline_s) == (2.0, 10.0)
    assert [window.fault.kind for window in scenario.faults] == ["tcp-latency", "token-expire"]
    assert [window.duration_s for window in scenario.faults] == [5.0, 8.0]


def test_every_kind_of_step_can_be_written() -> None:
    """As a word, as a mapping, with what is expected beside it, and together."""
    (agent,) = load_text(STEPS, "x").scenario.agents
    kinds = [type(step) for step in agent.steps]
    assert kinds == [ListStep, ListStep, CallStep, ReadStep, PromptStep, ParallelStep]
    listing, call, together = agent.steps[1], agent.steps[2], agent.steps[5]
    assert isinstance(listing, ListStep)
    assert (listing.method, listing.expect.rows) == ("prompts/list", ">= 1")
    assert isinstance(call, CallStep)
    assert call.arguments == {"deep": {"list": [1, "${index}"]}}
    assert call.deadline_s == 0.5
    assert isinstance(together, ParallelStep)
    assert [type(step) for step in together.parallel] == [ListStep, CallStep]


@pytest.mark.parametrize("written", ["- tcp-down", "- tcp-down:", "- tcp-down: {}"])
def test_a_fault_without_parameters_has_its_defaults(written: str) -> None:
    """As a word, with nothing behind it, or with an empty mapping."""
    text = SOUND.replace("- tcp-latency: {delay: 100ms}\n    for: 5s", written)
    window = load_text(text, "x").scenario.faults[0]
    assert (window.fault.kind, window.duration_s, window.at_s) == ("tcp-down", 10.0, None)


def test_the_reference_server_comes_with_its_issuer() -> None:
    """Without an auth section; a server of one's own has none unless the file says so."""
    assert load_text(SOUND, "x").scenario.auth == Auth()
    assert load_text(STEPS, "x").scenario.auth is None


def test_another_target_is_checked_as_if_the_file_had_named_it() -> None:
    """`--target` may make a scenario senseless, and then that is said."""
    target = UrlTarget(url="http://127.0.0.1:1/mcp")
    quiet = SOUND.replace("  - token-expire: {ttl: 3s}\n    for: 8s\n", "")
    scenario = load_text(quiet, "x", target=target).scenario
    assert (scenario.target, scenario.auth) == (target, None)
    with pytest.raises(ScenarioError, match="sessions with tokens"):
        load_text(SOUND, "x", target=target)
    other = load_text(STEPS, "x", target=UrlTarget(url="http://127.0.0.1:2/mcp")).scenario.target
    assert other == UrlTarget(url="http://127.0.0.1:2/mcp")


def test_a_finding_can_point_at_the_line_of_its_limit() -> None:
    """At the section when the limit is not in the file, as with a default."""
    lines = load_text(SOUND, "storm.yaml").lines
    assert lines.at("limits", "recovery") == "storm.yaml:30:40"
    assert lines.at("limits", "score") == "storm.yaml:30:9"
    assert lines.spot("client", "deadline").line == 1


def test_statuses_may_be_written_as_numbers() -> None:
    """An author writes 404, not "404"."""
    scenario = load_text(f"{SOUND}client: {{reinitialize_on: [404, '400']}}\n", "x").scenario
    assert scenario.client.reinitialize_on == ("404", "400")


def test_flaws_are_those_of_the_reference_server() -> None:
    """What a scenario may name is what the server has, in words of its own."""
    assert list(FLAWS) == [flaw.value for flaw in Flaw]
    text = SOUND.replace("reference: hardened", "reference: [no-dedup, expired-is-403]")
    target = load_text(text, "x").scenario.target
    assert isinstance(target, ReferenceTarget)
    assert target.flaws == ("no-dedup", "expired-is-403")
    assert ReferenceTarget(reference="hardened").flaws == ()
    assert ReferenceTarget(reference=("hardened",)).flaws == ()


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "readable file"), (b"a: \xff", "UTF-8"), (b"a" * 70_000, "at most 65536 bytes")],
)
def test_a_file_that_cannot_be_read_is_one_clear_sentence(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    """Missing, no text, or far too large; the run does not start."""
    file = tmp_path / "storm.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ScenarioError, match=words) as caught:
        load(file)
    assert caught.value.exit_code is Exit.NOT_RUN
    assert str(caught.value).startswith(f"{file}:1:1: ")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    """Some editors write one."""
    file = tmp_path / "storm.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + SOUND.encode())
    assert load(file).text == SOUND
