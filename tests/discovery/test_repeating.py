"""What an answer repeats of what it was asked for: never what stands there by chance."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from harness.discovery.offers import Tool
from harness.discovery.repeating import REPEATED_MAX, sure

READS = {"readOnlyHint": True}
Answer = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def learned(
    answer: Answer,
    arguments: dict[str, Any],
    *,
    known: Mapping[str, Any] | None = None,
    hints: Mapping[str, Any] = READS,
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """What is learned of a tool that answers so, and what else it was asked."""
    asked: list[dict[str, Any]] = []

    def result(given: Mapping[str, Any]) -> dict[str, Any]:
        return {"structuredContent": answer(given), "content": []}

    async def other(given: dict[str, Any]) -> Mapping[str, Any]:
        asked.append(given)
        return result(given)

    kinds = {str: "string", int: "integer", bool: "boolean"}
    described = {name: {"type": kinds[type(value)]} for name, value in arguments.items()}
    schema = {"type": "object", "properties": {**described, **(known or {})}}
    tool = Tool(name="ask", description="", schema=schema, hints=dict(hints))
    found = asyncio.run(sure(tool, arguments, [result(arguments), result(arguments)], other))
    return found, asked


def test_a_text_that_was_made_up_and_comes_back_is_repeated() -> None:
    """Nothing else would have brought it there."""
    found, asked = learned(
        lambda given: {"place": {"time_zone": given["timeZone"]}, "dst": False},
        {"timeZone": "Europe/Vienna"},
    )
    assert found == {"place.time_zone": "timeZone"}
    assert asked == []


def test_a_number_is_repeated_only_if_the_answer_follows_it() -> None:
    """A 1 stands in many an answer, whatever it was asked for."""
    found, asked = learned(
        lambda given: {"thoughtNumber": given["thoughtNumber"], "totalThoughts": 1},
        {"thoughtNumber": 1, "totalThoughts": 1},
    )
    assert found == {"thoughtNumber": "thoughtNumber"}
    assert asked == [{"thoughtNumber": 2, "totalThoughts": 2}]


def test_a_word_of_the_schema_is_repeated_only_if_the_answer_follows_it() -> None:
    """For it may as well be what the answer always says."""
    known = {"state": {"type": "string", "enum": ["open", "closed"]}}
    arguments = {"state": "open"}
    assert learned(dict, arguments, known=known)[0] == {"state": "state"}
    found, asked = learned(lambda _: {"state": "open"}, arguments, known=known)
    assert (found, asked) == ({}, [{"state": "closed"}])


def test_what_has_no_other_value_is_no_proof() -> None:
    """A schema that allows one value alone."""
    known = {"page": {"type": "integer", "minimum": 1, "maximum": 1}}
    assert learned(dict, {"page": 1}, known=known) == ({}, [])


@pytest.mark.parametrize("hints", [{}, {"readOnlyHint": False, "destructiveHint": False}])
def test_what_may_write_is_not_asked_once_more(hints: Mapping[str, Any]) -> None:
    """Its numbers are left aside; a text needs no further try."""
    arguments = {"text": "squall", "page": 1}
    assert learned(dict, arguments, hints=hints) == ({"text": "text"}, [])


@pytest.mark.parametrize(
    "answer",
    [
        lambda given: {"items": [{"topic": given["topic"]}]},  # depends on what there is
        lambda given: {"title": given["topic"]},
        lambda given: {"topic": given["topic"].upper()},
        lambda _: {"topic": ""},
        lambda _: {},
    ],
)
def test_what_is_not_the_same_by_the_same_name_is_not_claimed(answer: Answer) -> None:
    """In a list, by another name, otherwise spelt, or not there."""
    assert learned(answer, {"topic": "storms"}) == ({}, [])


def test_what_another_call_would_send_otherwise_is_left_to_others() -> None:
    """A nonce has an expectation of its own; a truth value proves nothing; a count may be true."""
    arguments = {"text": "${nonce}", "wanted": True, "count": 1, "long": "x" * 61}
    assert learned(dict, arguments) == ({}, [])


def test_a_third_try_that_fails_leaves_the_numbers_aside() -> None:
    """And keeps what needed none."""

    def answer(given: Mapping[str, Any]) -> Mapping[str, Any]:
        return dict(given) if given["page"] == 1 else {}

    assert learned(answer, {"page": 1, "topic": "storms"})[0] == {"topic": "topic"}


def test_a_few_are_enough() -> None:
    """A step stays readable."""
    arguments = {f"topic_{sign}": "storms" for sign in "abcdefgh"}
    assert len(learned(dict, arguments)[0]) == REPEATED_MAX
