from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.scenario.load import load_text
from tests.scenario.broken import BROKEN, SOUND, Broken


def place(case: Broken) -> tuple[str, int | None, int | None]:
    """Give the broken text, and the line and column that its § marks, if it has one."""
    assert SOUND.count(case.old) == 1, "a change has to hit one place"
    text = SOUND.replace(case.old, case.new)
    before, mark, after = text.partition("§")
    if not mark:
        return text, None, None
    line = before.count("\n") + 1
    return before + after, line, len(before) - before.rfind("\n")


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_broken_scenario_is_refused_where_it_is_broken(case: Broken) -> None:
    """One message, at the place that is wrong, with what was expected, what came and the mend."""
    text, line, column = place(case)
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "storm.yaml")
    mistakes = caught.value.mistakes
    assert len(mistakes) == 1, str(caught.value)
    (mistake,) = mistakes
    if line is not None:
        assert (mistake.line, mistake.column) == (line, column), str(mistake)
    assert str(mistake).startswith(f"storm.yaml:{mistake.line}:{mistake.column}: ")
    assert mistake.expected
    assert mistake.came
    assert mistake.mend
    for word in case.words:
        assert word in str(mistake)


def test_the_sound_scenario_is_sound() -> None:
    """What the broken ones differ from is itself accepted, so each change is the cause."""
    assert load_text(SOUND, "storm.yaml").name == "storm"


def test_every_mistake_is_reported_at_once_in_file_order() -> None:
    """Nobody mends a file one message at a time."""
    changes = {
        "seed: 7": 'seed: "7"',
        "pace: 2/s": "pace: 2",
        "keep: {": "keeps: {",
        "call: fetch": "call: fecth",
        "ramp: 2s": "ramp: 2",
        "delay:": "dealy:",
        '">= 99%"': '"<= 99%"',
    }
    text = SOUND
    for old, new in changes.items():
        text = text.replace(old, new)
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "storm.yaml")
    mistakes = caught.value.mistakes
    assert [mistake.path for mistake in mistakes] == [
        "seed",
        "agents.0.pace",
        "agents.0.steps.1.keeps",
        "agents.0.steps.2.call",
        "load.ramp",
        "faults.0.tcp-latency.dealy",
        "limits.answered",
    ]
    assert [mistake.line for mistake in mistakes] == [2, 7, 13, 14, 23, 26, 30]
    assert str(caught.value).count("\n") == len(mistakes) - 1


def test_a_mistake_does_not_bring_others_that_follow_from_it() -> None:
    """A wrong share is one mistake, not also a sum that cannot be right."""
    with pytest.raises(ScenarioError) as caught:
        load_text(SOUND.replace("share: 60%", "share: 60"), "storm.yaml")
    assert [mistake.path for mistake in caught.value.mistakes] == ["agents.0.share"]


def test_a_value_of_the_environment_is_not_shown() -> None:
    """A message names the place of a variable that may be secret, and never its value."""
    target = "{launch: [serve], url: 'http://127.0.0.1:${port}/mcp', environment: {KEY: 48151623}}"
    text = SOUND.replace("{reference: hardened}", target)
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "storm.yaml")
    assert "target.environment.KEY" in str(caught.value)
    assert "48151623" not in str(caught.value)


def test_a_file_cannot_write_to_the_terminal_through_a_message() -> None:
    """Escapes in keys and values are shown as signs that do nothing."""
    text = SOUND.replace("seed: 7", 'seed: 7\n"a\\e[2Jb\\nc": 1')
    with pytest.raises(ScenarioError) as caught:
        load_text(text, "storm.yaml")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("written", "column"), [("- no-token", 5), ("- no-token:", 5), ("- for: 5s\n    no-token:", 5)]
)
def test_a_fault_that_cannot_be_is_shown_at_its_name(written: str, column: int) -> None:
    """However it is written; its parameters are not what is wrong."""
    text = SOUND.replace("- token-expire: {ttl: 3s}\n    for: 8s", written).replace(
        "{reference: hardened}", '{url: "http://127.0.0.1:1/mcp"}'
    )
    with pytest.raises(ScenarioError, match="sessions with tokens") as caught:
        load_text(text, "storm.yaml")
    (mistake,) = caught.value.mistakes
    assert "no-token" in text.splitlines()[mistake.line - 1]
    assert mistake.column == column
