from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest

from harness.session.mischief.arguments import Arguments, fuzz, spoil

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "maxLength": 20},
        "limit": {"type": "integer", "maximum": 50, "default": 10},
        "tags": {"type": "array", "items": {"type": "string"}},
        "place": {"anyOf": [{"type": "string"}, {"type": "null"}]},
    },
    "required": ["query"],
}
VALID = {"query": "n", "limit": 3}


def by_name(cases: tuple[Arguments, ...]) -> dict[tuple[str, str], Arguments]:
    """The cases by what is odd about them."""
    return {(case.variant, case.place): case for case in cases}


def test_each_spoilt_set_is_wrong_in_one_way() -> None:
    """And is said to be forbidden only where no tolerance could let it pass."""
    cases = by_name(spoil(SCHEMA, VALID))
    assert cases["missing", "query"].value == {"limit": 3}
    assert cases["omitted", "arguments"].value is None
    assert cases["huge", "limit"].value == {"query": "n", "limit": 51}
    assert len(cases["huge", "query"].value["query"]) == 21  # type: ignore[index]
    forbidden = {name for name, case in cases.items() if case.forbidden}
    assert forbidden == {
        ("missing", "query"), ("omitted", "arguments"), ("null", "query"), ("huge", "limit"),
        ("huge", "query"), ("wrong-type", "query"), ("wrong-type", "limit"), ("wrong-type", "tags"),
    }  # fmt: skip
    assert {name for name in cases if name not in forbidden} == {
        ("null", "limit"), ("null", "tags"), ("null", "place"), ("extra", "squall_unknown"),
    }  # fmt: skip


def test_a_tool_without_required_arguments_may_be_called_without_any() -> None:
    """Leaving `arguments` out is then every client's right."""
    cases = by_name(spoil({"type": "object", "properties": {"limit": {"type": "integer"}}}, {}))
    assert not cases["omitted", "arguments"].forbidden
    assert not any(case.variant == "missing" for case in cases.values())


@pytest.mark.parametrize("schema", [{}, {"type": "object"}, {"properties": 3}, {"$ref": "#/no"}])
def test_a_schema_that_says_nothing_forbids_nothing(schema: dict[str, Any]) -> None:
    """What cannot be held against a schema is no finding of anybody's."""
    assert not any(case.forbidden for case in spoil(schema, {"query": "n"}))
    assert not any(case.forbidden for case in fuzz(schema, {"query": "n"}, seed=1, count=50))


def test_fuzzed_arguments_follow_from_the_seed() -> None:
    """The same seed gives the same cases, another gives others."""
    first = fuzz(SCHEMA, VALID, seed=3, count=200)
    assert first == fuzz(SCHEMA, VALID, seed=3, count=200)
    assert first != fuzz(SCHEMA, VALID, seed=4, count=200)
    assert len(first) == 200


def test_what_is_said_to_be_forbidden_breaks_the_schema() -> None:
    """By a validator's word; and enough of the cases are, and are not."""
    validator = jsonschema_rs.validator_for(SCHEMA)
    cases = [case for seed in range(5) for case in fuzz(SCHEMA, VALID, seed=seed, count=200)]
    forbidden = [case for case in cases if case.forbidden]
    assert not any(validator.is_valid(case.value or {}) for case in forbidden)
    allowed = [case for case in cases if case.value is not None and validator.is_valid(case.value)]
    assert len(forbidden) > 100
    assert len(allowed) > 100


def test_a_nested_schema_is_filled_to_its_depth_and_no_further() -> None:
    """A schema that holds itself comes to an end."""
    tree: dict[str, Any] = {"type": "object", "properties": {}, "required": ["inner"]}
    tree["properties"]["inner"] = {"type": "array", "items": tree}
    assert len(fuzz(tree, {"inner": []}, seed=1, count=40)) == 40
