"""Arguments that are made up: few, plausible, and within what the schema allows."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any, Final

import pytest

from harness.discovery import guessing
from harness.discovery.guessing import NONCE, NoGuessError, guess
from harness.scenario import expressions

SCHEMAS: Final[dict[str, dict[str, Any]]] = {
    "free text": {"type": "string"},
    "short text": {"type": "string", "maxLength": 3},
    "long text": {"type": "string", "minLength": 40},
    "choice": {"type": "string", "enum": ["error", "success"]},
    "constant": {"const": "${nonce}"},
    "email": {"type": "string", "format": "email"},
    "moment": {"type": "string", "format": "date-time"},
    "pattern": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
    "number": {"type": "number", "exclusiveMinimum": 0, "maximum": 0.75},
    "whole": {"type": "integer", "minimum": 17, "multipleOf": 5},
    "switch": {"type": "boolean"},
    "nothing": {"type": "null"},
    "list": {"type": "array", "items": {"type": "string"}, "minItems": 2},
    "pair": {"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 1},
    "nullable": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    "either": {"oneOf": [{"type": "null"}, {"type": "integer", "minimum": 3}]},
    "referred": {"$ref": "#/$defs/Place"},
    "all of": {"allOf": [{"$ref": "#/$defs/Place"}]},
    "untyped": {"properties": {"a": {"type": "string"}}, "required": ["a"]},
    "braces": {"type": "string", "default": "costs ${5}"},
}
DEFS: Final = {
    "Place": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "zip": {"type": "integer", "minimum": 1000}},
        "required": ["city", "zip"],
    }
}


def of(inner: dict[str, Any], name: str = "it") -> dict[str, Any]:
    """A tool's schema with one argument."""
    properties = {name: inner}
    return {"type": "object", "properties": properties, "required": [name], "$defs": DEFS}


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("style", guessing.STYLES)
def test_what_is_made_up_meets_its_schema(kind: str, style: guessing.Style) -> None:
    """In either style, once a call's own values are filled in."""
    schema = of(SCHEMAS[kind])
    made = guess(schema, style=style, given={})
    filled = guessing.fill(made.arguments, {"nonce": guessing.SAMPLE})
    assert set(filled) == {"it"}
    assert not guessing.breaks(schema, filled)


def test_the_nonce_goes_into_free_text_and_nowhere_else() -> None:
    """A choice, a date, a number and what has to exist are no places for a mark."""
    properties = {
        "message": {"type": "string"},
        "mode": {"type": "string", "enum": ["fast", "slow"]},
        "since": {"type": "string", "format": "date"},
        "limit": {"type": "integer"},
        "note_id": {"type": "string"},
    }
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    made = guess(schema, style="marked", given={})
    assert made.marked
    assert [name for name, value in made.arguments.items() if value == NONCE] == ["message"]
    assert made.references == ("note_id",)
    assert not guess(schema, style="plain", given={}).marked


def test_what_may_be_left_out_is_left_out() -> None:
    """The least that is asked for, but for a wait whose default may be long."""
    properties = {
        "query": {"type": "string"},
        "limit": {"type": "integer", "default": 50},
        "duration": {"type": "number", "default": 600},
    }
    schema = {"type": "object", "properties": properties, "required": ["query"]}
    assert guess(schema, style="plain", given={}).arguments == {"query": "a", "duration": 0.2}


def test_a_tool_that_writes_gets_a_key_for_its_repeats() -> None:
    """Where it takes one; what only reads is not given any."""
    properties = {"text": {"type": "string"}, "idempotency_key": {"type": "string", "default": ""}}
    schema = {"type": "object", "properties": properties, "required": ["text"]}
    made = guess(schema, style="plain", given={}, writes=True)
    assert made.arguments == {"text": "squall", "idempotency_key": NONCE}
    assert made.repeat_key == "idempotency_key"
    assert guess(schema, style="plain", given={}).repeat_key == ""


def test_given_values_take_the_place_of_made_up_ones() -> None:
    """A text stays a text, anything else is read as JSON; what may be left out is put in."""
    properties = {
        "path": {"type": "string"},
        "depth": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}},
    }
    schema = {"type": "object", "properties": properties, "required": ["path"]}
    given_ones = {"path": "12", "depth": "3", "tags": '["a"]', "other": "x"}
    made = guess(schema, style="plain", given=given_ones)
    assert made.arguments == {"path": "12", "depth": 3, "tags": ["a"]}


@pytest.mark.parametrize(
    ("name", "inner", "why"),
    [
        ("password", {"type": "string"}, "password: it looks like a secret"),
        ("apiKey", {"type": "string"}, "apiKey: it looks like a secret"),
        ("code", {"type": "string", "pattern": "^Q{7}Z$"}, "code: nothing was found that matches"),
        ("it", {"type": "array", "minItems": 500}, "it: it wants at least 500 items"),
        ("it", {"type": "string", "enum": []}, "does not meet its schema"),
        ("it", {"not": {}}, "does not meet its schema"),
    ],
)
def test_what_cannot_be_made_up_is_said(name: str, inner: dict[str, Any], why: str) -> None:
    """Which argument it is, and why."""
    with pytest.raises(NoGuessError, match=why):
        guess(of(inner, name), style="plain", given={})


def test_the_argument_that_has_to_be_given_is_the_tools_own() -> None:
    """However deep within it the value lies that nobody can make up."""
    inner = {"type": "object", "properties": {"deep": {"$ref": "#/$defs/node"}}}
    schema = {
        "$defs": {"node": {**inner, "required": ["deep"]}},
        "properties": {"outer": {"$ref": "#/$defs/node"}},
        "required": ["outer"],
    }
    with pytest.raises(guessing.NoGuessError, match="deep: its schema") as failed:
        guessing.guess(schema, style="plain", given={})
    assert failed.value.argument == "outer"


def test_a_page_token_is_no_secret() -> None:
    """It is a place in a list."""
    assert guess(of({"type": "string"}, "page_token"), style="plain", given={}).arguments


_WORDS: Final[tuple[Any, ...]] = (
    *("string", "object", "array", "integer", "#/x", "#", "", "${x}", None, True, -1, 0, 1e308),
    *(1.5, [], {}, "a" * 300, "\ud800"),
)
_KEYS: Final = (
    *("type", "properties", "required", "items", "enum", "anyOf", "allOf", "oneOf", "$ref"),
    *("minimum", "multipleOf", "maxLength", "minItems", "pattern", "default", "const", "x"),
)


def odd(draw: random.Random, depth: int) -> Any:
    """Something that a server might list as a schema."""
    kind = draw.randrange(3) if depth else 0
    if kind == 1:
        return [odd(draw, depth - 1) for _ in range(draw.randrange(3))]
    if kind == 2:
        keys = draw.sample(_KEYS, draw.randrange(5))
        return {key: odd(draw, depth - 1) for key in keys}
    return draw.choice(_WORDS)


@pytest.mark.parametrize("seed", range(5))
def test_no_schema_brings_it_down(seed: int) -> None:
    """Whatever a server lists, there are arguments or a reason why there are none."""
    draw = random.Random(seed)
    made = 0
    for _ in range(300):
        schema = {"type": "object", "properties": {"a": odd(draw, 4)}, "required": ["a"]}
        for style in guessing.STYLES:
            with suppress(NoGuessError):
                found = guess(schema, style=style, given={})
                assert expressions.names(found.arguments) <= {"nonce"}
                made += 1
    assert made > 10
