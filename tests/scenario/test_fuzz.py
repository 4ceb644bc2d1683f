from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from faults.catalogue import CATALOGUE
from harness import plan
from harness.errors import Mistake, ScenarioError
from harness.outline import describe
from harness.scenario.document import read
from harness.scenario.load import load_text
from harness.scenario.records import Scenario
from harness.scenario.schema import json_schema
from tests.scenario.broken import BROKEN, SOUND
from tests.scenario.test_load import STEPS

VALIDATOR = jsonschema_rs.Draft202012Validator(json_schema())
WORDS = st.sampled_from(
    [
        *("5s", "0s", "250ms", "50%", "1/s", "64KiB", "404", "once", "nonce", ">= 1", "", "ping"),
        *("${nonce}", "${doc}", "${", "result[0].id", "list_tools", "no-dedup", "embedded"),
        *CATALOGUE,
    ]
)
KEYS = st.sampled_from(
    [
        *("call", "read", "prompt", "parallel", "with", "expect", "keep", "for", "at", "share"),
        *("url", "launch", "reference", "method", "fault", "name", "steps", "rows", "equals"),
        *CATALOGUE,
    ]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 400) | st.floats(-1, 1) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
SOURCES: list[Any] = [read(SOUND, "x").value, read(STEPS, "x").value]


def spots(value: Any, trail: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the way to everything inside a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, member in inside:
        found.append((*trail, key))
        if isinstance(member, dict | list):
            found.extend(spots(member, (*trail, key)))
    return found


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """Take a sound document and put anything anywhere, up to three times."""
    document = copy.deepcopy(draw(st.sampled_from(SOURCES)))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(spots(document)))
        inside = document
        for part in way:
            inside = inside[part]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "replace":
                inside[last] = draw(ANYTHING)
            case "remove":
                del inside[last]
            case "add" if isinstance(inside, dict):
                inside[draw(KEYS)] = draw(ANYTHING)
            case _:
                inside.append(draw(ANYTHING))
    return document


def assert_readable(mistakes: tuple[Mistake, ...], text: str) -> None:
    """At least one, each on a line that the file has, each on one line of its own."""
    assert mistakes
    for mistake in mistakes:
        assert 1 <= mistake.line <= text.count("\n") + 1
        assert mistake.column >= 1
        assert str(mistake).isprintable()


def judge(text: str) -> bool:
    """Load a text; what is accepted can be planned, described, and pleases the schema."""
    try:
        scenario: Scenario | None = load_text(text, "x").scenario
    except ScenarioError as error:
        assert_readable(error.mistakes, text)
        scenario = None
    if scenario is None:
        return False
    planned = plan.make(scenario)
    assert describe(planned, scenario)
    assert all(planned.count(each.session) >= 0 for each in planned.sessions)
    assert [error.message for error in VALIDATOR.iter_errors(read(text, "x").value)] == []
    return True


@settings(max_examples=300)
@given(documents())
def test_whatever_a_document_holds_is_accepted_or_refused_in_words(document: Any) -> None:
    """Never a traceback; and the schema never refuses what squall accepts."""
    judge(json.dumps(document, indent=1))


@settings(max_examples=200)
@given(
    st.integers(0, len(SOUND)),
    st.integers(0, 40),
    st.text(st.sampled_from("{}[]:-,#&*!|>'\"%@`~?<=$ \n\tab0.é\x00\ufeff"), max_size=12),
)
def test_whatever_a_text_holds_is_accepted_or_refused_in_words(
    start: int, length: int, junk: str
) -> None:
    """Cut out a piece, put in another: a scenario or a sentence."""
    judge(SOUND[:start] + junk + SOUND[start + length :])


def test_the_judgement_above_can_go_either_way() -> None:
    """A property that nothing can break would prove nothing."""
    assert judge(SOUND)
    assert judge(json.dumps(SOURCES[0]))
    assert judge(json.dumps(SOURCES[1]))
    assert not judge(SOUND.replace(BROKEN[-1].old, "tcp-latency: 5"))
