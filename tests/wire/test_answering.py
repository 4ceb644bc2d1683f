"""What a client answers when the server asks: by rules, within the form that was sent."""

from __future__ import annotations

from typing import Any

import pytest

from harness.scenario.expressions import compile as template
from harness.wire.answering import NO_RULES, Rules, Sampled, answer, fill_form

_ALL = Rules(
    sampling=Sampled(text=template("on ${asked} by ${session}"), model="m"),
    elicitation="accept",
    roots=(template("file:///srv/${session}"),),
)
_VALUES = {"session": "s7"}


def _ask(method: str, params: Any, rules: Rules = _ALL) -> dict[str, Any]:
    request = {"jsonrpc": "2.0", "id": "odd id", "method": method, "params": params}
    return answer(request, rules, _VALUES).response(request["id"])


@pytest.mark.parametrize("method", ["roots/list", "sampling/createMessage", "elicitation/create"])
def test_a_client_without_rules_says_no_and_declares_nothing(method: str) -> None:
    """The id comes back as it was, whatever it was."""
    refused = _ask(method, {}, NO_RULES)
    assert (refused["id"], refused["error"]["code"]) == ("odd id", -32601)
    assert NO_RULES.declare("legacy") == NO_RULES.declare("modern") == {}


def test_a_ping_has_its_pong_without_any_rule() -> None:
    """Both sides may ask whether the other still lives."""
    assert _ask("ping", None, NO_RULES)["result"] == {}


def test_what_is_declared_is_what_there_is_a_rule_for() -> None:
    """A server must not ask for what was not declared, so nothing more is."""
    assert _ALL.declare("legacy") == {
        "sampling": {},
        "elicitation": {"form": {}, "url": {}},
        "roots": {},
    }
    assert Rules(roots=()).declare("modern") == {"roots": {}}
    assert "extensions" not in Rules(tasks=True).declare("legacy")
    assert Rules(tasks=True).declare("modern") == {
        "extensions": {"io.modelcontextprotocol/tasks": {}}
    }


@pytest.mark.parametrize(
    "content",
    [{"type": "text", "text": "rain"}, [{"type": "image"}, {"type": "text", "text": "rain"}]],
)
def test_a_sampled_text_can_carry_what_was_asked(content: Any) -> None:
    """So a call's nonce makes its way through the model and back to the tool."""
    params = {"messages": [{"role": "user", "content": content}], "maxTokens": 9}
    assert _ask("sampling/createMessage", params)["result"] == {
        "role": "assistant",
        "content": {"type": "text", "text": "on rain by s7"},
        "model": "m",
        "stopReason": "endTurn",
    }


def test_a_refused_sampling_is_an_error_and_no_silence() -> None:
    """The specification's own example says -1."""
    assert _ask("sampling/createMessage", {}, Rules(sampling="refuse"))["error"]["code"] == -1


def test_roots_are_named_by_the_rules() -> None:
    """Each session may have roots of its own."""
    assert _ask("roots/list", None)["result"] == {"roots": [{"uri": "file:///srv/s7"}]}


@pytest.mark.parametrize("params", [None, [], "x", {"messages": 3}, {"messages": [None, {}]}])
def test_broken_parameters_are_answered_all_the_same(params: Any) -> None:
    """Nothing that a server asks makes the client fail."""
    assert _ask("sampling/createMessage", params)["result"]["content"]["text"] == "on  by s7"
    assert _ask("elicitation/create", params)["result"] == {"action": "cancel"}


def _form(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def test_a_form_is_filled_with_its_defaults() -> None:
    """Every default counts, also those of fields that are not required; the rest stays out."""
    form = _form(
        ("name",),
        name={"type": "string", "minLength": 3},
        age={"type": "integer", "default": 30},
        likes={"type": "array", "items": {"enum": ["a", "b"]}, "default": ["b"]},
        colour={"oneOf": [{"const": "red", "title": "Red"}], "type": "string", "default": "red"},
        spare={"type": "boolean"},
    )
    assert fill_form(form, {}) == {"name": "xxx", "age": 30, "likes": ["b"], "colour": "red"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ({"type": "string", "enum": ["one", "two"]}, "one"),
        ({"type": "string", "enum": ["one"], "enumNames": ["One"]}, "one"),
        ({"type": "string", "oneOf": [{"const": "u", "title": "U"}]}, "u"),
        ({"type": "array", "minItems": 1, "items": {"type": "string", "enum": ["p", "q"]}}, ["p"]),
        ({"type": "array", "minItems": 1, "items": {"anyOf": [{"const": 1, "title": "A"}]}}, [1]),
        ({"type": "array", "items": {"enum": ["p"]}}, []),
        ({"type": "integer", "minimum": 5, "maximum": 9}, 5),
        ({"type": "number", "maximum": -2}, -2),
        ({"type": "boolean"}, False),
        ({"type": "string", "format": "email"}, "agent@example.com"),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00Z"),
        ({"type": "string", "format": "uri"}, "https://example.com/"),
    ],
)  # fmt: skip
def test_a_required_field_gets_the_least_that_fits(field: dict[str, Any], value: Any) -> None:
    """Selections, titled or not, single or several, as of 2025-11-25."""
    assert fill_form(_form(("it",), it=field), {}) == {"it": value}


def test_given_content_is_held_against_the_form() -> None:
    """What does not fit is not sent; what the form does not ask is left out."""
    form = _form(("age",), age={"type": "integer", "minimum": 18})
    assert fill_form(form, {"age": 18, "name": "unasked"}) == {"age": 18}
    assert fill_form(form, {"age": 17}) is None
    assert fill_form(form, {"age": "18"}) is None


def test_rules_decide_what_becomes_of_a_form() -> None:
    """Given values with templates, a refusal, a dismissal, or a page that is never opened."""
    form = {"message": "How?", "requestedSchema": _form(it={"type": "string"})}
    given = Rules(elicitation=template({"it": "${asked}"}))
    accepted = {"action": "accept", "content": {"it": "How?"}}
    assert _ask("elicitation/create", form, given)["result"] == accepted
    declined = _ask("elicitation/create", form, Rules(elicitation="decline"))
    assert declined["result"] == {"action": "decline"}
    cancelled = _ask("elicitation/create", form, Rules(elicitation="cancel"))
    assert cancelled["result"] == {"action": "cancel"}
    page = {"mode": "url", "url": "https://example.com", "elicitationId": "1", "message": "Pay"}
    assert _ask("elicitation/create", page)["result"] == {"action": "accept"}


@pytest.mark.parametrize(
    "schema",
    [
        None,
        [],
        {"properties": []},
        {"properties": {"it": 3}},
        _form(("ghost",)),
        {"properties": {f"f{number}": {"type": "string", "default": ""} for number in range(101)}},
        _form(("it",), it={"type": "string", "minLength": 10**9}),
        _form(("it",), it={"type": "array", "minItems": 10**9, "items": {"enum": ["a"]}}),
        _form(("it",), it={"type": ["strange"]}),
        {"properties": {"it": {"type": "string"}}, "required": 3},
    ],
)
def test_a_hostile_form_is_dismissed(schema: Any) -> None:
    """A form that no one could fill in costs neither memory nor the client."""
    assert fill_form(schema, {}) is None


def test_a_forms_pattern_is_never_run() -> None:
    """A regular expression of a stranger's can keep a processor busy for good."""
    field = {"type": "string", "pattern": "^(a+)+$", "default": "a" * 40 + "!"}
    assert fill_form(_form(it=field), {}) == {"it": "a" * 40 + "!"}
